"""Mutants that must fail: True taken for 1; a list left a list; nan let through; the length of a
tuple not compared; nested fields not looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.field_types import fit_fields, fit_value


@dataclass
class Inner:
    rate: float = 0.5


@dataclass
class Outer:
    name: str
    sizes: tuple[int, ...] = ()
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("value", "declared", "fitted"),
    [
        ([1, 2], tuple[float, ...], (1.0, 2.0)),
        ([], tuple[int, ...], ()),
        ((3, 5), tuple[int, int] | None, (3, 5)),
        (None, tuple[int, int] | None, None),
        (2, float, 2.0),
        (2, int | None, 2),
        (True, bool, True),
        (True, int | bool, True),
        ("toy", Literal["toy", "coco"], "toy"),
        ({"0": "sky", "11": "cat"}, Mapping[int, str], {0: "sky", 11: "cat"}),
        ({0: "sky"}, Mapping[int, str], {0: "sky"}),
        ({"sky": 1}, Mapping[str, float], {"sky": 1.0}),
    ],
)
def test_a_value_that_fits_gets_the_declared_type(value, declared, fitted):
    result = fit_value(value, declared, "x")
    assert result == fitted
    assert type(result) is type(fitted)
    if isinstance(result, tuple):
        assert [type(entry) for entry in result] == [type(entry) for entry in fitted]


@pytest.mark.parametrize(
    ("value", "declared", "message"),
    [
        (True, int, "x must be int, got True"),
        (True, float, "x must be float, got True"),
        (1, bool, "x must be bool, got 1"),
        ("8", int, "x must be int, got '8'"),
        (2.0, int, "x must be int, got 2.0"),
        (float("nan"), float, "x must be float, got nan"),
        (float("inf"), float, "x must be float, got inf"),
        (None, int, "x must be int, got None"),
        ("toi", Literal["toy", "coco"], r"x must be Literal\['toy', 'coco'\], got 'toi'"),
        ((1, 2, 3), tuple[int, int] | None, r"tuple\[int, int\] \| None, got \(1, 2, 3\)"),
        ([1, "a"], tuple[int, ...], r"tuple\[int, ...\], got \[1, 'a'\]"),
        (5, tuple[int, ...], "got 5"),
        ({"-1": "sky"}, Mapping[int, str], "got {'-1': 'sky'}"),
        ({"a": "sky"}, Mapping[int, str], "got {'a': 'sky'}"),
        ([], Mapping[int, str], r"got \[\]"),
        ("x" * 500, int, "got 'x{59}.$"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value, declared, message):
    with pytest.raises(ValueError, match=message):
        fit_value(value, declared, "x")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(), max_size=4), st.floats(allow_nan=False, allow_infinity=False))
def test_what_fitted_once_fits_again(sizes, rate):
    fitted = fit_fields(Outer, {"name": "a", "sizes": sizes, "inner": {"rate": rate}}, "x")
    assert fitted == {"name": "a", "sizes": tuple(sizes), "inner": {"rate": rate}}
    assert fit_fields(Outer, fitted, "x") == fitted


def test_fields_may_be_missing_and_unknown_names_stay():
    assert fit_fields(Outer, {"stranger": object}, "x") == {"stranger": object}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": 5}, "thing.name must be str, got 5"),
        ({"inner": {"rate": "fast"}}, "thing.inner.rate must be float, got 'fast'"),
        ({"inner": 3}, "thing.inner must be an object with named values, got 3"),
        ([], r"thing must be an object with named values, got \[\]"),
    ],
)
def test_what_does_not_fit_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        fit_fields(Outer, values, "thing")


@dataclass
class Round:
    model_type: ClassVar[str] = "round"
    radius: float = 1.0


@dataclass
class Square:
    model_type: ClassVar[str] = "square"
    side: int = 1


@dataclass
class Shapes:
    first: Round | Square


def test_of_several_dataclasses_the_model_type_says_which():
    assert fit_fields(Shapes, {"first": {"radius": 2}}, "x") == {"first": {"radius": 2.0}}
    square = {"first": {"model_type": "square", "side": 2}}
    assert fit_fields(Shapes, square, "x") == square
    with pytest.raises(ValueError, match="x.first.side must be int, got 2.5"):
        fit_fields(Shapes, {"first": {"model_type": "square", "side": 2.5}}, "x")
    with pytest.raises(ValueError, match="model_type must be one of round, square, got 'star'"):
        fit_fields(Shapes, {"first": {"model_type": "star"}}, "x")
    with pytest.raises(ValueError, match="x.first must be an object with named values, got 3"):
        fit_fields(Shapes, {"first": 3}, "x")
