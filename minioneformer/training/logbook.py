r"""The diary of a training run: one JSON line per step, and a picture of the curves.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

The log always is exactly what the weights have seen: a resumed run first drops the lines of
steps that it will do again.

Not here: what is measured (`trainer.py`), the progress bar (`trainer.py`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

LOG_NAME = "log.jsonl"
PICTURE_NAME = "curves.png"
MAX_DRAWN_POINTS = 500
BESIDES_LOSSES = ("step", "loss", "lr", "grad_norm", "seconds", "images_per_second")


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
        """
        # Opened anew each time: nothing is left in a buffer when the process is killed.
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(row), allow_nan=False) + "\n")

    def rows(self) -> list[dict[str, int | float]]:
        """All lines, oldest first; empty if nothing was logged.

        Raises:
            ValueError: If a line is not JSON; the message names it. A last line without its line
                end is not: a killed process leaves such a line.
        """
        if not self.path.is_file():
            return []
        *lines, _unfinished = self.path.read_text(encoding="utf-8").split("\n")
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"line {number} of {self.path} is not JSON, got {line[:60]!r}. "
                    f"Mend or delete that line."
                ) from error
        return rows

    def drop_after(self, step: int) -> None:
        """Forget the steps that a resumed run does again.

        Args:
            step: The last one to keep.

        Raises:
            ValueError: As `rows`.
        """
        kept = [json.dumps(row) + "\n" for row in self.rows() if row["step"] <= step]
        unfinished = self.path.with_name(LOG_NAME + ".tmp")
        unfinished.write_text("".join(kept), encoding="utf-8")
        os.replace(unfinished, self.path)

    def draw(self) -> None:
        """Draw the log into `curves.png` beside it; nothing is drawn of an empty log.

        Raises:
            ValueError: As `rows`.
        """
        rows = self.rows()
        if rows:
            draw_curves(rows, self.picture_path)


def draw_curves(rows: Sequence[Mapping[str, int | float]], path: Path) -> None:
    """Draw loss, its terms, learning rate and gradient norm over the steps.

    Args:
        rows: Of a log; at least one.
        path: Of the PNG; overwritten. Long runs are drawn as means over equal stretches.

    Raises:
        ValueError: If there are no rows.
    """
    if not rows:
        raise ValueError("there is nothing to draw, got rows=[]; log a step first.")
    terms = [name for name in rows[-1] if name not in BESIDES_LOSSES]
    earlier = [name for name in terms if name.startswith("auxiliary_")]
    panels = {
        "total loss": ["loss"],
        "terms of the last prediction": [name for name in terms if name not in earlier],
        "terms of earlier predictions, summed": earlier,
        "learning rate": ["lr"],
        "gradient norm": ["grad_norm"],
    }
    panels = {title: names for title, names in panels.items() if names}
    # A Figure without pyplot has no window and leaves no global state behind.
    figure = Figure(figsize=(4 * len(panels), 3), layout="constrained")
    axes_row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, names) in zip(axes_row, panels.items(), strict=True):
        for name in names:
            axes.plot(*_thin(rows, name), label=name)
        axes.set_title(title)
        axes.set_xlabel("step")
        if len(names) > 1:
            axes.legend(fontsize="small")
    figure.savefig(path, format="png")


def _thin(rows: Sequence[Mapping[str, int | float]], name: str) -> tuple[list[float], list[float]]:
    """Steps and values, as means over equal stretches, at most `MAX_DRAWN_POINTS` of them."""
    rows = [row for row in rows if name in row]
    stretch = -(-len(rows) // MAX_DRAWN_POINTS)
    chunks = [rows[start : start + stretch] for start in range(0, len(rows), stretch)]
    steps = [sum(row["step"] for row in chunk) / len(chunk) for chunk in chunks]
    return steps, [sum(row[name] for row in chunk) / len(chunk) for chunk in chunks]
