"""Values from outside, from JSON or the command line, held to the types that a dataclass declares.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2, plumbing of whatever reads settings.

A dataclass believes what it is given: a number of queries of "8" would fail much later, in words
that do not name it. Here it fails at once.

Not here: names that a dataclass does not have (`config.check_fields`), relations between values
(the dataclasses themselves).
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any


def fit_value(value: Any, declared: Any, where: str) -> Any:
    """Hold a value to a type.

    Args:
        value: A JSON value or a Python literal.
        declared: bool, int, float, str, None, Literal, tuple, Mapping, or a union of such.
        where: Names the value in the error.

    Returns:
        The value; a list where a tuple is declared becomes one, a whole number where a float is
        declared becomes a float, and keys of a mapping become what is declared.

    Raises:
        ValueError: If the value does not fit. True is no number here, and neither are nan and
            infinity.

    Example:
        `fit_value([1, 2], tuple[float, ...], "sizes")` is `(1.0, 2.0)`.
    """
    try:
        return _fit(value, declared)
    except _MisfitError:
        raise ValueError(f"{where} must be {_name(declared)}, got {value!r:.60}.") from None


def fit_fields(dataclass_type: type, values: object, where: str) -> dict[str, Any]:
    """Hold the values of an object, fields that are dataclasses included, to their types.

    Args:
        dataclass_type: Declares the fields.
        values: By field name. Names that it does not have stay as they are, and fields may be
            missing. Where a field may be one of several dataclasses, `model_type` in its values
            says which; without it, it is the first.
        where: Names the object in errors; a field is `where.name`.

    Returns:
        The values as `fit_value` returns them; those of a field that is a dataclass as a
        dictionary.

    Raises:
        ValueError: If `values` or the value of a field that is a dataclass is no mapping, or a
            value does not fit its field.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} must be an object with named values, got {values!r:.60}.")
    hints = typing.get_type_hints(dataclass_type)
    declared = {field.name: hints[field.name] for field in dataclasses.fields(dataclass_type)}
    return {
        name: _fit_field(value, declared.get(name), f"{where}.{name}")
        for name, value in values.items()
    }


def _fit_field(value: Any, declared: Any, where: str) -> Any:
    if declared is None:
        return value
    kinds = [kind for kind in typing.get_args(declared) or (declared,) if _is_dataclass(kind)]
    if not kinds:
        return fit_value(value, declared, where)
    if len(kinds) == 1 or not isinstance(value, Mapping):
        return fit_fields(kinds[0], value, where)
    names = {kind.model_type: kind for kind in kinds}
    name = value.get("model_type", kinds[0].model_type)
    if name not in names:
        raise ValueError(f"{where}.model_type must be one of {', '.join(names)}, got {name!r}.")
    return fit_fields(names[name], value, where)


def _is_dataclass(declared: Any) -> bool:
    return isinstance(declared, type) and dataclasses.is_dataclass(declared)


class _MisfitError(Exception):
    """A value is of another type; the caller knows its name."""


def _fit(value: Any, declared: Any) -> Any:
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin in (typing.Union, types.UnionType):
        return _fit_union(value, arguments)
    if origin is typing.Literal:
        return _require(value in arguments, value)
    if origin is tuple:
        return _fit_tuple(value, arguments)
    if origin is not None:
        return _fit_mapping(value, arguments)
    if declared is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(_require(is_number and math.isfinite(value), value))
    if isinstance(value, bool) and declared is not bool:  # subtle: True is an int in Python
        raise _MisfitError
    return _require(isinstance(value, declared), value)


def _fit_union(value: Any, alternatives: tuple[Any, ...]) -> Any:
    for alternative in alternatives:
        try:
            return _fit(value, alternative)
        except _MisfitError:
            continue
    raise _MisfitError


def _fit_tuple(value: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    entries = _require(isinstance(value, list | tuple), value)
    if arguments[-1] is Ellipsis:
        arguments = (arguments[0],) * len(entries)
    _require(len(entries) == len(arguments), value)
    return tuple(_fit(entry, kind) for entry, kind in zip(entries, arguments, strict=True))


def _fit_mapping(value: Any, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    _require(isinstance(value, Mapping), value)
    key_type, value_type = arguments
    return {_fit_key(key, key_type): _fit(entry, value_type) for key, entry in value.items()}


def _fit_key(key: Any, declared: Any) -> Any:
    """JSON has no keys but strings."""
    if declared is int and isinstance(key, str):
        return int(_require(key.isdecimal(), key))
    return _fit(key, declared)


def _require(condition: bool, value: Any) -> Any:
    if not condition:
        raise _MisfitError
    return value


def _name(declared: Any) -> str:
    """As it is written in the source."""
    return declared.__name__ if isinstance(declared, type) else str(declared).replace("typing.", "")
