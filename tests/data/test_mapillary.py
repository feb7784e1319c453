"""Mapillary Vistas, both versions, both forms of annotation.

Mutants that must fail: value % 256 for the label; an id of 0 for the first object; two segments of
one stuff class; the catalogue of v1.2 for v2.0; unlabeled pixels as a class.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.data.categories import load_catalog
from minioneformer.data.mapillary import Mapillary
from minioneformer.data.mapillary_writer import write_mapillary
from minioneformer.structures import TASKS, Category, PanopticSample, Segment

CATALOGUE = load_catalog("mapillary_vistas")
BIRD, CURB, UNLABELED = 0, 2, 65


def write_instances(root, values, name="a", folder=".", split="training"):
    (root / split / "images").mkdir(parents=True, exist_ok=True)
    (root / split / folder / "instances").mkdir(parents=True, exist_ok=True)
    values = np.asarray(values, np.uint16)
    Image.fromarray(np.zeros((*values.shape, 3), np.uint8)).save(
        root / split / "images" / f"{name}.jpg"
    )
    Image.fromarray(values).save(root / split / folder / "instances" / f"{name}.png")


def test_a_value_is_256_times_label_plus_number(tmp_path):
    values = [
        [256 * BIRD, 256 * BIRD + 1, 256 * CURB],
        [256 * CURB + 3, 256 * UNLABELED, 256 * BIRD],
    ]
    write_instances(tmp_path, values)
    dataset = Mapillary(tmp_path)
    sample = dataset[0]

    assert (dataset.form, dataset.tasks, dataset.unannotated) == ("instances", TASKS, 0)
    assert dataset.categories == CATALOGUE
    assert sample.segments == (
        Segment(id=1, label=BIRD),
        Segment(id=2, label=BIRD),
        Segment(id=513, label=CURB),
    )
    assert sample.segment_map.tolist() == [[1, 2, 513], [513, 0, 1]]
    assert (sample.image_id, sample.file_name) == ("a", "a.jpg")


@pytest.mark.parametrize("folder", [".", "v1.2"])
@pytest.mark.parametrize(("split", "asked"), [("training", "train"), ("val", "validation")])
def test_folders_of_both_downloads_are_found(tmp_path, folder, split, asked):
    write_instances(tmp_path, [[0, 0, 0]], folder=folder, split=split)
    assert len(Mapillary(tmp_path, asked)) == 1


def test_the_config_names_the_classes_of_v2(tmp_path):
    write_instances(tmp_path, [[0, 257, 512]], folder="v2.0")
    with pytest.raises(FileNotFoundError, match=r"unknown without config_v2\.0\.json\. Pass cat"):
        Mapillary(tmp_path, version="v2.0")
    rows = [
        {"readable": "Bird", "instances": True, "evaluate": True, "color": [1, 2, 3]},
        {"readable": "Ground", "instances": False, "evaluate": False, "color": [0, 0, 0]},
        {"readable": "Curb", "instances": False, "evaluate": True, "color": [4, 5, 6]},
    ]
    config = tmp_path / "config_v2.0.json"
    config.write_text(json.dumps({"labels": rows}))
    dataset = Mapillary(tmp_path, version="v2.0")

    assert dataset.categories == (
        Category(name="Bird", is_thing=True, color=(1, 2, 3), dataset_id=1),
        Category(name="Curb", is_thing=False, color=(4, 5, 6), dataset_id=3),
    )
    assert dataset[0].segment_map.tolist() == [[1, 0, 513]]
    assert [segment.label for segment in dataset[0].segments] == [0, 1]

    config.write_text(json.dumps({"labels": [{**rows[0], "color": [1, 2, 300]}]}))
    with pytest.raises(ValueError, match=r"config_v2\.0\.json: the color of label 0 must be RGB"):
        Mapillary(tmp_path, version="v2.0")
    config.write_text(json.dumps([]))
    with pytest.raises(ValueError, match=r"config_v2\.0\.json: needs a list of label entries"):
        Mapillary(tmp_path, version="v2.0")


def test_an_unknown_label_is_refused_with_its_count(tmp_path):
    write_instances(tmp_path, [[0, 66 * 256, 66 * 256]])
    with pytest.raises(ValueError, match=r"a\.png: unknown label, got 66 in 2 pixels"):
        Mapillary(tmp_path)[0]


def test_a_map_of_labels_in_the_place_of_instances_is_refused(tmp_path):
    write_instances(tmp_path, [[0, 0, 0]])
    Image.fromarray(np.zeros((1, 3), np.uint8)).save(tmp_path / "training/instances/a.png")
    with pytest.raises(ValueError, match=r"a\.png: needs 16 bits per pixel .*got bits=8"):
        Mapillary(tmp_path)[0]


def sample(name="a", ids=((1, 1, 7), (9, 0, 9))):
    return PanopticSample(
        image=torch.full((3, 2, 3), 90, dtype=torch.uint8),
        segment_map=torch.tensor(ids),
        segments=(
            Segment(id=1, label=BIRD),
            Segment(id=7, label=CURB),
            Segment(id=9, label=BIRD, is_crowd=True),
        ),
        image_id=name,
    )


@pytest.mark.parametrize("version", ["v1.2", "v2.0"])
def test_the_panoptic_files_are_preferred(tmp_path, version):
    write_mapillary([sample()], CATALOGUE, tmp_path, version=version)
    dataset = Mapillary(tmp_path, version=version)

    assert dataset.form == "panoptic"
    assert dataset.categories == CATALOGUE
    assert torch.equal(dataset[0].segment_map, sample().segment_map)
    assert [(s.id, s.label, s.is_crowd) for s in dataset[0].segments] == [
        (s.id, s.label, s.is_crowd) for s in sample().segments
    ]
    assert Mapillary(tmp_path, version=version, form="instances").form == "instances"


def test_given_categories_decide_the_labels(tmp_path):
    write_mapillary([sample()], CATALOGUE, tmp_path)
    for form in ("panoptic", "instances"):
        dataset = Mapillary(tmp_path, form=form, categories=CATALOGUE[::-1])
        assert {segment.label for segment in dataset[0].segments} == {64 - BIRD, 64 - CURB}


def test_names_come_from_the_catalogue_and_kinds_are_compared(tmp_path):
    path = write_mapillary([sample()], CATALOGUE, tmp_path)
    content = json.loads(path.read_text())
    content["categories"][0]["name"] = "animal--bird"
    path.write_text(json.dumps(content))
    assert Mapillary(tmp_path).categories == CATALOGUE
    content["categories"][0]["isthing"] = 0
    path.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"not those of the catalogue.*\(1, 'animal--bird'\).*Pass"
    ):
        Mapillary(tmp_path)


def test_what_is_missing_or_unknown_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"panoptic_2018\.json or instances/ in one of: .*v1"
    ):
        Mapillary(tmp_path)
    with pytest.raises(ValueError, match=r"version must be one of v1\.2, v2\.0, got version='v3'"):
        Mapillary(tmp_path, version="v3")
    with pytest.raises(ValueError, match="split must be one of training, .*got split='test'"):
        Mapillary(tmp_path, "test")
    write_instances(tmp_path, [[0, 0, 0]])
    with pytest.raises(ValueError, match="form must be panoptic, instances or None, got form='x'"):
        Mapillary(tmp_path, form="x")


@pytest.mark.parametrize("version", ["v1.2", "v2.0"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_the_layout_of_datumaro_is_read(shared_data, version, split):
    root = shared_data / "datumaro_assets" / "mapillary_vistas_dataset"
    with_json = Mapillary(root, split, version="v2.0")
    names = ["animal--bird", "construction--barrier--separator", "object--vehicle--bicycle"]
    assert [category.name for category in with_json.categories] == names
    opened = Mapillary(root, split, version=version, categories=with_json.categories)
    assert len(opened) == {"train": 1, "val": 2}[split]
    for one in opened:
        assert one.image.shape == (3, 5, 5)
        assert set(one.segment_map.unique().tolist()) == {s.id for s in one.segments}


def test_the_instances_of_datumaro_equal_its_panoptic_maps(shared_data):
    root = shared_data / "datumaro_assets" / "mapillary_vistas_dataset"
    panoptic = Mapillary(root, "train", version="v2.0")[0]
    instances = Mapillary(root, "train", version="v2.0", form="instances")

    assert [category.name for category in instances.categories] == ["Bird", "Separator", "Bicycle"]
    other = instances[0]
    pairs = set(
        zip(
            panoptic.segment_map.flatten().tolist(),
            other.segment_map.flatten().tolist(),
            strict=True,
        )
    )
    assert len(pairs) == len(panoptic.segments) == len(other.segments) == 5
    labels = [{s.id: s.label for s in one.segments} for one in (panoptic, other)]
    assert all(labels[0][a] == labels[1][b] for a, b in pairs)
