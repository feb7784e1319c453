"""Figures measured in pixels: images shown pixel by pixel, small ones enlarged without blur.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

No state is kept outside the figures (no pyplot), so they can be made anywhere, many at a time.

Not here: what is shown (`figures.py`).
"""

from __future__ import annotations

import io
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from minioneformer.atomic import write_bytes_atomically
from minioneformer.pixels import resize_image
from minioneformer.visualize.legend import DPI

FORMATS = ("png", "jpg", "jpeg", "webp", "pdf", "svg")


def shown_size(size: tuple[int, int], *, side: int, largest_side: int) -> tuple[int, int]:
    """The size at which an image is shown.

    Args:
        size: Of the image, (H, W) in pixels.
        side: To which the longer side of a small image is enlarged, about: each pixel becomes a
            square of pixels.
        largest_side: Bound for large images, which are shrunk to it.

    Returns:
        (H, W) in pixels.

    Example:
        With 512 and 1024, an image of 64 x 48 is shown 8 times as large, and one of 1500 x 2000
        as 768 x 1024.
    """
    H, W = size
    if max(H, W) > largest_side:
        scale = largest_side / max(H, W)
        return max(1, round(scale * H)), max(1, round(scale * W))
    factor = max(1, round(side / max(H, W)))
    return factor * H, factor * W


def resize_nearest(
    pixels: Integer[Tensor, "*C H W"], size: tuple[int, int]
) -> Integer[Tensor, "*C newH newW"]:
    """Resize without mixing: each pixel takes the one below its centre.

    Args:
        pixels: A map, or an image to be enlarged.
        size: Wanted (H, W) in pixels.

    Returns:
        At that size.

    Example:
        The row 5 6 enlarged to 4 is 5 5 6 6; the row 1 2 3 4 5 6 shrunk to 2 is 2 5.
    """
    rows, columns = (
        ((torch.arange(new) + 0.5) * old / new).long()
        for new, old in zip(size, pixels.shape[-2:], strict=True)
    )
    return pixels[..., rows[:, None], columns]


def resize_picture(
    image: UInt8[Tensor, "3 H W"], size: tuple[int, int]
) -> UInt8[Tensor, "3 newH newW"]:
    """Resize an image for display: enlarged without blur, shrunk without loss of fine lines.

    Args:
        image: RGB, 0 to 255.
        size: Wanted (H, W) in pixels.

    Returns:
        RGB, 0 to 255.
    """
    shrinks = max(size) < max(image.shape[1:])
    return resize_image(image.cpu(), size) if shrinks else resize_nearest(image.cpu(), size)


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


def add_panel(figure: Figure, left: int, top: int, width: int, height: int) -> Axes:
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
    figure.savefig(content, format=kind, dpi="figure")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, content.getvalue())
    return path
