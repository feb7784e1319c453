import json
from pathlib import Path

import pytest

import minioneformer.data.categories as module
from minioneformer.data.categories import (
    CATALOGS,
    ade20k_instance_labels,
    catalog_rows,
    class_names,
    ignore_label,
    load_catalog,
)
from minioneformer.structures import Category


@pytest.mark.parametrize(
    ("name", "num_classes", "num_things"),
    [
        ("toy", 8, 5),
        ("ade20k", 150, 100),
        ("cityscapes", 19, 8),
        ("coco", 133, 80),
        ("mapillary_vistas", 65, 37),
    ],
)
def test_each_catalogue_has_the_published_number_of_classes(name, num_classes, num_things):
    categories = load_catalog(name)
    assert len(categories) == num_classes
    assert sum(category.is_thing for category in categories) == num_things
    assert len({category.dataset_id for category in categories}) == num_classes
    assert all(0 <= channel <= 255 for c in categories for channel in c.color)


def test_the_toy_catalogue_is_three_stuff_then_five_thing_classes():
    categories = load_catalog("toy")
    assert class_names(categories) == (
        ["sky", "grass", "water", "circle", "square", "triangle", "ring", "cross"]
    )
    assert [category.is_thing for category in categories] == [False] * 3 + [True] * 5
    assert [category.dataset_id for category in categories] == list(range(1, 9))


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [
        ("ade20k", 8, ("window ", True, 8)),  # the blank is the original's
        ("cityscapes", 0, ("road", False, 7)),
        ("cityscapes", 18, ("bicycle", True, 33)),
        ("coco", 79, ("toothbrush", True, 90)),
        ("coco", 80, ("banner", False, 92)),
        ("mapillary_vistas", 0, ("Bird", True, 1)),
    ],
)
def test_known_rows_are_where_the_published_tables_have_them(name, label, expected):
    category = load_catalog(name)[label]
    assert (category.name, category.is_thing, category.dataset_id) == expected


def test_things_come_first_in_coco_and_last_in_cityscapes():
    assert [c.is_thing for c in load_catalog("coco")] == [True] * 80 + [False] * 53
    assert [c.is_thing for c in load_catalog("cityscapes")] == [False] * 11 + [True] * 8


@pytest.mark.parametrize("name", CATALOGS)
def test_the_row_order_of_each_file_is_the_label_order(name):
    path = Path(module.__file__).parent / "catalog" / f"{name}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["categories"]
    assert [row["id"] for row in rows] == list(range(len(rows)))


def test_ade20k_instance_numbers_name_each_thing_once():
    labels = ade20k_instance_labels()
    categories = load_catalog("ade20k")
    assert sorted(labels) == list(range(1, 101))
    assert sorted(labels.values()) == [i for i, c in enumerate(categories) if c.is_thing]
    assert categories[labels[1]].name == "bed"
    assert categories[labels[100]].name == "flag"


@pytest.mark.parametrize("name", CATALOGS[1:])
def test_the_catalogues_equal_the_published_tables(name, shared_data):
    """Every fact of every class: names verbatim, numbers of the annotation files, colours."""
    published = shared_data.parent / "spec" / f"categories_{name}.json"
    if not published.is_file():
        pytest.skip("the shared class tables are not beside the checkout")
    theirs = json.loads(published.read_text(encoding="utf-8"))
    path = Path(module.__file__).parent / "catalog" / f"{name}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["categories"]
    # the table of ADE20K does not repeat the label as the id in its panoptic files
    assert rows == [{"dataset_id": row["id"], **row} for row in theirs["categories"]]
    assert ignore_label(name) == theirs["ignore_label"]


@pytest.mark.parametrize("name", CATALOGS)
def test_the_label_of_no_class_is_no_label(name):
    expected = 65 if name == "mapillary_vistas" else 255
    assert ignore_label(name) == expected >= len(load_catalog(name))


def test_an_unknown_catalogue_is_refused_with_its_near_match():
    with pytest.raises(ValueError, match=r"got name='cityscape'.*mean 'cityscapes'"):
        load_catalog("cityscape")
    with pytest.raises(ValueError, match=r"got name='zzz'\. Known: toy, ade20k"):
        load_catalog("zzz")
    with pytest.raises(ValueError, match=r"got name='toi'.*mean 'toy'"):
        ignore_label("toi")


def test_class_names_of_no_categories_are_none():
    assert class_names([]) == []
    lone = Category(name="a b", is_thing=False, color=(0, 0, 0), dataset_id=4)
    assert class_names([lone]) == ["a b"]


def test_rows_hold_what_a_category_leaves_out_and_are_copies():
    rows = catalog_rows("cityscapes")
    rows[0]["name"] = "changed"

    assert (rows[11]["supercategory"], rows[11]["dataset_id"]) == ("human", 24)
    assert catalog_rows("cityscapes")[0]["name"] == "road"
