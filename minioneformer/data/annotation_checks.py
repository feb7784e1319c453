"""Checks that every reader of annotation files makes: entries, ids, paths.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Whatever does not fit is an error of one line that names the file and the entry.

Not here: what the entries of a format are (`data/coco_json.py`, `data/coco_instance.py`,
`data/labelme.py`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
KeyTypes = dict[str, tuple[type, ...]]
LONGEST = 100  # letters of a value in a message


def load_json(path: Path) -> Any:
    """Parse an annotation file.

    Args:
        path: Of the file.

    Returns:
        Whatever its top level is.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON (with the position) or cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}."
        ) from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: there is no such annotation file.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error}).") from error


def check_entries(
    entries: object,
    required: KeyTypes,
    kind: str,
    where: str | Path,
    optional: KeyTypes | None = None,
) -> None:
    """Refuse anything but a list of objects with these keys and types of values.

    Args:
        entries: What the file has there.
        required: Types of the keys that must be there.
        kind: What an entry is, for messages.
        where: File or image, for messages.
        optional: Types of keys that may be there.

    Raises:
        ValueError: If it is no list, an entry is no object, lacks a key or has a value of
            another type.
    """
    if not isinstance(entries, list):
        raise ValueError(f"{where}: needs a list of {kind} entries, got {entries!r:.60}.")
    types = required | (optional or {})
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(f"{where}: {kind} {position} must be an object, got {entry!r:.60}.")
        missing = [key for key in required if key not in entry]
        if missing:
            raise ValueError(
                f"{where}: {kind} {position} lacks {missing}, got keys {brief_list(sorted(entry))}."
            )
        for key in types.keys() & entry.keys():
            if not isinstance(entry[key], types[key]):
                wanted = " or ".join(wanted_type.__name__ for wanted_type in types[key])
                raise ValueError(
                    f"{where}: {key} of {kind} {position} must be {wanted}, "
                    f"got {str(entry[key])[:60]!r}."
                )


def refuse_repeated(ids: Sequence[Any], kind: str, where: str | Path) -> None:
    """Refuse an id that occurs twice.

    Args:
        ids: Numbers or names.
        kind: What they are, in the plural, for messages.
        where: File or image, for messages.

    Raises:
        ValueError: If one occurs twice; the first few are named.
    """
    if len(set(ids)) < len(ids):
        repeated = sorted((i for i, count in Counter(ids).items() if count > 1), key=str)
        raise ValueError(f"{where}: {kind} must be unique, got twice {brief_list(repeated)}.")


def inside(folder: Path, name: str, where: str) -> Path:
    """Resolve a path that a file names, and refuse it if it is not below a folder.

    Args:
        folder: That the path may not leave; it may itself be a link, its owner made it.
        name: The path as the file has it.
        where: File and entry, for messages.

    Returns:
        The path, links followed.

    Raises:
        ValueError: If the path leaves the folder, is the folder, or is no path.
    """
    # subtle: symbolic links are followed before the comparison, or a link inside the folder
    # could point anywhere.
    root = folder.resolve()
    try:
        path = (root / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{where}: unusable file name, got file_name={name!r}.") from error
    if path == root or not path.is_relative_to(root):
        raise ValueError(f"{where}: paths must stay inside {folder}, got file_name={name!r}.")
    return path


def brief_list(values: Sequence[Any], limit: int = 8) -> str:
    """Show the first few values, so that a message stays one line.

    Args:
        values: Anything that prints.
        limit: How many to show.

    Returns:
        Like a list's own text, with an ellipsis if some are left out; a value that is longer
        than a line is cut.

    Example:
        `brief_list([1, 2, 3], limit=2)` is "[1, 2, ...]".
    """
    texts = [repr(value) for value in values[:limit]]
    shown = ", ".join(t if len(t) <= LONGEST else f"{t[:LONGEST]}..." for t in texts)
    return f"[{shown}{', ...' if len(values) > limit else ''}]"
