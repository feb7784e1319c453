"""Legends of names and colours, laid out in pixels.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Drawn by hand instead of by matplotlib's own legend, because its size has to be known before the
figure is made, and because names of classes may hold "$" and "_", which mean something there.

Not here: where in a figure the legend stands (`figures.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

DPI = 100
FONT, TITLE_FONT = FontProperties(size=9), FontProperties(size=11)
ROW_HEIGHT = 20  # this and all below in pixels
SWATCH = (22, 14)  # width, height
TEXT_LEFT = 28
COLUMN_GAP = 16
LONGEST_NAME = 32  # characters


@dataclass(frozen=True, kw_only=True, slots=True)
class LegendEntry:
    """One line of a legend.

    Args:
        text: What the colour stands for.
        color: RGB, 0 to 255; None for a remark without a colour.
        mark: Stands in the coloured field, e.g. the number by which a thing is found.
    """

    text: str
    color: tuple[int, int, int] | None = None
    mark: str = ""


def shorten(entries: Sequence[LegendEntry], limit: int) -> list[LegendEntry]:
    """Cut a long legend.

    Args:
        entries: Most important first.
        limit: Most lines of the result, >= 2.

    Returns:
        At most that many lines; the last one says how many are left out.

    Example:
        Five entries and a limit of 3 give two entries and "... and 3 more".
    """
    if len(entries) <= limit:
        return list(entries)
    shown = list(entries[: limit - 1])
    return [*shown, LegendEntry(text=f"... and {len(entries) - len(shown)} more")]


def display_name(name: str) -> str:
    """The name of a class on one line of bounded length.

    Args:
        name: As in the catalogue.

    Returns:
        Without surrounding blanks; cut with "..." if it is long.

    Example:
        ADE20K's "window " is shown as "window".
    """
    name = " ".join(name.split())
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def text_width(text: str, font: FontProperties = FONT) -> int:
    """How wide a line of text is.

    Args:
        text: One line.
        font: Its size and family.

    Returns:
        Pixels, rounded up.
    """
    width, _, _ = RendererAgg(1, 1, DPI).get_text_width_height_descent(text, font, ismath=False)
    return math.ceil(width)


def legend_size(entries: Sequence[LegendEntry], columns: int = 1) -> tuple[int, int]:
    """How much room a legend takes.

    Args:
        entries: Its lines.
        columns: In how many columns they stand.

    Returns:
        Width and height in pixels.
    """
    rows = math.ceil(len(entries) / columns)
    return columns * _column_width(entries) - COLUMN_GAP, rows * ROW_HEIGHT


def fitting_columns(entries: Sequence[LegendEntry], width: int) -> int:
    """In how many columns a legend can stand.

    Args:
        entries: Its lines.
        width: Of the room there is, in pixels.

    Returns:
        At least 1, at most one per line.
    """
    return max(1, min(len(entries), (width + COLUMN_GAP) // _column_width(entries)))


def draw_legend(axes: Axes, entries: Sequence[LegendEntry], columns: int = 1) -> None:
    """Draw the lines, row by row.

    Args:
        axes: One unit is one pixel, from the upper left; as large as `legend_size` says.
        entries: The lines.
        columns: In how many columns they stand.
    """
    column_width = _column_width(entries)
    for i, entry in enumerate(entries):
        left, middle = i % columns * column_width, i // columns * ROW_HEIGHT + ROW_HEIGHT // 2
        if entry.color is not None:
            _draw_swatch(axes, entry.color, entry.mark, left, middle)
            left += TEXT_LEFT
        axes.text(
            left,
            middle,
            entry.text,
            color="black",
            font=FONT,
            va="center_baseline",
            parse_math=False,
        )


def _draw_swatch(
    axes: Axes, color: tuple[int, int, int], mark: str, left: int, middle: int
) -> None:
    width, height = SWATCH
    red, green, blue = (value / 255 for value in color)
    place = (left, middle - height / 2)
    axes.add_patch(
        Rectangle(place, width, height, facecolor=(red, green, blue), edgecolor="grey", lw=0.5)
    )
    is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
    axes.text(
        left + width / 2,
        middle,
        mark,
        color="white" if is_dark else "black",
        size=8,
        weight="bold",
        ha="center",
        va="center_baseline",
    )


def _column_width(entries: Sequence[LegendEntry]) -> int:
    widths = [
        text_width(entry.text) + (0 if entry.color is None else TEXT_LEFT) for entry in entries
    ]
    return max(widths, default=0) + COLUMN_GAP
