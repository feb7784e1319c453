"""The small files of a model folder: JSON, classes.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Files are written whole or not at all, and reading one runs no code. What is broken is an error of
one line that names the file.

Not here: weights (`checkpoints/weight_files.py`), what belongs together
(`checkpoints/pretrained.py`).
"""

from __future__ import annotations

import colorsys
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minioneformer.atomic import write_text_atomically
from minioneformer.field_types import fit_fields
from minioneformer.structures import Category

LARGEST_CHANNEL = 255
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, kw_only=True)
class _ClassRow:
    """A class as the file of classes holds it."""

    name: str
    isthing: int | bool
    color: tuple[int, int, int] | None = None
    dataset_id: int | None = None


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: Of the file.

    Returns:
        Its values by key.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON, or no object.
    """
    if not path.is_file():
        raise FileNotFoundError(f"a file of the model is missing, got {str(path)!r}.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no JSON, or no UTF-8
        raise ValueError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold one JSON object, got a {type(values).__name__}.")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object.

    Args:
        path: In an existing folder; an old file is replaced.
        values: JSON values.
    """
    write_text_atomically(path, json.dumps(values, indent=1) + "\n")


def read_classes(path: Path, num_classes: int) -> tuple[Category, ...]:
    """Read what `write_classes` wrote, or a published file of classes.

    Args:
        path: Of the file.
        num_classes: How many there must be.

    Returns:
        The classes, by label. Published files have only `name` and `isthing`: the colours then
        are spread around the colour circle, and the label stands for the id of the data set.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the labels are not 0 .. num_classes - 1, or a class lacks a value or has
            one that does not fit.
    """
    rows = read_json(path)
    labels = [str(label) for label in range(num_classes)]
    if set(rows) != set(labels):
        raise ValueError(
            f"{path} must have the keys 0 .. {num_classes - 1}, one for each class of the "
            f"configuration, got {len(rows)} keys: {', '.join(rows):.60}."
        )
    try:
        return tuple(_read_class(rows[label], int(label)) for label in labels)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_classes(path: Path, categories: Sequence[Category]) -> None:
    """Write the classes under their labels.

    Args:
        path: In an existing folder; an old file is replaced.
        categories: By label.
    """
    rows = {
        str(label): {
            "name": category.name,
            "isthing": int(category.is_thing),
            "color": list(category.color),
            "dataset_id": category.dataset_id,
        }
        for label, category in enumerate(categories)
    }
    write_json(path, rows)


def _read_class(row: Any, label: int) -> Category:
    where = f"class {label}"
    values = fit_fields(_ClassRow, row, where)
    missing = [name for name in ("name", "isthing") if name not in values]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}.")
    color = values.get("color") or _spread_color(label)
    if not all(0 <= channel <= LARGEST_CHANNEL for channel in color):
        raise ValueError(f"{where} has a color outside 0 .. 255, got {color}.")
    return Category(
        name=values["name"],
        is_thing=bool(values["isthing"]),
        color=color,
        dataset_id=values.get("dataset_id", label),
    )


def _spread_color(label: int) -> tuple[int, int, int]:
    """A colour that is unlike those of the labels before it: steps of the golden angle."""
    rgb = colorsys.hsv_to_rgb(label * GOLDEN % 1.0, 0.75, 0.9 - 0.3 * (label % 3) / 2)
    red, green, blue = (round(channel * LARGEST_CHANNEL) for channel in rgb)
    return red, green, blue
