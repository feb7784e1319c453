"""Mutants that must fail: a colour of 256 let through; a class without a name given one; an old
file replaced by half a new one.
"""

import json

import pytest

from minioneformer.checkpoints.folder_files import (
    read_classes,
    read_json,
    write_classes,
    write_json,
)
from minioneformer.structures import Category

ROW = {"name": "sky", "isthing": 0, "color": [1, 2, 3], "dataset_id": 5}


def test_json_comes_back(tmp_path):
    write_json(tmp_path / "x.json", {"a": [1, None], "b": "ä"})
    assert read_json(tmp_path / "x.json") == {"a": [1, None], "b": "ä"}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": ', "x.json is not valid JSON: Expecting value"),
        (b"\xff\xff", "x.json is not valid JSON: .*utf-8"),
        (b"[" * 100_000, "x.json is not valid JSON"),
        (b"[1]", "x.json must hold one JSON object, got a list"),
    ],
    ids=["cut", "bytes", "deep", "list"],
)
def test_what_is_no_json_object_is_refused(tmp_path, content, message):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / "x.json")


def test_a_missing_json_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="a file of the model is missing, got '.*x.json'"):
        read_json(tmp_path / "x.json")


def test_classes_come_back_in_the_order_of_their_labels(tmp_path):
    categories = tuple(
        Category(name=f"c{i}", is_thing=i % 2 == 0, color=(i, 255, 0), dataset_id=90 - i)
        for i in range(12)  # as texts, "10" comes before "2"
    )
    write_classes(tmp_path / "x.json", categories)
    assert read_classes(tmp_path / "x.json", 12) == categories


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"1": ROW}, "must have the keys 0 .. 0, one for each .*got 1 keys: 1"),
        ({"zero": ROW}, "got 1 keys: zero"),
        ({}, "got 0 keys"),
        ({"0": [1]}, r"x.json: class 0 must be an object with named values, got \[1\]"),
        ({"0": {"name": "sky"}}, "x.json: class 0 lacks isthing"),
        ({"0": ROW | {"name": 3}}, "x.json: class 0.name must be str, got 3"),
        ({"0": ROW | {"color": [1, 2]}}, r"class 0.color must be tuple\[int, int, int\]"),
        ({"0": ROW | {"color": [1, 2, 256]}}, r"color outside 0 .. 255, got \(1, 2, 256\)"),
        ({"0": ROW | {"color": [-1, 2, 3]}}, r"color outside 0 .. 255, got \(-1, 2, 3\)"),
    ],
)
def test_classes_that_do_not_fit_are_refused(tmp_path, rows, message):
    (tmp_path / "x.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=message):
        read_classes(tmp_path / "x.json", 1)


def test_classes_may_come_without_colours_and_ids(tmp_path):
    (tmp_path / "x.json").write_text(
        json.dumps(
            {"0": {"name": "a", "isthing": 1}}
            | {"1": {"name": "b", "isthing": False, "dataset_id": 9}}
        )
    )
    first, second = read_classes(tmp_path / "x.json", 2)
    assert (first.dataset_id, second.dataset_id) == (0, 9)
    assert first.color == (230, 57, 57)  # hue 0, saturation 0.75, value 0.9
    assert second.color != first.color and max(second.color) <= 255
