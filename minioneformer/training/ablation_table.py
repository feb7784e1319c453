"""Mean and spread of an ablation over its seeds, as Markdown and as JSON values.

Paper: OneFormer (arXiv 2211.06220), Tables 4 to 7; not drawn in Figure 2.

Not here: the runs (`training/ablation_runs.py`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from minioneformer.training.ablation import FULL, Row

FIGURES = {"pq": "PQ", "ap": "AP", "miou": "mIoU"}
MINUS, PLUS_MINUS = "\u2212", "\u00b1"


def summarize(values: Sequence[float]) -> dict[str, Any]:
    """Mean and sample standard deviation.

    Args:
        values: One per seed, at least one.

    Returns:
        "mean", "sd" (None for a single value), "n" and the "values".

    Example:
        1, 2 and 6 have mean 3 and standard deviation sqrt((4 + 1 + 9) / 2) = 2.646.
    """
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
        "values": list(values),
    }


def difference(row: Mapping[str, Any], full: Mapping[str, Any]) -> dict[str, Any]:
    """How a row differs from the full model.

    Args:
        row: As `summarize` gives it.
        full: The same of the full model.

    Returns:
        "difference" of the means and its "standard_error" (None for single values).

    Example:
        Standard deviations 3 and 4 over one and the same number of 25 seeds: the standard error is
        sqrt(9 / 25 + 16 / 25) = 1.
    """
    error = None
    if row["sd"] is not None and full["sd"] is not None:
        error = math.sqrt(row["sd"] ** 2 / row["n"] + full["sd"] ** 2 / full["n"])
    return {"difference": row["mean"] - full["mean"], "standard_error": error}


def build_table(
    rows: Sequence[Row], figures: Mapping[str, Sequence[Mapping[str, float | None]]]
) -> list[dict[str, Any]]:
    """Summaries of all rows.

    Args:
        rows: In the order of the table.
        figures: By name of the row, those of each finished run.

    Returns:
        JSON values, one entry per row. A figure that is not measured, or not defined in a run, is
        left out.
    """
    table: list[dict[str, Any]] = []
    full: Mapping[str, Any] = {}
    for row in rows:
        summaries: dict[str, Any] = {}
        for name in FIGURES:
            values = [run[name] for run in figures.get(row.name, ()) if run.get(name) is not None]
            if not values:
                continue
            summaries[name] = summarize([float(v) for v in values if v is not None])
            if row.name != FULL and name in full:
                summaries[name] |= difference(summaries[name], full[name])
                summaries[name]["paper_difference"] = row.paper.get(name)
        if row.name == FULL:
            full = summaries
        table.append(
            {
                "row": row.name,
                "title": row.title,
                "settings": list(row.settings),
                "source": row.source,
                "figures": summaries,
            }
        )
    return table


def markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """The table as text.

    Args:
        table: See `build_table`.

    Returns:
        Two columns per figure: mean and standard deviation over the seeds; difference from the
        full model with its standard error, and the paper's difference in brackets.
    """
    header = ["", "n"]
    for name in FIGURES.values():
        header += [name, f"against full (paper: {name})"]
    lines = [header, ["---"] * len(header)]
    for entry in table:
        counts = {summary["n"] for summary in entry["figures"].values()}
        line = [entry["title"], ", ".join(map(str, sorted(counts))) or "0"]
        for name in FIGURES:
            line += _cells(entry["figures"].get(name))
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cells(summary: Mapping[str, Any] | None) -> list[str]:
    if summary is None:
        return ["", ""]
    value = f"{summary['mean']:.1f}{_spread(summary['sd'])}"
    if "difference" not in summary:
        return [value, ""]
    change = f"{_signed(summary['difference'])}{_spread(summary['standard_error'])}"
    paper = summary["paper_difference"]
    return [value, change if paper is None else f"{change} ({_signed(paper)})"]


def _spread(value: float | None) -> str:
    return "" if value is None else f" {PLUS_MINUS} {value:.1f}"


def _signed(value: float) -> str:
    rounded = f"{abs(value):.1f}"
    if rounded == "0.0":
        return rounded
    return f"{'+' if value > 0 else MINUS}{rounded}"
