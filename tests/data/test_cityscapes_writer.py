"""Miniatures of Cityscapes: raw values by hand, and what the layout has no form for."""

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.data.categories import load_catalog
from minioneformer.data.cityscapes_writer import TOY_LABELS, write_cityscapes
from minioneformer.structures import PanopticSample, Segment

SKY, CAR = 10, 13


def make_sample(segments, image_id=7, segment_map=((0, 4, 4), (9, 9, 2))):
    segment_map = torch.tensor(segment_map)
    return PanopticSample(
        image=torch.full((3, *segment_map.shape), 90, dtype=torch.uint8),
        segment_map=segment_map,
        segments=segments,
        image_id=image_id,
    )


SAMPLE = make_sample((Segment(id=4, label=SKY), Segment(id=9, label=CAR), Segment(id=2, label=CAR)))


def test_values_are_those_of_the_download(tmp_path):
    root = write_cityscapes([SAMPLE], tmp_path, split="val", city="ulm")

    stem = "ulm/ulm_000000_000007"
    with Image.open(root / "leftImg8bit" / "val" / f"{stem}_leftImg8bit.png") as image:
        assert (image.mode, image.size) == ("RGB", (3, 2))
    instances = Image.open(root / "gtFine" / "val" / f"{stem}_gtFine_instanceIds.png")
    assert instances.mode == "I;16"
    assert np.array(instances).tolist() == [[0, 23, 23], [26000, 26000, 26001]]
    labels = Image.open(root / "gtFine" / "val" / f"{stem}_gtFine_labelIds.png")
    assert labels.mode == "L"
    assert np.array(labels).tolist() == [[0, 23, 23], [26, 26, 26]]


def test_the_classes_of_the_toy_data_set_become_classes_of_their_kind():
    ours, toy = load_catalog("cityscapes"), load_catalog("toy")
    assert [ours[label].is_thing for label in TOY_LABELS] == [c.is_thing for c in toy]
    assert len(set(TOY_LABELS)) == len(toy)


def test_instance_ids_can_be_left_out_and_a_text_names_the_city(tmp_path):
    write_cityscapes([make_sample((), "bonn_000001_000002")], tmp_path, instances=False)
    files = [path.name for path in (tmp_path / "gtFine").rglob("*.png")]
    assert files == ["bonn_000001_000002_gtFine_labelIds.png"]


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ((Segment(id=4, label=SKY, is_crowd=True),), r"got another of 'sky'"),
        ((Segment(id=4, label=SKY), Segment(id=9, label=SKY)), r"got another of 'sky'"),
        (
            (Segment(id=4, label=CAR, is_crowd=True), Segment(id=9, label=CAR, is_crowd=True)),
            r"got another of 'car', sample\.image_id=7",
        ),
        ((Segment(id=4, label=19),), r"in 0 \.\. 18, got segment\.label=19"),
    ],
)
def test_what_the_layout_has_no_form_for_is_refused(tmp_path, segments, message):
    with pytest.raises(ValueError, match=message):
        write_cityscapes([make_sample(segments)], tmp_path)


def test_a_class_has_a_thousand_objects_and_no_more(tmp_path):
    segment_map = torch.arange(1, 1002).reshape(7, 143).tolist()
    for count in (1000, 1001):
        sample = make_sample(
            tuple(Segment(id=i + 1, label=CAR) for i in range(count)), segment_map=segment_map
        )
        if count == 1000:
            write_cityscapes([sample], tmp_path)
        else:
            with pytest.raises(ValueError, match=r"at most 1000 objects, got another of 'car'"):
                write_cityscapes([sample], tmp_path / "other")


def test_names_and_splits_are_checked_and_nothing_is_overwritten(tmp_path):
    for image_id in ("../x_0_0", "", "nocity", "_0_0", "a/b_0_0"):
        with pytest.raises(ValueError, match=r"like 'city_000000_000000', got image_id="):
            write_cityscapes([make_sample((), image_id)], tmp_path)
    with pytest.raises(ValueError, match=r"train, val, test, got split='training'"):
        write_cityscapes([], tmp_path, split="training")
    write_cityscapes([SAMPLE], tmp_path)
    with pytest.raises(FileExistsError, match=r"image already, got '.*_000007_leftImg8bit\.png'"):
        write_cityscapes([SAMPLE], tmp_path)
