r"""Checkpoints of a training run: whole or absent, never half.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

A file is written beside its place, flushed to the disk and then renamed, so a killed process or
a full disk leaves the earlier checkpoints as they were. Reading runs no code (`weights_only`)
and compares every entry with its checksum.

Not here: what a run puts in (`trainer.py`), published weights (`checkpoints/`).
"""

from __future__ import annotations

import contextlib
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

CONTENTS = ("step", "model", "optimizer", "precision", "average", "recipe", "trainer")
# What a continued run may do differently: it changes time and memory, not the result.
MAY_CHANGE = (
    "recipe.data.num_workers",
    "recipe.optimization.accumulate",
    "recipe.optimization.checkpoint_blocks",
    "recipe.optimization.checkpoint_every",
    "recipe.optimization.compile",
    "recipe.optimization.evaluate_every",
    "recipe.optimization.keep_checkpoints",
    "recipe.optimization.keep_every",
)


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` updates lies.

    Args:
        folder: Of the run.
        step: Updates done.

    Example:
        Step 1200 of folder `run` is `run/checkpoint_00001200.pt`.
    """
    return folder / f"checkpoint_{step:08d}.pt"


def list_checkpoints(folder: Path) -> list[Path]:
    """All complete checkpoints of a run, oldest first; none if there is no such folder.

    Args:
        folder: Of the run.
    """
    return sorted(folder.glob("checkpoint_????????.pt"))


def save_checkpoint(
    path: Path, state: Mapping[str, Any], *, keep: int = 2, keep_every: int | None = None
) -> None:
    """Write a checkpoint in one atomic step, then remove all but the newest `keep`.

    Args:
        path: As `checkpoint_path` gives it; its folder exists.
        state: Tensors, numbers, strings, lists and dictionaries, under the names in `CONTENTS`.
        keep: Newest checkpoints that stay, this one included, >= 1.
        keep_every: Those after a number of updates divisible by it stay too, but for the one
            before the first update; None: none.

    Raises:
        ValueError: If `keep` is less than 1 or `state` lacks an entry.
        OSError: If the disk is full or the folder cannot be written; the message names the folder
            and the last whole checkpoint, which is untouched.
    """
    if keep < 1:
        raise ValueError(f"keep must be >= 1, got {keep=}.")
    missing = [name for name in CONTENTS if name not in state]
    if missing:
        raise ValueError(f"a checkpoint needs {', '.join(CONTENTS)}, got {missing=}.")
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with unfinished.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        unfinished.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error
    _prune(path.parent, keep, keep_every)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Args:
        path: Of the file.

    Returns:
        What `save_checkpoint` was given.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is cut off, damaged, holds anything but tensors and plain values,
            or is not a checkpoint of a run; the message names the file and what to do.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # subtle: torch.load alone accepts a flipped bit
        if damaged is not None:
            raise ValueError(f"wrong checksum of {damaged}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        zipfile.BadZipFile,
        RuntimeError,
        pickle.UnpicklingError,
        EOFError,
        ValueError,
    ) as error:
        raise ValueError(
            f"checkpoint {path} cannot be read: it is cut off, damaged or not a checkpoint "
            f"({_first_line(error)}). {_remedy(path)}"
        ) from error
    missing = [name for name in CONTENTS if not isinstance(state, dict) or name not in state]
    if missing:
        raise ValueError(f"{path} is not a checkpoint of a training run, got {missing=}.")
    return state


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run, None if it has none.

    Args:
        folder: Of the run. Files are not opened: what lies here under a checkpoint's name was
            whole when it got that name.
    """
    return next(reversed(list_checkpoints(folder)), None)


def check_same_run(path: Path, state: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Refuse to go on with other numbers than those a checkpoint was made with.

    Args:
        path: Of the checkpoint, for the message.
        state: What `load_checkpoint` gave.
        identity: JSON values that must be the same there, under the same names.

    Raises:
        ValueError: If a value differs; each is named with what it was and what it is.
    """
    changed = [
        text for name in identity for text in _differences(state[name], identity[name], name)
    ]
    if changed:
        raise ValueError(
            f"{path} belongs to a run with another recipe: {'; '.join(changed)}. Resume with the "
            f"old values or start a new run in another folder."
        )


def _differences(saved: Any, now: Any, name: str) -> list[str]:
    """Where two trees of JSON values differ, as "name.key was 1, got 2"."""
    if name in MAY_CHANGE:
        return []
    if not (isinstance(saved, dict) and isinstance(now, dict)):
        return [] if saved == now else [f"{name} was {saved!r}, got {now!r}"]
    return [
        difference
        for key in sorted({*saved, *now})
        for difference in _differences(saved.get(key), now.get(key), f"{name}.{key}")
    ]


def _remedy(path: Path) -> str:
    earlier = [other for other in list_checkpoints(path.parent) if other.name < path.name]
    if earlier:
        return f"Delete it to go on from the one before it, {earlier[-1].name}."
    return "There is no earlier one in its folder: start again in another folder."


def _cannot_write(path: Path, error: OSError | RuntimeError) -> OSError:
    cause = error if isinstance(error, OSError) else error.__context__ or error
    latest = latest_checkpoint(path.parent)
    rest = f"{latest.name} is whole" if latest else "there is no earlier checkpoint"
    return OSError(
        f"cannot write {path.name} into {path.parent}: {_first_line(cause)}. Free some space or "
        f"make the folder writable, then resume; {rest}."
    )


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _prune(folder: Path, keep: int, keep_every: int | None) -> None:
    """Remove old checkpoints and what killed processes left unfinished."""
    old = [path for path in list_checkpoints(folder)[:-keep] if not _stays(path, keep_every)]
    for path in [*old, *folder.glob("checkpoint_*.pt.tmp")]:
        path.unlink(missing_ok=True)


def _stays(path: Path, keep_every: int | None) -> bool:
    step = int(path.stem.rpartition("_")[2])
    return keep_every is not None and step > 0 and step % keep_every == 0


def _flush_folder(folder: Path) -> None:
    """Make the renaming itself survive a power cut, on systems that can."""
    with contextlib.suppress(OSError):  # some network file systems and Windows cannot
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
