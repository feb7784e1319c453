"""A few curves as one `<svg>` element of an HTML page.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Drawn by hand: colours and font are those of the page, in light and in dark, and a run of 160,000
steps takes as little room as a short one.

Not here: which curves (`curves.py`), the page (`report_page.py`).
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from matplotlib.ticker import MaxNLocator

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 8, 36  # room for the numbers
MAX_TICKS = 5
COLORS = 6  # that the page has
Number = int | float
Curve = tuple[Sequence[Number], Sequence[Number]]


def draw_svg(curves: Mapping[str, Curve], title: str) -> str:
    """Curves over the steps, one scale for all.

    Args:
        curves: Steps and values by name; at least one point in all.
        title: For those who cannot see the picture; it is not drawn.

    Returns:
        The element. The page gives its classes their look: `grid`, `number`, `curve`, and
        `color-0` to `color-5`, which come in the order of the curves and again from the first.

    Raises:
        ValueError: If there is no point.
    """
    all_steps = [step for steps, _ in curves.values() for step in steps]
    all_values = [value for _, values in curves.values() for value in values]
    if not all_steps:
        raise ValueError(f"there is nothing to draw, got no points for {title!r}.")
    across = _Scale(all_steps, LEFT, WIDTH - RIGHT)
    upwards = _Scale(all_values, HEIGHT - BOTTOM, TOP)
    parts = [_horizontal(upwards(tick), _short(tick)) for tick in upwards.ticks]
    parts += [_number(across(tick), HEIGHT - BOTTOM + 16, _short(tick)) for tick in across.ticks]
    parts.append(_number((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "step"))
    for number, (name, (steps, values)) in enumerate(curves.items()):
        points = [(across(x), upwards(y)) for x, y in zip(steps, values, strict=True)]
        parts.append(_line(points, name, number % COLORS))
    label = html.escape(title)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


class _Scale:
    """From values to places; the ticks lie at round values and reach beyond all of them."""

    def __init__(self, values: Sequence[Number], start: Number, end: Number) -> None:
        low, high = min(values), max(values)
        vertical = start > end
        if low == high:  # a level line in the middle
            low, high = low - (abs(low) / 2 or 1), high + (abs(high) / 2 or 1)
        locator = MaxNLocator(nbins=MAX_TICKS, steps=[1, 2, 5, 10], integer=not vertical)
        ticks = [float(tick) for tick in locator.tick_values(low, high)]
        # Along the steps the run fills the width; upwards the grid frames the curves.
        self.low, self.high = (ticks[0], ticks[-1]) if vertical else (low, high)
        self.ticks = [tick for tick in ticks if self.low <= tick <= self.high]
        self.start, self.end = start, end

    def __call__(self, value: Number) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def _horizontal(y: Number, text: str) -> str:
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _number(LEFT - 6, y + 4, text, anchor="end")


def _number(x: Number, y: Number, text: str, anchor: str = "middle") -> str:
    return f'<text class="number" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _line(points: Sequence[tuple[Number, Number]], name: str, color: int) -> str:
    title = f"<title>{html.escape(name)}</title>"
    if len(points) == 1:  # a line of one point would not be seen
        ((x, y),) = points
        return (
            f'<circle class="curve color-{color}" cx="{x:.1f}" cy="{y:.1f}" r="2">{title}</circle>'
        )
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="curve color-{color}" points="{places}">{title}</polyline>'


def _short(value: Number) -> str:
    """At most five characters for what occurs: 1200, 160k, 2.5, 1e-04."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e7):
        return f"{value:.2g}"
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{round(value, 6):g}"
