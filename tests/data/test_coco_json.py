"""The annotation file itself: what is read, and what is refused with which words.

Mutants that must fail: let repeated ids pass; forget the position of a JSON error; sort the
categories; let a bad area through.
"""

import json

import pytest

from minioneformer.data.coco_json import (
    brief_list,
    choose_categories,
    parse_segments,
    read_entries,
)
from minioneformer.structures import Category, Segment

CAT = Category(name="cat", is_thing=True, color=(1, 2, 3), dataset_id=7)
SKY = Category(name="sky", is_thing=False, color=(4, 5, 6), dataset_id=3)


def content(**changes):
    return {
        "images": [{"id": 1, "file_name": "1.png"}, {"id": "b", "file_name": "b.png"}],
        "annotations": [{"image_id": "b", "file_name": "b.png", "segments_info": []}],
        "categories": [
            {"id": 7, "name": "cat", "isthing": 1, "color": [1, 2, 3]},
            {"id": 3, "name": "sky", "isthing": 0, "color": [4, 5, 6]},
        ],
    } | changes


@pytest.fixture
def write(tmp_path):
    def to_file(value):
        path = tmp_path / "panoptic.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    return to_file


def test_images_meet_their_annotations_and_the_others_are_counted(write):
    pairs, categories, unannotated = read_entries(write(content()))

    assert [(image["id"], annotation["image_id"]) for image, annotation in pairs] == [("b", "b")]
    assert [category["id"] for category in categories] == [7, 3]
    assert unannotated == 1


def test_the_categories_keep_the_order_of_the_file(write):
    path = write(content())
    _, entries, _ = read_entries(path)

    assert choose_categories(entries, None, path) == (CAT, SKY)


def test_a_missing_colour_is_made_up_and_differs_from_its_neighbours(tmp_path):
    entries = [{"id": i, "name": str(i), "isthing": i % 2} for i in range(20)]

    categories = choose_categories(entries, None, tmp_path)

    assert len({category.color for category in categories}) == 20
    assert all(0 <= value <= 255 for category in categories for value in category.color)


def test_given_categories_decide_the_labels_and_may_be_more_than_the_file_has(tmp_path):
    given = (SKY, Category(name="dog", is_thing=True, color=(0, 0, 0), dataset_id=9), CAT)

    assert choose_categories(content()["categories"], given, tmp_path) == given
    assert choose_categories([], given, tmp_path) == given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((CAT,), r"got category ids \[3\] that none of them has as dataset_id"),
        ((CAT, SKY, CAT), r"dataset_ids must be unique, got twice \[7\]"),
    ],
)
def test_given_categories_that_do_not_fit_are_refused(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        choose_categories(content()["categories"], given, tmp_path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], r"needs a list of categories, got none. Pass categories="),
        ([{"id": 1, "name": "a"}], r"category 0 lacks \['isthing'\], got keys \['id', 'name'\]"),
        ([{"id": 1, "name": 5, "isthing": 0}], "name of category 0 must be str, got '5'"),
        (
            [{"id": 1, "name": "a", "isthing": 0, "color": [0, 0, 256]}],
            r"color of category 1 must be three integers.* got color=\[0, 0, 256\]",
        ),
    ],
)
def test_categories_of_the_file_that_cannot_be_used_are_refused(tmp_path, entries, message):
    with pytest.raises(ValueError, match=message):
        choose_categories(entries, None, tmp_path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"images": [],\n  "annotations": [}', "broken JSON at line 2, column 19"),
        ("[" * 100_000, "cannot be read as JSON"),
        ([{"id": 1}], "must be an object with images, annotations and categories, got a list"),
        ({"annotations": []}, r"needs 'images' besides the rest, got keys \['annotations'\]"),
        (content(annotations="none"), "needs a list of annotation entries, got 'none'"),
        (content(images=[3]), "image 0 must be an object, got 3"),
        (content(images=[{"id": 1}]), r"image 0 lacks \['file_name'\], got keys \['id'\]"),
        (content(images=[{"id": [1], "file_name": "a"}]), "id of image 0 must be int or str"),
        (content(images=[{"id": 1, "file_name": None}]), "file_name of image 0 must be str"),
        (content(images=[{"id": 1, "file_name": "a"}] * 2), r"image ids must be unique, .* \[1\]"),
        (content(annotations=content()["annotations"] * 2), r"image_ids of annotations .*\['b'\]"),
        (content(images=[]), r"annotations of no image, got image_ids \['b'\]"),
        (content(categories=[{"id": 1}, {"id": 1}]), r"category ids must be unique, .*\[1\]"),
    ],
)
def test_a_broken_file_is_refused_in_one_line_that_names_it(write, value, message):
    path = write(value)
    with pytest.raises(ValueError, match=message) as caught:
        read_entries(path)

    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.json: there is no such annotation file"):
        read_entries(tmp_path / "absent.json")


def test_a_file_of_other_bytes_is_refused(tmp_path):
    path = tmp_path / "image.json"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ValueError, match=r"image\.json: cannot be read as JSON"):
        read_entries(path)


def test_segments_keep_order_crowds_and_areas():
    entries = [
        {"id": 9, "category_id": 7, "iscrowd": 1, "area": 12.0, "bbox": [0, 0, 1, 1]},
        {"id": 4, "category_id": 3},
    ]

    segments = parse_segments({"segments_info": entries}, {7: 0, 3: 1}, "here")

    assert segments == (
        Segment(id=9, label=0, is_crowd=True, area=12),
        Segment(id=4, label=1, is_crowd=False, area=None),
    )


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"id": 1}], r"segment 0 lacks \['category_id'\], got keys \['id'\]"),
        ([{"id": "1", "category_id": 7}], "id of segment 0 must be int, got '1'"),
        ([{"id": 1, "category_id": 7}] * 2, r"segment ids must be unique, got twice \[1\]"),
        ([{"id": 0, "category_id": 7}], "segment ids must be above 0, got id=0"),
        ([{"id": 1, "category_id": 8}], "segment 1 has an unknown category, got category_id=8"),
        ([{"id": 1, "category_id": 7, "area": -1}], "segment 1 needs an area >= 0, got area=-1"),
        ([{"id": 1, "category_id": 7, "area": float("nan")}], "area >= 0, got area=nan"),
        ([{"id": 1, "category_id": 7, "iscrowd": "no"}], "iscrowd of segment 0 must be int"),
    ],
)
def test_segments_that_cannot_be_used_are_refused(entries, message):
    with pytest.raises(ValueError, match="here: .*" + message):
        parse_segments({"segments_info": entries}, {7: 0}, "here")


def test_a_long_list_is_shortened():
    assert brief_list([1, 2, 3], limit=2) == "[1, 2, ...]"
    assert brief_list(["a"]) == "['a']"
