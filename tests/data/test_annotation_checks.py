"""Entries, ids and paths: what every reader checks in the same words.

Mutants that must fail: compare paths before following links; count repeated ids by `list.count`
(slow); accept a list where an object belongs.
"""

import json
import time

import pytest

from minioneformer.data.annotation_checks import (
    brief_list,
    check_entries,
    inside,
    load_json,
    refuse_repeated,
)


@pytest.mark.parametrize("name", ["../x.png", "/etc/hostname", "", ".", "a/../../x", "a\0b"])
def test_a_path_must_stay_inside(tmp_path, name):
    with pytest.raises(ValueError, match=r"^here: .*got file_name="):
        inside(tmp_path, name, "here")


def test_a_path_inside_is_resolved(tmp_path):
    assert inside(tmp_path, "a/../b.png", "here") == tmp_path.resolve() / "b.png"


def test_a_link_that_leads_outside_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").touch()
    (tmp_path / "in" / "x").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="paths must stay inside"):
        inside(tmp_path / "in", "x", "here")


def test_ids_are_compared_quickly_and_named_once():
    ids = [*range(100_000), 7, 3]
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"here: ids must be unique, got twice \[3, 7\]"):
        refuse_repeated(ids, "ids", "here")
    assert time.perf_counter() - start < 5
    refuse_repeated([1, "1"], "ids", "here")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, r"needs a list of image entries, got \{\}"),
        ([[]], r"image 0 must be an object, got \[\]"),
        ([{"id": 1}, {}], r"image 1 lacks \['id'\], got keys \[\]"),
        ([{"id": "x"}], "id of image 0 must be int, got 'x'"),
        ([{"id": 1, "area": "x"}], "area of image 0 must be float, got 'x'"),
    ],
)
def test_entries_that_do_not_fit_are_refused(entries, message):
    with pytest.raises(ValueError, match=f"^here: {message}"):
        check_entries(entries, {"id": (int,)}, "image", "here", {"area": (float,)})


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.json: (broken|cannot be read)"):
        load_json(path)


def test_json_is_read_and_a_missing_file_is_named(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps([1, "é"]), encoding="utf-8")
    assert load_json(path) == [1, "é"]
    with pytest.raises(FileNotFoundError, match=r"y\.json: there is no such annotation file"):
        load_json(tmp_path / "y.json")


def test_long_lists_are_cut():
    assert brief_list([1, 2, 3], limit=2) == "[1, 2, ...]"
    assert brief_list(["a"]) == "['a']"
    assert brief_list(["a" * 1000, 2]) == f"['{'a' * 99}..., 2]"
