"""Words such as `optimization.steps=100`: single values of nested dataclasses, changed together.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

All words are read before any is applied, so values that are bound to each other (`conv_dim` and
`hidden_dim`) can be changed in any order.

Not here: what can be set (`training/recipes.py`), which types there are (`field_types.py`).
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

from minioneformer.field_types import fit_value

Section = TypeVar("Section")


def change_values(sections: Section, words: Sequence[str]) -> Section:
    """Change values of a dataclass and of the dataclasses in it.

    Args:
        sections: To start from.
        words: Each "section.key=value", or "key=value" at the top level.

    Returns:
        A new object.

    Raises:
        ValueError: If a word has no "=", names an unknown key (near matches are named) or a
            section, or sets a key for the second time; if a value is not of the declared type;
            whatever the dataclasses refuse.
    """
    changes: dict[str, Any] = {}
    for word in words:
        _collect(changes, sections, word)
    return _apply(sections, changes)


def _collect(changes: dict[str, Any], sections: Any, word: str) -> None:
    """Read one word into the tree of changes."""
    path, equals, text = word.partition("=")
    if not equals:
        raise ValueError(f"settings look like key=value, got {word!r}.")
    *names, key = path.split(".")
    owner = sections
    for name in names:
        _check_name(owner, name, word)
        owner = getattr(owner, name)
        if not dataclasses.is_dataclass(owner):
            raise ValueError(f"{name} has no keys of its own, got {word!r}.")
        changes = changes.setdefault(name, {})
    _check_name(owner, key, word)
    if dataclasses.is_dataclass(getattr(owner, key)):
        keys = ", ".join(f.name for f in dataclasses.fields(getattr(owner, key)))
        raise ValueError(f"{key} is a section, got {word!r}. Its keys: {keys}.")
    if key in changes:
        raise ValueError(f"{path} is set twice, got {word!r} after {changes[key]!r}. Keep one.")
    changes[key] = _parse(owner, key, text)


def _check_name(owner: Any, name: str, word: str) -> None:
    names = [f.name for f in dataclasses.fields(owner)]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"Near matches: {', '.join(near)}." if near else f"Known: {', '.join(names)}."
        raise ValueError(f"unknown key {name!r}, got {word!r}. {hint}")


def _parse(owner: Any, name: str, text: str) -> Any:
    """Read a value as the type that the field declares."""
    declared = typing.get_type_hints(type(owner))[name]
    try:
        return fit_value(ast.literal_eval(text), declared, name)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return fit_value(text, declared, name)  # no literal: a string without quotes


def _apply(owner: Any, changes: dict[str, Any]) -> Any:
    return dataclasses.replace(
        owner,
        **{
            name: _apply(getattr(owner, name), change)
            if dataclasses.is_dataclass(getattr(owner, name))
            else change
            for name, change in changes.items()
        },
    )
