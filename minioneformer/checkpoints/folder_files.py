"""The files of a model folder, one by one: JSON, classes, weights.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Files are written whole or not at all, and reading one runs no code. What is broken is an error of
one line that names the file.

Not here: what belongs together (`checkpoints/pretrained.py`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from minioneformer.atomic import write_text_atomically
from minioneformer.field_types import fit_fields
from minioneformer.structures import Category

LARGEST_CHANNEL = 255


@dataclass(frozen=True, kw_only=True)
class _ClassRow:
    """A class as the file of classes holds it."""

    name: str
    isthing: int | bool
    color: tuple[int, int, int]
    dataset_id: int


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
    """Read what `write_classes` wrote.

    Args:
        path: Of the file.
        num_classes: How many there must be.

    Returns:
        The classes, by label.

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
        return tuple(_read_class(rows[label], f"class {label}") for label in labels)
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


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors; a safetensors file holds nothing else.

    Args:
        path: Of the file.

    Returns:
        By name, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is cut off or of another kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"weights are missing, got {str(path)!r}.")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is truncated or no safetensors file ({error}): copy or make it again."
        ) from error


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors.

    Args:
        path: In an existing folder; an old file is replaced.
        weights: By name; no two may share memory.

    Raises:
        OSError: If the folder cannot be written or the disk is full; an old file is then as it
            was.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    try:
        save_file(tensors, unfinished, metadata={"format": "minioneformer"})
        unfinished.replace(path)
    except SafetensorError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(f"cannot write {path}: {error}.") from error


def _read_class(row: Any, where: str) -> Category:
    values = fit_fields(_ClassRow, row, where)
    missing = [f.name for f in dataclasses.fields(_ClassRow) if f.name not in values]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}.")
    if not all(0 <= channel <= LARGEST_CHANNEL for channel in values["color"]):
        raise ValueError(f"{where} has a color outside 0 .. 255, got {values['color']}.")
    return Category(
        name=values["name"],
        is_thing=bool(values["isthing"]),
        color=values["color"],
        dataset_id=values["dataset_id"],
    )
