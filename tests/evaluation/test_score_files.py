"""JSON files of other programs: what is refused, with file and entry."""

import json

import pytest

from minioneformer.evaluation.score_files import (
    NUMBER,
    ImageNames,
    check_rows,
    is_number,
    read_json,
    read_lists,
    refuse_repeated,
)


def test_lists_are_read_and_missing_optional_ones_are_empty(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"annotations": [1], "info": {}}))
    assert read_lists(path, ("annotations",), ("images",)) == {"annotations": [1], "images": []}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("[1]", "must be an object with annotations, got a list"),
        ('{"images": []}', r"needs the list 'annotations', got keys=\['images'\]"),
        ('{"annotations": {}}', "'annotations' must be a list, got a dict"),
        ('{"annotations": [', "not a JSON file, got path=.*a.json"),
        (b"\xff\xfe\x00", "not a JSON file, got path=.*a.json"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, content, match):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=match):
        read_lists(path, ("annotations",))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no JSON file, got path=.*none\.json"):
        read_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("row", "match"),
    [
        (3, "here, entry 1: must be an object, got a int"),
        ({"b": 1}, r"here, entry 1: needs 'a', got keys=\['b'\]"),
        ({"a": "x"}, "'a' must be int or float, got 'x'"),
        ({"a": float("nan")}, "'a' must be int or float, got 'nan'"),
        ({"a": 1, "b": 2}, "'b' must be str, got '2'"),
    ],
)
def test_rows_that_do_not_fit_are_refused(row, match):
    with pytest.raises(ValueError, match=match):
        check_rows([{"a": 1.5}, row], {"a": NUMBER}, "here", optional={"b": (str,)})


def test_truth_values_pass_for_whole_numbers_only():
    check_rows([{"iscrowd": True}], {"iscrowd": (int,)}, "here")
    with pytest.raises(ValueError, match="must be str, got 'True'"):
        check_rows([{"name": True}], {"name": (str,)}, "here")


def test_numbers_are_finite():
    assert is_number(3) and is_number(-0.5)
    assert not any(map(is_number, (float("inf"), float("nan"), "3", None)))


def test_repeated_values_are_refused():
    refuse_repeated([1, "1"], "ids", "file")
    with pytest.raises(ValueError, match="file: ids must differ, got 2 twice"):
        refuse_repeated([2, 1, 2], "ids", "file")


def test_images_are_known_by_id_and_by_the_name_of_their_file():
    names = ImageNames(
        [
            {"id": 139, "file_name": "val/000139.jpg"},
            {"id": 7, "file_name": "a/x.png"},
            {"id": 8, "file_name": "b/x.png"},
            {"id": "007"},
        ]
    )
    assert [names.resolve(i) for i in (139, "000139", "007")] == [139, 139, "007"]
    assert [names.resolve(i) for i in (140, "139", "x", "val/000139.jpg")] == [None] * 4
