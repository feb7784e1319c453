"""Miniatures in the layout of Mapillary Vistas.

Mutants that must fail: number stuff; number objects over classes; crowds get a number; labels
without a palette.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.data.mapillary_writer import write_mapillary
from minioneformer.data.toy import ToyPanoptic
from minioneformer.structures import Category, PanopticSample, Segment

CATALOGUE = (
    Category(name="road", is_thing=False, color=(9, 8, 7), dataset_id=1),
    Category(name="car", is_thing=True, color=(6, 5, 4), dataset_id=2),
)


def sample(name="a", segments=None):
    if segments is None:
        segments = (
            Segment(id=4, label=0),
            Segment(id=5, label=1),
            Segment(id=6, label=1),
            Segment(id=7, label=1, is_crowd=True),
            Segment(id=8, label=0),
        )
    return PanopticSample(
        image=torch.full((3, 2, 3), 90, dtype=torch.uint8),
        segment_map=torch.tensor([[4, 5, 6], [7, 8, 0]]),
        segments=segments,
        image_id=name,
    )


def test_the_files_of_v1_lie_beside_the_images(tmp_path):
    path = write_mapillary([sample("a"), sample("b")], CATALOGUE, tmp_path)
    folder = tmp_path / "training"

    assert path == folder / "panoptic" / "panoptic_2018.json"
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("b.*")) == [
        "training/images/b.jpg",
        "training/instances/b.png",
        "training/labels/b.png",
        "training/panoptic/b.png",
    ]
    with Image.open(folder / "instances" / "a.png") as picture:
        assert np.array(picture).tolist() == [[0, 256, 257], [512, 0, 512]]
    with Image.open(folder / "labels" / "a.png") as picture:
        assert picture.mode == "P"
        assert np.array(picture).tolist() == [[0, 1, 1], [2, 0, 2]]
        assert picture.convert("RGB").getpixel((1, 0)) == (6, 5, 4)
    config = json.loads((tmp_path / "config.json").read_text())["labels"]
    assert [(row["readable"], row["evaluate"]) for row in config] == [
        ("road", True),
        ("car", True),
        ("Unlabeled", False),
    ]


def test_the_files_of_v2_lie_in_their_folder(tmp_path):
    toy = ToyPanoptic(length=2, size=(32, 48))
    path = write_mapillary(iter(toy), toy.categories, tmp_path, split="validation", version="v2.0")

    assert path == tmp_path / "validation" / "v2.0" / "panoptic" / "panoptic_2020.json"
    assert len(list((tmp_path / "validation" / "images").iterdir())) == 2
    assert (tmp_path / "config_v2.0.json").is_file()


def test_what_the_layout_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"dataset ids must be 1, 2, .*got dataset_ids=\[2, 1\]"):
        write_mapillary([], CATALOGUE[::-1], tmp_path)
    with pytest.raises(ValueError, match="version must be one of"):
        write_mapillary([], CATALOGUE, tmp_path, version="v1")
    with pytest.raises(ValueError, match="two samples share an id, got image_id='a'"):
        write_mapillary([sample(), sample()], CATALOGUE, tmp_path)
    with pytest.raises(ValueError, match=r"must be a plain file name, got '\.\./x'"):
        write_mapillary([sample("../x")], CATALOGUE, tmp_path)
    crowded = tuple(Segment(id=i, label=1) for i in range(1, 258))
    with pytest.raises(ValueError, match="at most 256 objects.*got more of 'car' in image 'a'"):
        write_mapillary([sample(segments=crowded)], CATALOGUE, tmp_path)
    write_mapillary([sample()], CATALOGUE, tmp_path)
    with pytest.raises(FileExistsError, match=r"got '.*panoptic_2018\.json'"):
        write_mapillary([sample()], CATALOGUE, tmp_path)
