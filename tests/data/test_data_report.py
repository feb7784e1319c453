"""The report says everything once, as text and as JSON.

Mutants that must fail: examples of broken images; the first n instead of spread ones; cut the JSON.
"""

import json

import pytest

from minioneformer.data.data_report import SHOWN_PROBLEMS, ClassCount, DataReport, Problem, shorten
from minioneformer.structures import TASKS, Category

CATALOGUE = (
    Category(name="cat", is_thing=True, color=(0, 0, 0), dataset_id=1),
    Category(name="very long sky", is_thing=False, color=(0, 0, 0), dataset_id=2),
)


def make_report(images=10, errors=(), **changes):
    values = {
        "images": images,
        "categories": CATALOGUE,
        "tasks": TASKS,
        "classes": (ClassCount(segments=4, images=3, pixels=25), ClassCount()),
        "sizes": {(30, 40): 2, (50, 20): 7},
        "pixels": 100,
        "void_pixels": 75,
        "crowds": 1,
        "without_objects": 2,
        "all_void": 0,
        "most_targets": 4,
        "overlap_pixels": None,
        "warnings": ("beware",),
        "errors": tuple(errors),
    }
    return DataReport(**(values | changes))


@pytest.mark.parametrize(
    ("broken", "count", "expected"),
    [
        ([], 3, (0, 4, 9)),
        ([0, 4], 3, (1, 6, 9)),
        ([], 20, tuple(range(10))),
        ([], 1, (0,)),
        (list(range(10)), 3, ()),
    ],
)
def test_examples_are_spread_over_the_images_without_errors(broken, count, expected):
    report = make_report(errors=[Problem(index=i, message="x") for i in broken])
    assert report.examples(count) == expected


def test_the_table_shows_figures_warnings_and_errors():
    errors = [Problem(index=3, message="a.png: broken"), Problem(index=3, message="a.png: too")]
    table = make_report(errors=errors).table()

    assert "images           10, of them with errors 1" in table
    assert "75.0 % of the pixels" in table
    assert "50 x 20 (7), 30 x 40 (2)" in table
    assert "cat            thing          4          3   25.0 %" in table
    assert table.endswith("Errors (2 in 1 images)\n  a.png: broken\n  a.png: too")
    assert "overlaps" not in table
    assert "overlaps         9 pixels" in make_report(overlap_pixels=9).table()


def test_long_names_are_cut_in_the_table_only():
    assert shorten("n" * 40) == "n" * 40
    assert shorten("n" * 100) == "n" * 37 + "..."
    names = [Category(name=n * 99, is_thing=True, color=(0, 0, 0), dataset_id=0) for n in "ab"]
    report = make_report(categories=tuple(names))
    assert f"{'a' * 37}...  thing " in report.table()
    assert report.to_dict()["classes"][0]["name"] == "a" * 99


def test_long_lists_are_cut_in_the_table_only():
    errors = [Problem(index=i, message=f"{i}.png: broken") for i in range(SHOWN_PROBLEMS + 5)]
    sizes = {(i, i + 1): 1 for i in range(1, 10)}
    report = make_report(errors=errors, sizes=sizes)

    assert report.table().endswith("... and 5 more")
    assert "4 more" in report.table()
    assert len(report.to_dict()["errors"]) == SHOWN_PROBLEMS + 5
    assert len(report.to_dict()["sizes"]) == 9


def test_the_dictionary_is_plain_json():
    values = json.loads(json.dumps(make_report(errors=[Problem(index=3, message="m")]).to_dict()))

    assert values["sizes"] == [[50, 20, 7], [30, 40, 2]]
    assert values["void_share"] == 0.75
    assert values["errors"] == [{"index": 3, "message": "m"}]
    assert values["classes"][0] == {
        "name": "cat",
        "is_thing": True,
        "dataset_id": 1,
        "segments": 4,
        "images": 3,
        "pixels": 25,
    }


def test_a_data_set_without_images_or_classes_has_a_table():
    empty = make_report(images=0, categories=(), classes=(), sizes={}, pixels=0, void_pixels=0)
    assert "sizes (H x W)    -" in empty.table()
