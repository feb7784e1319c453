"""A description opens what it describes, and says what is wrong with it.

Mutants that must fail: paths that leave the folder; keys of maps left text; an unknown argument
passed on.
"""

import dataclasses
import json

import pytest
import torch
from PIL import Image

from minioneformer.data.described import open_described

SEMANTIC = {
    "format": "semantic_folder",
    "splits": {"train": {"image_dir": "images", "png_dir": "labels"}},
    "values": {"0": "ignore", "1": "road", "2": "car"},
    "things": ["car"],
}


def picture(path, value=7, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (13, 9), value).save(path)


@pytest.fixture
def root(tmp_path):
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "labels" / "a.png", 2, "L")
    picture(tmp_path / "objects" / "a.png", 5, "L")
    return tmp_path


def describe(root, values):
    (root / "dataset.json").write_text(json.dumps(values))


def test_label_maps(root):
    describe(root, SEMANTIC)
    dataset = open_described(root, "train")
    assert [c.name for c in dataset.categories] == ["road", "car"]
    assert dataset.tasks == ("semantic",)
    assert [segment.label for segment in dataset[0].segments] == [1]
    known = dataset.categories[::-1]
    assert open_described(root, "train", categories=known)[0].segments[0].label == 0
    other = [dataclasses.replace(category, is_thing=False) for category in known]
    with pytest.raises(ValueError, match=r"things disagree with the classes .*got \['car'\]"):
        open_described(root, "train", categories=other)


def test_objects_over_a_background(root):
    Image.fromarray(torch.eye(9, 13).mul(5).byte().numpy()).save(root / "objects" / "a.png")
    values = {
        "format": "instance_folder",
        "splits": {"val": {"image_dir": "images", "png_dir": "objects"}},
        "class_name": "cell",
        "background": "tissue",
    }
    describe(root, values)
    dataset = open_described(root, "val")
    assert [(c.name, c.is_thing) for c in dataset.categories] == [("cell", True), ("tissue", False)]
    assert len(dataset.tasks) == 3 and len(dataset[0].segments) == 2
    again = open_described(root, "val", categories=dataset.categories)
    assert again.categories == dataset.categories


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "semantic_foldr"}, "format is not known.*Near match: semantic_folder"),
        ({"format": None}, "format is not known, got None. There are: coco_panoptic"),
        ({"splits": []}, "splits must name the folders"),
        ({"thing": ["car"]}, "an argument of semantic_folder is not known.*Near match: things"),
        ({"values": {"one": "road"}}, "values of pixels are whole numbers, got 'one'"),
        ({"background": "rest"}, "background is for data that annotate objects only"),
        ({"splits": {"train": {"image_dir": "../x", "png_dir": "labels"}}}, "stay in the folder"),
        (
            {"splits": {"train": {"image_dir": "images"}}},
            "needs png_dir, got values",
        ),
        ({"format": ["semantic_folder"]}, "format is not known, got .'semantic_folder'."),
        ({"splits": {"train": "images"}}, "split 'train' must name its folders, got 'images'"),
        ({"values": ["road", "car"]}, "values must be a map such as .*, got .'road', 'car'."),
        (
            {"values": {"0": "ignore", "1": 5}},
            "values must be a map .*, got .'0': 'ignore'",
        ),
        ({"values": {"1": " "}}, "values must be a map such as"),
        ({"things": "car"}, "things must be a list of class names, got 'car'"),
        ({"things": [["car"]]}, "things must be a list of class names"),
        ({"png_suffix": 5}, "png_suffix must be the end of a file name, got 5"),
        ({"background": 3}, "background must be a name, got 3"),
        ({"categories": []}, "an argument of semantic_folder is not known, got 'categories'"),
        (
            {"splits": {"train": {"image_dir": 3, "png_dir": "x"}}},
            "image_dir must be a path",
        ),
    ],
)
def test_what_is_wrong_is_named_with_the_file(root, change, message):
    describe(root, SEMANTIC | change)
    with pytest.raises(ValueError, match=f"dataset.json: .*{message}|dataset.json.*{message}"):
        open_described(root, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_of": ["cell"]}, "class_of must be a map"),
        ({"class_name": 4}, "class_name must be a name, got 4"),
        ({"class_name": "cell", "divisor": "1000"}, "divisor must be a whole number, got '1000'"),
        ({"class_name": "cell", "divisor": True}, "divisor must be a whole number, got True"),
    ],
)
def test_arguments_of_other_forms_are_checked_too(root, change, message):
    splits = {"train": {"image_dir": "images", "png_dir": "objects"}}
    describe(root, {"format": "instance_folder", "splits": splits} | change)
    with pytest.raises(ValueError, match=f"dataset.json: {message}"):
        open_described(root, "train")


def test_labels_may_be_a_list_or_a_map_and_nothing_else(root):
    (root / "json").mkdir()
    (root / "json" / "a.json").write_text('{"imagePath": "a.png", "shapes": []}')
    values = {"format": "labelme", "splits": {"train": {"json_dir": "json"}}}
    for classes in (["cell"], {"Cell": "cell"}):
        describe(root, values | {"classes": classes})
        assert open_described(root, "train").categories[0].name == "cell"
    for classes in ("cell", 3, {"Cell": 1}):
        describe(root, values | {"classes": classes})
        with pytest.raises(ValueError, match="classes must be a list of labels, or a map"):
            open_described(root, "train")


def test_null_is_nothing_given(root):
    describe(root, SEMANTIC | {"png_suffix": None, "background": None})
    assert len(open_described(root, "train")) == 1


def test_splits_and_files_that_are_not_there(root):
    with pytest.raises(FileNotFoundError, match="no description of the data.*dataset.json"):
        open_described(root, "train")
    describe(root, SEMANTIC)
    with pytest.raises(ValueError, match="the split is not known, got 'val'. There are: train"):
        open_described(root, "val")
    (root / "dataset.json").write_text("{")
    with pytest.raises(ValueError, match="dataset.json is not valid JSON"):
        open_described(root, "train")
    (root / "dataset.json").write_text("[]")
    with pytest.raises(ValueError, match="must hold one JSON object, got a list"):
        open_described(root, "train")
