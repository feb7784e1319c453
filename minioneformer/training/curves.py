"""The log of a run as curves: which values share a panel, how they are thinned, a PNG of them.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: the log itself (`logbook.py`), curves on a page (`report_curves.py`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minioneformer.atomic import write_bytes_atomically

MAX_DRAWN_POINTS = 500
PANELS_PER_ROW = 4
BESIDES_LOSSES = (
    "step",
    "loss",
    "lr",
    "lr_backbone",
    "grad_norm",
    "matched_accuracy",
    "seconds",
    "seconds_waiting",
    "images_per_second",
    "memory_gib",
)


def curve_panels(rows: Sequence[Mapping[str, int | float]]) -> dict[str, list[str]]:
    """Which curves of a log are drawn together.

    Args:
        rows: Of the log; those of older runs may lack some values.

    Returns:
        Names of values by the title of their panel; only those that some row has.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    terms = [name for name in names if name not in BESIDES_LOSSES]
    earlier = [name for name in terms if name.startswith("auxiliary_")]
    panels = {
        "total loss": ["loss"],
        "terms of the last prediction": [name for name in terms if name not in earlier],
        "terms of earlier predictions, summed": earlier,
        "matched queries of the right class": ["matched_accuracy"],
        "learning rate": ["lr", "lr_backbone"],
        "gradient norm": ["grad_norm"],
        "images per second": ["images_per_second"],
    }
    drawn = {title: [n for n in wanted if n in names] for title, wanted in panels.items()}
    return {title: found for title, found in drawn.items() if found}


def draw_curves(rows: Sequence[Mapping[str, int | float]], path: Path) -> None:
    """Draw losses, matched accuracy, learning rates, gradient norm and speed over the steps.

    Args:
        rows: Of a log; at least one.
        path: Of the PNG; overwritten. Long runs are drawn as means over equal stretches.

    Raises:
        ValueError: If there are no rows.
        OSError: If the picture cannot be written.
    """
    if not rows:
        raise ValueError("there is nothing to draw, got rows=[]; log a step first.")
    panels = curve_panels(rows)
    columns = min(len(panels), PANELS_PER_ROW)
    lines = -(-len(panels) // columns)
    # A Figure without pyplot has no window and leaves no global state behind.
    figure = Figure(figsize=(4 * columns, 3 * lines), layout="constrained")
    places = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, (title, names) in zip(places, panels.items(), strict=False):
        _draw_panel(axes, rows, names)
        axes.set_title(title)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_bytes_atomically(path, picture.getvalue())


def thin(rows: Sequence[Mapping[str, int | float]], name: str) -> tuple[list[float], list[float]]:
    """A curve of few points: means over equal stretches.

    Args:
        rows: With steps; those without a number under `name` are left out.
        name: Of the value.

    Returns:
        Steps and values, at most `MAX_DRAWN_POINTS` of them.
    """
    rows = [row for row in rows if row.get(name) is not None]
    stretch = -(-len(rows) // MAX_DRAWN_POINTS)
    chunks = [rows[start : start + stretch] for start in range(0, len(rows), stretch or 1)]
    steps = [sum(row["step"] for row in chunk) / len(chunk) for chunk in chunks]
    return steps, [sum(row[name] for row in chunk) / len(chunk) for chunk in chunks]


def _draw_panel(
    axes: Axes, rows: Sequence[Mapping[str, int | float]], names: Sequence[str]
) -> None:
    for name in names:
        steps, values = thin(rows, name)
        # A single point has no line: it would not be seen.
        axes.plot(steps, values, label=name, marker="." if len(steps) == 1 else "")
    axes.set_xlabel("step")
    if len(names) > 1:
        axes.legend(fontsize="small")
