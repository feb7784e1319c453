"""Miniatures of ADE20K: raw values by hand, and what the layout has no form for."""

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.data.ade20k_writer import TOY_LABELS, write_ade20k
from minioneformer.data.categories import load_catalog
from minioneformer.structures import PanopticSample, Segment

BUILDING, BED = 1, 7


def make_sample(segments, image_id=3, segment_map=((0, 4, 4), (9, 9, 2))):
    segment_map = torch.tensor(segment_map)
    return PanopticSample(
        image=torch.full((3, *segment_map.shape), 90, dtype=torch.uint8),
        segment_map=segment_map,
        segments=segments,
        image_id=image_id,
    )


SAMPLE = make_sample(
    (Segment(id=4, label=BUILDING), Segment(id=9, label=BED), Segment(id=2, label=BED))
)


def test_values_are_those_of_the_downloads(tmp_path):
    root = write_ade20k([SAMPLE], tmp_path, split="val")

    stem = "validation/ADE_val_00000003"
    with Image.open(root / "images" / f"{stem}.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (3, 2))
    semantic = Image.open(root / "annotations" / f"{stem}.png")
    assert semantic.mode == "L"
    assert np.array(semantic).tolist() == [[0, 2, 2], [8, 8, 8]]
    objects = np.array(Image.open(root / "annotations_instance" / f"{stem}.png"))
    assert objects[..., 0].tolist() == [[0, 0, 0], [1, 1, 1]]  # a bed is 1 of 100
    assert objects[..., 1].tolist() == [[0, 0, 0], [1, 1, 2]]
    assert not objects[..., 2].any()


def test_the_classes_of_the_toy_data_set_become_classes_of_their_kind():
    ours, toy = load_catalog("ade20k"), load_catalog("toy")
    assert [ours[label].is_thing for label in TOY_LABELS] == [c.is_thing for c in toy]
    assert [ours[label].name for label in TOY_LABELS[:3]] == [c.name for c in toy[:3]]
    assert len(set(TOY_LABELS)) == len(toy)


def test_objects_can_be_left_out_and_a_text_is_a_name(tmp_path):
    write_ade20k([make_sample(SAMPLE.segments, "beach")], tmp_path, instances=False)
    assert not (tmp_path / "annotations_instance").exists()
    assert (tmp_path / "annotations" / "training" / "beach.png").is_file()


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ((Segment(id=4, label=0, is_crowd=True),), r"no crowds, got segment 4"),
        ((Segment(id=4, label=0), Segment(id=9, label=0)), r"is one segment, got two of 'wall'"),
        ((Segment(id=4, label=150),), r"in 0 \.\. 149, got segment\.label=150"),
        ((Segment(id=4, label=-1),), r"in 0 \.\. 149, got segment\.label=-1"),
    ],
)
def test_what_the_layout_has_no_form_for_is_refused(tmp_path, segments, message):
    with pytest.raises(ValueError, match=message):
        write_ade20k([make_sample(segments)], tmp_path)


def test_labels_are_refused_beyond_the_given_ones_and_objects_beyond_a_byte(tmp_path):
    with pytest.raises(ValueError, match=r"in 0 \.\. 1, got segment\.label=7"):
        write_ade20k([SAMPLE], tmp_path, labels=(BUILDING, BED))
    many = make_sample(
        tuple(Segment(id=i, label=BED) for i in range(1, 257)),
        segment_map=torch.arange(1, 257).reshape(16, 16).tolist(),
    )
    with pytest.raises(ValueError, match=r"can have 255 objects, got more, sample\.image_id=3"):
        write_ade20k([many], tmp_path)


def test_names_and_splits_are_checked_and_nothing_is_overwritten(tmp_path):
    for image_id in ("../x", "", "a/b"):
        with pytest.raises(ValueError, match=r"plain file name, got image_id="):
            write_ade20k([make_sample((), image_id)], tmp_path)
    with pytest.raises(ValueError, match=r"train and val, got split='test'"):
        write_ade20k([], tmp_path, split="test")
    write_ade20k([SAMPLE], tmp_path)
    with pytest.raises(FileExistsError, match=r"image already, got '.*ADE_train_00000003\.jpg'"):
        write_ade20k([SAMPLE], tmp_path)
