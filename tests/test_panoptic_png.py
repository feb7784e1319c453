import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minioneformer.panoptic_png import (
    MAX_ID,
    id_to_rgb,
    read_panoptic_png,
    rgb_to_id,
    write_panoptic_png,
)


def test_red_is_the_lowest_digit():
    rgb = torch.tensor([1, 2, 3], dtype=torch.uint8)[:, None, None]
    assert rgb_to_id(rgb).tolist() == [[1 + 256 * 2 + 65536 * 3]] == [[197121]]
    assert id_to_rgb(torch.tensor([[256]]))[:, 0, 0].tolist() == [0, 1, 0]
    assert id_to_rgb(torch.tensor([[MAX_ID]]))[:, 0, 0].tolist() == [255, 255, 255]


@given(
    st.lists(st.integers(0, MAX_ID), min_size=15, max_size=15),
    st.sampled_from([(3, 5), (5, 3), (1, 15), (15, 1)]),
)
@settings(max_examples=25, deadline=None)
def test_ids_survive_the_way_to_colours_and_back(ids, shape):
    segment_map = torch.tensor(ids).reshape(shape)
    rgb = id_to_rgb(segment_map)
    assert rgb.shape == (3, *shape)
    assert torch.equal(rgb_to_id(rgb), segment_map)


def test_an_empty_map_has_no_colours():
    assert id_to_rgb(torch.zeros(0, 4, dtype=torch.int64)).shape == (3, 0, 4)


@pytest.mark.parametrize("bad", [-1, MAX_ID + 1])
def test_an_id_that_does_not_fit_is_refused(bad):
    with pytest.raises(ValueError, match=r"got -?\d+ \.\. -?\d+.*Renumber") as error:
        id_to_rgb(torch.tensor([[0, bad]]))
    assert str(bad) in str(error.value)


def test_a_written_map_is_read_back(tmp_path):
    segment_map = torch.randint(0, MAX_ID + 1, (7, 11))
    write_panoptic_png(tmp_path / "a.png", segment_map)
    read = read_panoptic_png(str(tmp_path / "a.png"))
    assert read.dtype == torch.int64
    assert torch.equal(read, segment_map)


def test_the_file_has_rows_as_rows_and_red_as_the_lowest_digit(tmp_path):
    write_panoptic_png(tmp_path / "a.png", torch.tensor([[1, 2, 3], [256, 65536, 0]]))
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.array(image)
    assert pixels.tolist() == [
        [[1, 0, 0], [2, 0, 0], [3, 0, 0]],
        [[0, 1, 0], [0, 0, 1], [0, 0, 0]],
    ]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"got path='.*none\.png'"):
        read_panoptic_png(tmp_path / "none.png")


def test_a_jpeg_is_refused(tmp_path):
    Image.new("RGB", (5, 3)).save(tmp_path / "a.png", format="JPEG")
    with pytest.raises(ValueError, match=r"not a PNG, got path='.*a\.png'"):
        read_panoptic_png(tmp_path / "a.png")


@pytest.mark.parametrize("kept", [40, 120, 300])
def test_a_file_that_is_cut_off_is_refused(tmp_path, kept):
    path = tmp_path / "a.png"
    write_panoptic_png(path, torch.randint(0, MAX_ID + 1, (13, 17)))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"(broken|not a) PNG, got path='.*a\.png'"):
        read_panoptic_png(path)


@pytest.mark.parametrize("mode", ["P", "L", "RGBA", "I;16"])
def test_other_pixel_formats_are_refused_by_name(tmp_path, mode):
    Image.new(mode, (5, 3)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=rf"must be RGB .*got mode='{mode}'.*palette"):
        read_panoptic_png(tmp_path / "a.png")


def test_real_annotations_hold_the_areas_that_their_json_states(shared_data):
    folder = shared_data / "panopticapi_sample" / "sample_data"
    content = json.loads((folder / "panoptic_examples.json").read_text())
    for annotation in content["annotations"]:
        segment_map = read_panoptic_png(folder / "panoptic_examples" / annotation["file_name"])
        for segment in annotation["segments_info"]:
            assert int((segment_map == segment["id"]).sum()) == segment["area"]
