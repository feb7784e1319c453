r"""The diary of a training run: one JSON line per step, and a picture of the curves.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

The log always is exactly what the weights have seen: a resumed run first drops the lines of
steps that it will do again.

Not here: what is measured (`trainer.py`), the progress bar (`trainer.py`), how curves look
(`curves.py`), the page about a run (`report.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minioneformer.atomic import write_text_atomically
from minioneformer.training.curves import BESIDES_LOSSES, draw_curves

LOG_NAME = "log.jsonl"
PICTURE_NAME = "curves.png"


def summarize_terms(losses: Mapping[str, float]) -> dict[str, float]:
    """Keep the terms of the last prediction, add up those of the earlier ones by kind.

    Args:
        losses: Weighted terms. A name that ends in an underscore and a number, as in
            `loss_mask_3`, belongs to an earlier prediction.

    Returns:
        The last prediction's terms under their names; sums as `auxiliary_loss_mask`.

    Example:
        loss_mask 1, loss_mask_0 2 and loss_mask_1 3 give loss_mask 1, auxiliary_loss_mask 5.
    """
    terms: dict[str, float] = {}
    for name, value in losses.items():
        match = re.fullmatch(r"(.+)_\d+", name)
        key = f"auxiliary_{match[1]}" if match else name
        terms[key] = terms.get(key, 0.0) + value
    return terms


def main_terms(row: Mapping[str, int | float]) -> dict[str, str]:
    """Total loss and terms of the last prediction, for the progress bar.

    Args:
        row: Of the log.

    Returns:
        Values with three decimals, by short name.

    Example:
        step 7, loss 2.5, loss_mask 1 and auxiliary_loss_mask 1.5 give loss "2.500", mask "1.000".
    """
    return {
        name.removeprefix("loss_"): f"{value:.3f}"
        for name, value in row.items()
        if name == "loss" or not (name in BESIDES_LOSSES or name.startswith("auxiliary_"))
    }


class Logbook:
    """The log file of one run.

    Args:
        folder: Of the run; exists.
    """

    def __init__(self, *, folder: Path) -> None:
        self.path = folder / LOG_NAME
        self.picture_path = folder / PICTURE_NAME

    def write(self, row: Mapping[str, int | float]) -> None:
        """Append one line.

        Args:
            row: Finite numbers by name, `step` among them.

        Raises:
            ValueError: If a number is not finite: JSON has no such number.
            OSError: If the disk is full or the folder cannot be written; the message names it.
        """
        line = json.dumps(dict(row), allow_nan=False) + "\n"
        try:
            # Opened anew each time: nothing is left in a buffer when the process is killed.
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def rows(self) -> list[dict[str, int | float]]:
        """All lines, oldest first; empty if nothing was logged.

        Raises:
            ValueError: As `read_rows`.
        """
        return read_rows(self.path)

    def drop_after(self, step: int) -> None:
        """Forget the steps that a resumed run does again.

        Args:
            step: The last one to keep.

        Raises:
            ValueError: As `read_rows`.
            OSError: As `write`; the log is as it was.
        """
        kept = [json.dumps(row) + "\n" for row in self.rows() if row["step"] <= step]
        try:
            write_text_atomically(self.path, "".join(kept))
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def draw(self) -> None:
        """Draw the log into `curves.png` beside it; nothing is drawn of an empty log.

        Raises:
            ValueError: As `read_rows`.
            OSError: As `write`; an earlier picture is as it was.
        """
        rows = self.rows()
        if rows:
            try:
                draw_curves(rows, self.picture_path)
            except OSError as error:
                raise _cannot_write(self.picture_path, error) from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Lines of a file of JSON objects, each about a step; none if there is no such file.

    Args:
        path: Of the log, or of the evaluations of a run.

    Returns:
        Oldest first. A last line without its line end is left out: a killed process, or one that
        is writing just now, leaves such a line.

    Raises:
        ValueError: If a line is not JSON, or not an object with a step; the message names it.
    """
    if not path.is_file():
        return []
    *lines, _unfinished = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:  # broken UTF-8 too
            raise ValueError(_bad_line(path, number, "not JSON", line)) from error
        if not (isinstance(row, dict) and isinstance(row.get("step"), int)):
            raise ValueError(_bad_line(path, number, "not an object with a whole step", line))
        rows.append(row)
    return rows


def _bad_line(path: Path, number: int, what: str, line: bytes) -> str:
    shown = line.decode("utf-8", "replace")[:60]
    return f"line {number} of {path} is {what}, got {shown!r}. Mend or delete that line."


def _cannot_write(path: Path, error: OSError) -> OSError:
    return OSError(
        f"cannot write {path.name} into {path.parent}: {error.strerror or error}. Free some space "
        f"or make the folder writable, then resume from the last checkpoint."
    )
