"""Figures measured in pixels: images shown pixel by pixel, small ones enlarged without blur.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

No state is kept outside the figures (no pyplot), so they can be made anywhere, many at a time.

Not here: what is shown (`figures.py`).
"""

from __future__ import annotations

import io
from pathlib import Path

from einops import rearrange, repeat
from jaxtyping import Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from minioneformer.atomic import write_bytes_atomically
from minioneformer.visualize.legend import DPI

FORMATS = ("png", "jpg", "jpeg", "webp", "pdf", "svg")


def enlargement(image: UInt8[Tensor, "3 H W"], side: int) -> int:
    """By how much to enlarge an image.

    Args:
        image: Of which only the size matters.
        side: How long its longer side should be, about.

    Returns:
        A whole number, at least 1.

    Example:
        An image of 64 x 48 gets to a side of about 512 when enlarged 8 times.
    """
    return max(1, round(side / max(image.shape[1:])))


def enlarge(pixels: Integer[Tensor, "*C H W"], factor: int) -> Integer[Tensor, "*C kH kW"]:
    """Make a square of every pixel.

    Args:
        pixels: An image or a map.
        factor: Side of the squares, >= 1.

    Returns:
        The same with both sides `factor` times as long.
    """
    return repeat(pixels, "... H W -> ... (H h) (W w)", h=factor, w=factor)


def displayed_size(image: UInt8[Tensor, "3 H W"], largest_side: int) -> tuple[int, int]:
    """The size at which an image is shown.

    Args:
        image: Of which only the size matters.
        largest_side: Bound of both sides.

    Returns:
        (H, W) in pixels: as it is, or scaled down to the bound; no side less than 1.

    Example:
        1000 x 2000 with a bound of 500 is shown as 250 x 500.
    """
    _, H, W = image.shape
    scale = min(1.0, largest_side / max(H, W))
    return max(1, round(scale * H)), max(1, round(scale * W))


def new_figure(width: int, height: int) -> Figure:
    """An empty white figure.

    Args:
        width: In pixels.
        height: In pixels.

    Returns:
        The figure, with a canvas of its own.
    """
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """A place in a figure; one unit is one pixel, from the upper left.

    Args:
        figure: To which it is added.
        left: In pixels.
        top: In pixels.
        width: In pixels.
        height: In pixels.

    Returns:
        The place, without frame and ticks.
    """
    figure_width, figure_height = figure.get_size_inches() * DPI
    axes = figure.add_axes(
        (
            left / figure_width,
            1 - (top + height) / figure_height,
            width / figure_width,
            height / figure_height,
        )
    )
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return axes


def show_image(axes: Axes, image: UInt8[Tensor, "3 H W"]) -> None:
    """Fill a panel with an image.

    Args:
        axes: Of `add_panel`.
        image: RGB, 0 to 255; scaled to the panel.
    """
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    axes.imshow(
        rearrange(image.cpu(), "C H W -> H W C").numpy(),
        extent=(left, right, bottom, top),
        aspect="auto",
        interpolation="antialiased",
    )


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a file, whole or not at all.

    Args:
        figure: Any figure of matplotlib.
        path: Its ending says the format; missing folders are made, an old file is replaced.

    Returns:
        The path.

    Raises:
        ValueError: If the ending is not that of a known format.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"a picture must end in one of {FORMATS}, got path={str(path)!r}.")
    content = io.BytesIO()
    figure.savefig(content, format=kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, content.getvalue())
    return path
