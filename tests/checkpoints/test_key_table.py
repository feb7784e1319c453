"""Mutants that must fail: parts joined in another order; a stacked pair joined instead; a name
left out or there twice accepted; a fused tensor that is half there treated as absent.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.checkpoints.key_table import (
    Entry,
    check_table,
    fused,
    in_projection,
    list_names,
    match_theirs,
    renamed,
    take_ours,
    to_ours,
    to_theirs,
)

TABLE = (
    Entry(("a",), ("x.a",)),
    Entry(("q", "k", "v"), ("x.qkv",)),
    Entry(("qkv",), ("x.q", "x.k", "x.v")),
    Entry(("scale1", "scale2"), ("x.scales",), stacked=True),
)
ROWS = torch.arange(12.0).reshape(6, 2)
THEIRS = {
    "x.a": torch.tensor(7, dtype=torch.int64),
    "x.qkv": ROWS,
    "x.q": ROWS[:1],
    "x.k": ROWS[1:2],
    "x.v": ROWS[2:3],
    "x.scales": ROWS[:2],
}


def test_the_example_of_the_docstring():
    ours = to_ours(TABLE, THEIRS)
    assert list(ours) == ["a", "q", "k", "v", "qkv", "scale1", "scale2"]
    assert ours["a"] == 7
    assert ours["q"].tolist() == [[0, 1], [2, 3]]
    assert ours["k"].tolist() == [[4, 5], [6, 7]]
    assert ours["v"].tolist() == [[8, 9], [10, 11]]
    assert ours["qkv"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert ours["scale1"].tolist() == [0, 1]
    assert ours["scale2"].tolist() == [2, 3]


def test_there_and_back_is_the_identity():
    back = to_theirs(TABLE, to_ours(TABLE, THEIRS))
    assert list(back) == ["x.a", "x.qkv", "x.q", "x.k", "x.v", "x.scales"]
    assert all(torch.equal(back[name], THEIRS[name]) for name in THEIRS)
    assert back["x.a"].dtype == torch.int64


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.lists(
        st.tuples(st.integers(1, 4), st.booleans(), st.booleans(), st.integers(1, 3)), max_size=6
    )
)
def test_any_table_there_and_back_is_the_identity(kinds):
    table, weights = [], {}
    for number, (parts, joined_here, stacked, rows) in enumerate(kinds):
        many = tuple(f"{number}.{part}" for part in range(parts))
        one = (f"{number}",)
        stacked = stacked and parts > 1
        table.append(Entry(one, many, stacked) if joined_here else Entry(many, one, stacked))
        for name in table[-1].ours:
            leading = parts if stacked and joined_here else rows * (parts if joined_here else 1)
            weights[name] = torch.randn(leading, 3)
    back = to_ours(table, to_theirs(table, weights))
    assert set(back) == set(weights)
    assert all(torch.equal(back[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([Entry(("a",), ("x",)), Entry(("a",), ("y",))], "of ours are in the table twice, got a"),
        ([Entry(("a",), ("x",)), Entry(("b",), ("x",))], "of theirs are in the table twice, got x"),
        ([Entry(("a", "b"), ("x", "y"))], "one tensor on one of its sides, got Entry"),
    ],
    ids=["ours", "theirs", "many"],
)
def test_a_table_that_is_no_bijection_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        check_table(table)
    with pytest.raises(ValueError, match=message):
        to_ours(table, {})
    with pytest.raises(ValueError, match=message):
        to_theirs(table, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x.a": None}, "1 tensors are missing, got none of x.a"),
        ({"new": ROWS}, "1 tensors are not in the table, got new"),
        ({"x.qkv": ROWS[:4]}, r"x.qkv must be cut into 3 equal parts, got the shape \(4, 2\)"),
        ({"x.qkv": ROWS[:0]}, r"x.qkv must be cut into 3 equal parts, got the shape \(0, 2\)"),
        ({"x.qkv": torch.tensor(1.0)}, r"x.qkv must be cut .* got the shape \(\)"),
        ({"x.scales": ROWS[:4]}, r"x.scales must be cut into 2 equal parts, .* \(4, 2\)"),
        ({"x.k": ROWS}, r"of one shape and type, got x.q \(1, 2\) .*, x.k \(6, 2\)"),
        ({"x.k": ROWS[:1].half()}, "of one shape and type, got .* x.k .* torch.float16"),
    ],
    ids=["missing", "unknown", "uneven", "empty", "scalar", "stacked", "shapes", "types"],
)
def test_weights_that_do_not_fit_the_table_are_refused(changes, message):
    weights = {k: v for k, v in (THEIRS | changes).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        to_ours(TABLE, weights)


def test_weights_without_an_entry_are_refused_on_the_way_out_too():
    ours = to_ours(TABLE, THEIRS)
    with pytest.raises(ValueError, match="1 tensors are not in the table, got z"):
        to_theirs(TABLE, ours | {"z": ROWS})
    del ours["k"]
    with pytest.raises(ValueError, match="1 tensors are missing, got none of k"):
        to_theirs(TABLE, ours)


def test_a_file_is_compared_with_the_table():
    match = match_theirs(TABLE, ["x.a", "x.scales", "extra"])
    assert match.entries == (TABLE[0], TABLE[3])
    assert match.absent == ("q", "k", "v", "qkv")
    assert match.unknown == ("extra",)


def test_a_part_of_a_fused_tensor_is_neither_there_nor_absent():
    with pytest.raises(ValueError, match="parts of fused tensors are missing, got 2: x.k, x.v"):
        match_theirs(TABLE, ["x.a", "x.q"])


def test_what_a_file_has_is_taken_and_the_rest_is_explained():
    weights = {"x.a": ROWS, "old.index": ROWS, "index": ROWS}
    reasons = {"old.index": "of older versions"}.get
    ours, skipped = take_ours(TABLE, weights, reasons, allow_unknown=True)
    assert list(ours) == ["a"]
    assert skipped == {"old.index": "of older versions", "index": "not part of the model"}
    with pytest.raises(ValueError, match="no place for 1 tensors, got index: the configuration"):
        take_ours(TABLE, weights, reasons)


def test_five_names_are_shown_and_the_rest_counted():
    assert list_names(["a", "b"]) == "a, b"
    assert list_names([str(i) for i in range(7)]) == "0, 1, 2, 3, 4 and 2 more"


def test_entries_of_whole_modules():
    assert renamed("a", "b") == [
        Entry(("a.weight",), ("b.weight",)),
        Entry(("a.bias",), ("b.bias",)),
    ]
    assert fused(["a"], ["x", "y"], ["weight"]) == [Entry(("a.weight",), ("x.weight", "y.weight"))]
    assert in_projection("a", "b") == [
        Entry(
            ("a.query_proj.weight", "a.key_proj.weight", "a.value_proj.weight"),
            ("b.in_proj_weight",),
        ),
        Entry(("a.query_proj.bias", "a.key_proj.bias", "a.value_proj.bias"), ("b.in_proj_bias",)),
        Entry(("a.out_proj.weight",), ("b.out_proj.weight",)),
        Entry(("a.out_proj.bias",), ("b.out_proj.bias",)),
    ]
