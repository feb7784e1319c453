"""Reading the JSON files that predictions and annotations of other programs come in.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

A file that does not fit is an error of one line that names file and entry, before anything is
scored.

Not here: scoring (`score_panoptic.py`, `score_instance.py`, `score_semantic.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
KeyTypes: TypeAlias = Mapping[str, tuple[type, ...]]

IMAGE_ID: tuple[type, ...] = (int, str)
NUMBER: tuple[type, ...] = (int, float)


def read_json(path: str | Path) -> Any:
    """Parse a file.

    Args:
        path: Of the JSON.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no JSON file, got path={str(path)!r}.") from None
    except ValueError as error:  # of JSON and of UTF-8
        raise ValueError(f"not a JSON file, got path={str(path)!r}: {error}.") from None


def read_lists(
    path: str | Path, required: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, list[Any]]:
    """Read a file whose top level is an object of lists.

    Args:
        path: Of the JSON.
        required: Names of lists that must be there.
        optional: Names of lists that are empty where they are missing.

    Returns:
        The lists by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON, no object, or lacks a list.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: must be an object with {', '.join(required)}, got a {type(content).__name__}."
        )
    for name in required:
        if name not in content:
            raise ValueError(f"{path}: needs the list {name!r}, got keys={sorted(content)[:9]}.")
    lists = {name: content.get(name, []) for name in (*required, *optional)}
    for name, value in lists.items():
        if not isinstance(value, list):
            raise ValueError(f"{path}: {name!r} must be a list, got a {type(value).__name__}.")
    return lists


def check_rows(
    rows: Sequence[Any], required: KeyTypes, where: str, *, optional: KeyTypes | None = None
) -> None:
    """Refuse rows that lack a value, or have one of another type.

    Args:
        rows: Entries of a list of a JSON file.
        required: Types that the value of each key may have.
        where: File and list, for the message.
        optional: The same for keys that may be missing.

    Raises:
        ValueError: If a row is no object, lacks a key, a value has another type, or is a number
            that is not finite.
    """
    for position, row in enumerate(rows):
        here = f"{where}, entry {position}"
        if not isinstance(row, dict):
            raise ValueError(f"{here}: must be an object, got a {type(row).__name__}.")
        missing = [key for key in required if key not in row]
        if missing:
            raise ValueError(f"{here}: needs {missing[0]!r}, got keys={sorted(row)[:9]}.")
        for key, types in {**required, **(optional or {})}.items():
            if key in row and not _fits(row[key], types):
                names = " or ".join(kind.__name__ for kind in types)
                raise ValueError(f"{here}: {key!r} must be {names}, got {str(row[key])[:40]!r}.")


def refuse_repeated(values: Sequence[int | str], what: str, path: str | Path) -> None:
    """Refuse a value that occurs twice.

    Args:
        values: That must differ.
        what: They are, for the message.
        path: Of the file, for the message.

    Raises:
        ValueError: If two are equal.
    """
    seen: set[int | str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{path}: {what} must differ, got {value!r} twice.")
        seen.add(value)


class ImageNames:
    """The images of an annotation file, by id or by the name of the file.

    Results of `minioneformer predict` name an image by its file, because nothing told them ids;
    those of other programs by its id.

    Args:
        rows: With `id` and, if there is one, `file_name`.

    Example:
        With the image {"id": 139, "file_name": "val/000139.jpg"}, 139 and "000139" both are 139.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.ids = {row["id"] for row in rows}
        self._id_of_stem: dict[str, int | str | None] = {}
        for row in rows:
            stem = PurePosixPath(row.get("file_name", "")).stem
            # subtle: a name that two images share names neither
            self._id_of_stem[stem] = None if stem in self._id_of_stem else row["id"]

    def resolve(self, image_id: int | str) -> int | str | None:
        """The id of the annotation file, None if it lists no such image.

        Args:
            image_id: As a prediction names the image.
        """
        if image_id in self.ids:
            return image_id
        return self._id_of_stem.get(image_id) if isinstance(image_id, str) else None


def is_number(value: Any) -> bool:
    """True for a finite number, whole or not.

    Args:
        value: Of a JSON file.
    """
    return _fits(value, NUMBER)


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool):  # subtle: a bool is an int, and `iscrowd: true` does occur
        return int in types
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, types)
