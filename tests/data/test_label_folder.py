"""Folders of label maps and of instance ids: every value is named, or refused with its count.

Mutants that must fail: let an unnamed value be void; take palette colours; take value % divisor
for the class; number the classes by value; drop the ignored objects from the list only.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.data.label_folder import InstanceFolder, SemanticFolder
from minioneformer.structures import Category

VALUES = {0: "ignore", 26: "car", 7: "road", 8: "road", 255: "ignore"}
MAP = np.array([[0, 7, 8, 26, 255], [7, 7, 26, 26, 0], [8, 8, 8, 8, 8]], np.uint8)
CATALOGUE = (
    Category(name="sky", is_thing=False, color=(1, 2, 3), dataset_id=3),
    Category(name="road", is_thing=False, color=(4, 5, 6), dataset_id=2),
    Category(name="car", is_thing=True, color=(7, 8, 9), dataset_id=1),
)


def write(folder, values, name="a", palette=False):
    for sub in ("images", "maps"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    if palette:
        picture.putpalette([200, 100, 50] * 256)
    picture.save(folder / "maps" / f"{name}.png")
    Image.fromarray(np.full((*values.shape, 3), 9, np.uint8)).save(
        folder / "images" / f"{name}.png"
    )


def semantic(folder, **options):
    options = {"values": VALUES, "things": ["car"], **options}
    return SemanticFolder(folder / "images", png_dir=folder / "maps", **options)


def instances(folder, **options):
    return InstanceFolder(folder / "images", png_dir=folder / "maps", **options)


@pytest.mark.parametrize("palette", [False, True])
def test_each_value_is_the_class_that_the_user_says(tmp_path, palette):
    write(tmp_path, MAP, palette=palette)
    dataset = semantic(tmp_path)
    sample = dataset[0]

    assert dataset.tasks == ("semantic",)
    assert [(c.name, c.is_thing, c.dataset_id) for c in dataset.categories] == [
        ("car", True, 26),
        ("road", False, 7),
    ]
    assert [(s.id, s.label) for s in sample.segments] == [(1, 0), (2, 1)]
    assert sample.segment_map.tolist() == [[0, 2, 2, 1, 0], [2, 2, 1, 1, 0], [2] * 5]
    assert (sample.image_id, sample.file_name) == ("a", "a.png")


def test_a_catalogue_decides_the_labels(tmp_path):
    write(tmp_path, MAP)
    dataset = semantic(tmp_path, things=(), categories=CATALOGUE)

    assert dataset.categories == CATALOGUE
    assert [segment.label for segment in dataset[0].segments] == [1, 2]


def test_maps_of_sixteen_bits_and_of_nothing_but_void(tmp_path):
    write(tmp_path, np.array([[0, 65535, 300]], np.uint16), "a")
    write(tmp_path, np.zeros((2, 3), np.uint8), "b")
    dataset = semantic(tmp_path, values={0: "ignore", 300: "road", 65535: "car"})

    assert dataset[0].segment_map.tolist() == [[0, 2, 1]]
    assert dataset[1].segments == ()
    assert not dataset[1].segment_map.any()


def test_an_unnamed_value_is_refused_with_its_count(tmp_path):
    write(tmp_path, MAP)
    values = {value: name for value, name in VALUES.items() if value != 8}
    with pytest.raises(
        ValueError, match=r"a\.png: every value .*got value=8 in 6 pixels\. Add \{8"
    ):
        semantic(tmp_path, values=values)[0]


def test_values_that_no_png_has_are_refused(tmp_path):
    write(tmp_path, MAP)
    with pytest.raises(ValueError, match=r"values of a PNG are 0 .. 65535, got \[-1\]"):
        semantic(tmp_path, values={-1: "car"})
    with pytest.raises(ValueError, match="at least one class"):
        semantic(tmp_path, values={0: "ignore"}, things=())


IDS = np.array([[0, 24001, 24002], [26001, 26001, 33000]], np.uint16)


def test_the_class_is_the_value_divided(tmp_path):
    write(tmp_path, IDS)
    dataset = instances(tmp_path, class_of={24: "person", 26: "car", 33: "ignore"})
    sample = dataset[0]

    assert dataset.tasks == ("instance",)
    assert [(c.name, c.is_thing, c.dataset_id) for c in dataset.categories] == [
        ("person", True, 24),
        ("car", True, 26),
    ]
    assert [(s.id, s.label) for s in sample.segments] == [(24001, 0), (24002, 0), (26001, 1)]
    assert sample.segment_map.tolist() == [[0, 24001, 24002], [26001, 26001, 0]]


def test_one_class_for_all_or_a_file_of_classes(tmp_path):
    write(tmp_path, np.array([[0, 1, 200]], np.uint8))
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"a": {"1": "dog", "200": "cat"}}))

    one = instances(tmp_path, class_name="cell")
    assert [(s.id, s.label) for s in one[0].segments] == [(1, 0), (200, 0)]
    assert [c.name for c in one.categories] == ["cell"]
    listed = instances(tmp_path, class_json=path)
    assert [c.name for c in listed.categories] == ["cat", "dog"]
    assert [s.label for s in listed[0].segments] == [1, 0]
    given = instances(tmp_path, class_name="car", categories=CATALOGUE)
    assert [s.label for s in given[0].segments] == [2, 2]


def test_an_object_without_a_class_is_refused_with_its_count(tmp_path):
    write(tmp_path, IDS)
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"a": {"24001": "person"}}))

    with pytest.raises(ValueError, match=r"a\.png, value 26001 in 2 pixels: no class .*got 26\. "):
        instances(tmp_path, class_of={24: "person"})[0]
    with pytest.raises(ValueError, match=r"value 24002 in 1 pixels: .*classes\.json has no class"):
        instances(tmp_path, class_json=path)[0]


def test_options_that_contradict_each_other_are_refused(tmp_path):
    write(tmp_path, IDS)
    with pytest.raises(ValueError, match="exactly one of class_name, class_of and class_json, got"):
        instances(tmp_path)
    with pytest.raises(ValueError, match="exactly one of class_name"):
        instances(tmp_path, class_name="x", class_of={1: "x"})
    with pytest.raises(ValueError, match="divisor must be at least 1, got divisor=0"):
        instances(tmp_path, class_of={1: "x"}, divisor=0)


@pytest.mark.parametrize("content", ["[]", '{"a": []}', '{"a": {"1": 2}}'])
def test_a_file_of_classes_of_another_form_is_refused(tmp_path, content):
    write(tmp_path, IDS)
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(ValueError, match=r"classes\.json: .*must be an object"):
        instances(tmp_path, class_json=tmp_path / "classes.json")


def test_an_empty_map_is_an_image_without_objects(tmp_path):
    write(tmp_path, np.zeros((2, 3), np.uint8))
    sample = instances(tmp_path, class_name="cell")[0]
    assert sample.segments == ()
    assert torch.equal(sample.segment_map, torch.zeros(2, 3, dtype=torch.int64))
