"""Augmentation keeps image and annotation together, and ids exact.

Mutants that must fail: resize ids through float32; take the left corner instead of the centre of
a cell; flip only the image; pad with the wrong value; swap height and width of the crop; keep
segments without pixels.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minioneformer.data import transforms
from minioneformer.data.transforms import TrainTransform
from minioneformer.structures import PanopticSample, Segment

BEYOND_FLOAT32 = 2**24 + 1  # 2^24 in float32


def make_sample(segment_map):
    """A sample whose red channel shows the segment, id % 251."""
    image = torch.stack([segment_map % 251, segment_map * 0 + 7, segment_map * 0 + 9])
    ids = [i for i in segment_map.unique().tolist() if i > 0]
    return PanopticSample(
        image=image.to(torch.uint8),
        segment_map=segment_map,
        segments=tuple(Segment(id=i, label=0, area=1) for i in ids),
        image_id=5,
        file_name="5.png",
    )


def random_sample(height, width, ids=(0, 3, 2**24 - 1, 2**24, BEYOND_FLOAT32)):
    choice = torch.randint(len(ids), (height, width))
    return make_sample(torch.tensor(ids)[choice])


def ids_of(sample):
    return {segment.id for segment in sample.segments}


def test_nothing_asked_nothing_done():
    sample = random_sample(5, 7)
    result = TrainTransform(flip=False)(sample)

    assert torch.equal(result.image, sample.image)
    assert torch.equal(result.segment_map, sample.segment_map)
    assert (result.image_id, result.file_name) == (5, "5.png")
    assert ids_of(result) == ids_of(sample)


def test_areas_of_the_file_are_forgotten():
    assert {s.area for s in TrainTransform(flip=False)(random_sample(5, 7)).segments} == {None}


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    shortest=st.integers(1, 13),
)
def test_a_resized_map_shows_the_cell_under_each_centre(size, shortest):
    sample = random_sample(*size)
    result = transforms.TestTransform(shortest_edge=shortest, longest_edge=1000)(sample)

    (h, w), (new_h, new_w) = size, result.segment_map.shape
    assert min(new_h, new_w) == shortest
    for y in range(new_h):
        for x in range(new_w):
            under = sample.segment_map[int((y + 0.5) * h / new_h), int((x + 0.5) * w / new_w)]
            assert result.segment_map[y, x] == under
    assert result.image.shape == (3, new_h, new_w)


def test_a_resized_map_equals_the_nearest_filter_of_the_official_code():
    sample = random_sample(11, 17, ids=(0, 1, 2, 3))
    result = transforms.TestTransform(shortest_edge=7, longest_edge=100)(sample)

    expected = Image.fromarray(sample.segment_map.numpy().astype(np.uint8))
    expected = expected.resize(result.segment_map.shape[::-1], Image.Resampling.NEAREST)
    assert result.segment_map.tolist() == np.array(expected).tolist()


@pytest.mark.parametrize("largest", [2**24 - 1, BEYOND_FLOAT32, 2**40 + 1])
def test_large_ids_survive_every_step(largest):
    sample = make_sample(torch.tensor([[largest, largest - 1, 0]] * 2))
    transform = TrainTransform(
        shortest_edges=[8],
        longest_edge=64,
        crop_size=(8, 16),
        color_augmentation=True,
        pad_to_crop=True,
    )
    result = transform(sample)

    assert ids_of(result) <= {largest, largest - 1}
    assert largest - 1 in ids_of(result)  # the middle third is in every crop of two thirds
    assert set(result.segment_map.unique().tolist()) <= {largest, largest - 1, 0}


def test_the_longest_edge_limits_the_resize_and_halves_round_up():
    resize = transforms.TestTransform(shortest_edge=20, longest_edge=25)
    assert resize(random_sample(10, 20)).image.shape == (3, 13, 25)  # 12.5 x 25


def test_each_shortest_edge_is_drawn():
    transform = TrainTransform(shortest_edges=[4, 6, 9], longest_edge=100, flip=False)
    sample = random_sample(5, 7)

    drawn = [transform(sample).image.shape[1] for _ in range(300)]
    assert {drawn.count(edge) > 60 for edge in (4, 6, 9)} == {True}
    assert set(drawn) == {4, 6, 9}


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    crop_size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    pad=st.booleans(),
)
def test_image_and_annotation_stay_together(size, crop_size, pad):
    sample = random_sample(*size)
    result = TrainTransform(crop_size=crop_size, pad_to_crop=pad)(sample)

    height, width = min(size[0], crop_size[0]), min(size[1], crop_size[1])
    assert result.segment_map.shape == (crop_size if pad else (height, width))
    inside = result.segment_map[:height, :width]
    assert torch.equal(result.image[0, :height, :width], (inside % 251).to(torch.uint8))
    padded = torch.ones(result.segment_map.shape, dtype=torch.bool)
    padded[:height, :width] = False
    assert (result.image[:, padded] == 128).all()
    assert (result.segment_map[padded] == 0).all()
    assert ids_of(result) == set(result.segment_map.unique().tolist()) - {0}


def test_every_crop_and_both_mirrorings_occur():
    sample = make_sample(torch.arange(1, 13).reshape(3, 4))
    transform = TrainTransform(crop_size=(2, 3))

    corners = [tuple(transform(sample).segment_map[0, [0, -1]].tolist()) for _ in range(400)]
    unflipped = {(1, 3), (2, 4), (5, 7), (6, 8)}
    assert set(corners) == unflipped | {(right, left) for left, right in unflipped}
    assert 150 < sum(corner in unflipped for corner in corners) < 250


def test_a_segment_cropped_away_is_dropped():
    sample = make_sample(torch.tensor([[1, 2, 3, 4]]))
    result = TrainTransform(crop_size=(1, 2), flip=False)(sample)

    assert ids_of(result) == set(result.segment_map[0].tolist())
    assert len(result.segments) == 2


def test_an_all_void_image_of_one_pixel_passes():
    sample = make_sample(torch.zeros(1, 1, dtype=torch.int64))
    transform = TrainTransform(
        shortest_edges=[3],
        longest_edge=9,
        crop_size=(5, 4),
        color_augmentation=True,
        pad_to_crop=True,
    )
    result = transform(sample)

    assert result.segments == ()
    assert result.image.shape == (3, 5, 4)


def test_the_same_seed_gives_the_same_sample():
    sample = random_sample(9, 11)
    transform = TrainTransform(crop_size=(4, 5), color_augmentation=True)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(transform(sample))

    assert torch.equal(results[0].image, results[1].image)
    assert torch.equal(results[0].segment_map, results[1].segment_map)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop_size": (0, 4)}, r"crop_size is .* got crop_size=\(0, 4\)"),
        ({"shortest_edges": [4]}, r"needs both edges, got shortest_edges=\[4\], longest_edge=None"),
        ({"longest_edge": 4}, "needs both edges, got shortest_edges=None, longest_edge=4"),
        ({"shortest_edges": [], "longest_edge": 4}, r"lengths >= 1, got shortest_edges=\[\]"),
        ({"shortest_edges": [3, 0], "longest_edge": 4}, r"got shortest_edges=\[3, 0\]"),
        ({"shortest_edges": [3], "longest_edge": 0}, "longest_edge must be .* got longest_edge=0"),
        ({"pad_to_crop": True}, "pad_to_crop needs a size to pad to, got crop_size=None"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TrainTransform(**arguments)


def test_test_edges_below_one_pixel_are_refused():
    with pytest.raises(ValueError, match="got shortest_edge=0, longest_edge=5"):
        transforms.TestTransform(shortest_edge=0, longest_edge=5)


def test_colours_of_the_annotation_are_not_touched():
    sample = random_sample(6, 5)
    result = TrainTransform(color_augmentation=True, flip=False)(sample)

    assert torch.equal(result.segment_map, sample.segment_map)
