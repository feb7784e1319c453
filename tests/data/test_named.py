"""Mutants that must fail: classes compared by id only; labels in the order of the file; 0 images
taken for "not given".
"""

import dataclasses
import json
from pathlib import Path

import pytest

from minioneformer.data.categories import load_catalog
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.named import open_for_evaluation, open_on_disk
from minioneformer.data.toy import ToyPanoptic

TOY = ToyPanoptic().categories


def open_toy(**changes):
    arguments = {"root": None, "split": "val", "images": None, "categories": TOY} | changes
    return open_for_evaluation("toy", **arguments)


def open_coco(root, **changes):
    arguments = {"root": root, "split": "val", "images": None, "categories": TOY} | changes
    return open_for_evaluation("coco_panoptic", **arguments)


@pytest.fixture
def root(tmp_path):
    ToyPanoptic(split="val", size=(20, 28), length=2).write_coco_panoptic(tmp_path)
    return tmp_path


def edit(root, change):
    path = root / "annotations" / "panoptic_val.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_toy_images_are_generated():
    assert len(open_toy()) == 200
    assert len(open_toy(images=3)) == 3
    train, val = (open_toy(split=split, images=1)[0] for split in ("train", "val"))
    assert (train.image != val.image).any()


def test_files_are_read_with_the_labels_of_the_model(root):
    known = tuple(reversed(TOY))
    opened = open_coco(root, categories=known)
    assert opened.categories == known
    plain = CocoPanoptic.from_root(root, "val")
    for index in range(2):
        names = [known[segment.label].name for segment in opened[index].segments]
        assert names == [TOY[segment.label].name for segment in plain[index].segments]


def test_other_colours_do_not_make_other_classes(root):
    known = tuple(dataclasses.replace(category, color=(1, 2, 3)) for category in TOY)
    assert open_coco(root, categories=known).categories == TOY  # the same classes
    assert open_toy(images=1, categories=known).categories == TOY


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"root": Path("x")}, "toy data set is generated, got the data root 'x'"),
        ({"split": "test"}, "has the splits train and val, got 'test'"),
        ({"images": 0}, "something to evaluate on, got images=0"),
        ({"images": -1}, "something to evaluate on, got images=-1"),
        ({"categories": TOY[:-1]}, rf"only there \['{TOY[-1].name}'\], only in the model \[\]"),
        ({"categories": TOY[::-1]}, f"in another order, got .'{TOY[-1].name}'"),
    ],
)
def test_what_the_toy_data_set_cannot_do_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        open_toy(**change)


def test_files_need_a_root_and_are_used_all(root):
    with pytest.raises(ValueError, match="lies on disk: give its data root, got root=None"):
        open_coco(None)
    with pytest.raises(ValueError, match="files are evaluated all, got images=5"):
        open_coco(root, images=5)


def test_missing_files_are_named(root):
    with pytest.raises(FileNotFoundError, match="got none of: .*panoptic_test.json"):
        open_coco(root, split="test")
    with pytest.raises(FileNotFoundError, match="absent"):
        open_coco(root / "absent")


def test_classes_with_the_same_ids_but_other_names_are_refused(root):
    edit(root, lambda content: content["categories"][1].update(name="person"))
    message = rf"{root}, val, got only there \['person'\], only in the model \['{TOY[1].name}'\]"
    with pytest.raises(ValueError, match=message):
        open_coco(root)


def test_a_thing_that_is_stuff_in_the_file_is_refused(root):
    edit(root, lambda content: content["categories"][-1].update(isthing=0))
    with pytest.raises(ValueError, match="the model knows other classes than .*, val, got"):
        open_coco(root)


def test_a_file_without_annotated_images_is_refused(root):
    edit(root, lambda content: content.update(annotations=[]))
    with pytest.raises(ValueError, match="there is no annotated image in .*, val"):
        open_coco(root)


def test_generated_data_do_not_lie_on_disk(tmp_path):
    with pytest.raises(ValueError, match="the toy data set is generated: nothing of it lies on"):
        open_on_disk("toy", tmp_path, "val")


@pytest.mark.parametrize(("name", "hint"), [("toi", " Did you mean 'toy'"), ("xyz", "got 'xyz'.$")])
def test_an_unknown_data_set_is_refused(name, hint):
    with pytest.raises(ValueError, match=f"dataset must be one of toy, coco_panoptic, .*{hint}"):
        open_for_evaluation(name, root=None, split="val", images=None, categories=TOY)


def test_coco_itself_has_its_own_classes(root):
    with pytest.raises(ValueError, match="COCO knows other classes than .*panoptic_val.json"):
        open_on_disk("coco", root, "val")
    rows = [
        {"id": c.dataset_id, "name": c.name, "isthing": int(c.is_thing), "color": list(c.color)}
        for c in reversed(load_catalog("coco"))
    ]
    edit(root, lambda content: content.update(categories=rows))
    assert open_on_disk("coco", root, "val").categories == load_catalog("coco")


@pytest.mark.parametrize("name", ["ade20k", "cityscapes", "mapillary_vistas", "own"])
def test_missing_data_are_named_whatever_their_layout(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        open_on_disk(name, tmp_path, "val")
