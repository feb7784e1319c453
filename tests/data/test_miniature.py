"""Miniatures are opened by their names and say what the toy data set says.

Mutants that must fail: a label of another class; one split written twice; the files of COCO without
their year; the toy's catalogue in place of the published one.
"""

import json

import pytest
import torch

from minioneformer.data.categories import load_catalog
from minioneformer.data.check import check_dataset
from minioneformer.data.miniature import TOY_LABELS, write_miniature
from minioneformer.data.named import ON_DISK, open_on_disk
from minioneformer.data.prepare import prepare
from minioneformer.data.toy import ToyPanoptic
from minioneformer.structures import TASKS

STANDS_FOR = {
    "ade20k": ["sky", "grass", "water", "ball", "box", "flag", "plate", "signboard, sign"],
    "cityscapes": ["sky", "terrain", "road", "car", "bus", "person", "bicycle", "motorcycle"],
    "coco": [
        "sky-other-merged", "grass-merged", "water-other",
        "sports ball", "tv", "kite", "donut", "airplane",
    ],
    "coco_panoptic": ["sky", "grass", "water", "circle", "square", "triangle", "ring", "cross"],
    "mapillary_vistas": [
        "Sky", "Terrain", "Water",
        "Manhole", "Billboard", "Traffic Sign (Front)", "Bicycle", "Utility Pole",
    ],
}  # fmt: skip
PLACES = {
    "ade20k": "annotations_instance/training/ADE_train_00000001.png",
    "cityscapes": "gtFine/val/toytown/toytown_000000_000000_gtFine_instanceIds.png",
    "coco": "val2017/000000000001.jpg",
    "coco_panoptic": "annotations/panoptic_val.json",
    "mapillary_vistas": "validation/panoptic/panoptic_2018.json",
}


def regions(sample, names):
    """Class name and pixels of each segment."""
    return sorted(
        (names[segment.label], (sample.segment_map == segment.id).numpy().tobytes())
        for segment in sample.segments
    )


@pytest.mark.parametrize("layout", TOY_LABELS)
def test_a_miniature_is_opened_by_its_name_and_is_the_toy(layout, tmp_path):
    root = write_miniature(layout, tmp_path / "new", images=2, size=(33, 50), seed=5)

    assert (root / PLACES[layout]).is_file()
    catalogue = load_catalog("toy" if layout == "coco_panoptic" else layout)
    for split in ("train", "val"):
        toy = ToyPanoptic(split=split, size=(33, 50), length=2, seed=5)
        dataset = open_on_disk(layout, root, split)
        assert (dataset.categories, dataset.tasks) == (catalogue, TASKS)
        assert check_dataset(dataset, num_workers=0, progress=False).errors == ()
        names = [category.name.strip() for category in dataset.categories]
        for sample, scene in zip(dataset, toy, strict=True):  # walks until there is no more
            assert regions(sample, names) == regions(scene, STANDS_FOR[layout])
            # some layouts are JPEG, which such small scenes do not survive unharmed
            assert (sample.image.float() - scene.image.float()).abs().mean() < 16


@pytest.mark.parametrize("layout", TOY_LABELS)
def test_things_stand_for_things(layout):
    catalogue = load_catalog("toy" if layout == "coco_panoptic" else layout)
    names = [catalogue[label].name.strip() for label in TOY_LABELS[layout]]
    assert names == STANDS_FOR[layout]
    kinds = [catalogue[label].is_thing for label in TOY_LABELS[layout]]
    assert kinds == [False] * 3 + [True] * 5


def test_every_published_layout_has_a_miniature():
    assert TOY_LABELS.keys() == ON_DISK.keys() - {"own"}


@pytest.mark.parametrize("layout", ["ade20k", "cityscapes"])
def test_a_miniature_can_be_prepared(layout, tmp_path):
    root = write_miniature(layout, tmp_path, images=2, size=(33, 50))
    before = [sample.segment_map for sample in open_on_disk(layout, root, "train")]
    splits = prepare(layout, root)
    assert [split.written for split in splits] == [2, 2]
    assert len(json.loads(splits[0].json_path.read_text())["images"]) == 2
    after = [sample.segment_map for sample in open_on_disk(layout, root, "train")]
    assert all(torch.equal(a > 0, b > 0) for a, b in zip(before, after, strict=True))


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path):
    with pytest.raises(ValueError, match="layout must be one of .*, got 'citiscapes'. Did you"):
        write_miniature("citiscapes", tmp_path)
    with pytest.raises(ValueError, match="must be one of .*, mapillary_vistas, got 'own'.$"):
        write_miniature("own", tmp_path)
    with pytest.raises(ValueError, match="needs at least one image, got images=0"):
        write_miniature("coco", tmp_path, images=0)
    with pytest.raises(ValueError, match="sides must be >= 16"):
        write_miniature("coco", tmp_path, size=(8, 90))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match=f"into an empty folder, got '{tmp_path}'"):
        write_miniature("coco", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
