"""A prediction over its image, with a legend.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: painting (`overlay.py`), tables of several images and tasks (`demo.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from minioneformer.structures import Category, SemanticPrediction
from minioneformer.visualize.legend import (
    TITLE_FONT,
    LegendEntry,
    display_name,
    draw_legend,
    legend_size,
    shorten,
    text_width,
)
from minioneformer.visualize.overlay import ALPHA, MIN_SCORE, check_same_size, paint
from minioneformer.visualize.panels import (
    add_panel,
    new_figure,
    resize_nearest,
    resize_picture,
    show_image,
    shown_size,
)
from minioneformer.visualize.regions import NOBODY, Drawable, Regions, find_regions

SIDE, LARGEST_SIDE = 512, 1024  # of the image, see `shown_size`
MARGIN = 12
TITLE_HEIGHT = 26
MOST_ENTRIES = 16


def draw_prediction(
    image: UInt8[Tensor, "3 H W"],
    prediction: Drawable,
    categories: Sequence[Category],
    *,
    title: str = "",
    min_score: float = MIN_SCORE,
    alpha: float = ALPHA,
) -> Figure:
    """Draw a prediction over its image, with a legend.

    Things have numbers, in the image and in the legend, best score first; stuff follows, large
    to small.

    Args:
        image: RGB, 0 to 255.
        prediction: At the size of the image, of any task; or a sample, for its annotation.
        categories: The catalogue that its labels refer to.
        title: One line above.
        min_score: Instances below it are not drawn.
        alpha: Of the colours, 0 to 1.

    Returns:
        The figure.

    Raises:
        ValueError: As `overlay_semantic` and `overlay_panoptic`.
    """
    regions = find_regions(prediction, categories, min_score=min_score)
    _, H, W = image.shape
    size = shown_size((H, W), side=SIDE, largest_side=LARGEST_SIDE)
    picture = resized_overlay(image, regions, size, alpha=alpha)
    numbered = not isinstance(prediction, SemanticPrediction)
    entry_of_region = _legend_entries(regions, categories, numbered)
    entries = shorten(list(entry_of_region.values()), MOST_ENTRIES)
    if not entries:
        entries = [LegendEntry(text="nothing found")]

    height, width = size
    legend_width, legend_height = legend_size(entries)
    top = MARGIN + (TITLE_HEIGHT if title else 0)
    legend_left = MARGIN + width + MARGIN
    right = max(legend_left + legend_width, MARGIN + text_width(title, TITLE_FONT))
    figure = new_figure(right + MARGIN, top + max(height, legend_height) + MARGIN)
    axes = add_panel(figure, MARGIN, top, width, height)
    show_image(axes, picture)
    axes.text(0, -MARGIN / 2, title, font=TITLE_FONT, color="black", parse_math=False)
    for region, entry in entry_of_region.items():
        if entry.mark and entry in entries:
            _write_mark(axes, regions.owner_map == region, entry.mark)
    draw_legend(add_panel(figure, legend_left, top, legend_width, legend_height), entries)
    return figure


def resized_overlay(
    image: UInt8[Tensor, "3 H W"], regions: Regions, size: tuple[int, int], *, alpha: float
) -> UInt8[Tensor, "3 newH newW"]:
    """Resize first and paint then, so that borders are as wide as they should be shown.

    Args:
        image: RGB, 0 to 255.
        regions: At the size of the image.
        size: Wanted (H, W) in pixels.
        alpha: Of the colours, 0 to 1.

    Returns:
        RGB, 0 to 255.

    Raises:
        ValueError: As `paint`.
    """
    check_same_size(image, regions)
    resized = replace(regions, owner_map=resize_nearest(regions.owner_map, size))
    return paint(resize_picture(image, size), resized, alpha=alpha)


def _legend_entries(
    regions: Regions, categories: Sequence[Category], numbered: bool
) -> dict[int, LegendEntry]:
    """An entry for each region that can be seen: numbered things by score, the rest by area."""
    owners = regions.owner_map[regions.owner_map != NOBODY]
    areas = torch.bincount(owners, minlength=len(regions.labels)).tolist()
    seen = [i for i, area in enumerate(areas) if area > 0]
    things = [i for i in seen if numbered and categories[regions.labels[i]].is_thing]
    things.sort(key=lambda i: -(regions.scores[i] or 0.0))
    rest = sorted(set(seen) - set(things), key=lambda i: -areas[i])
    entries = {}
    for position, region in enumerate([*things, *rest]):
        score, color = regions.scores[region], regions.colors[region].tolist()
        name = display_name(categories[regions.labels[region]].name)
        entries[region] = LegendEntry(
            text=f"{name} {score:.2f}" if score is not None and region in things else name,
            color=(color[0], color[1], color[2]),
            mark=str(position + 1) if position < len(things) else "",
        )
    return entries


def _write_mark(axes: Axes, mask: Bool[Tensor, "H W"], mark: str) -> None:
    """Write into the widest place of a region."""
    rows, columns = (mask.any(dim).nonzero().flatten() for dim in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    box = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    # subtle: framed, or a region at the edge of the box would seem to go on beyond it
    depth = distance_transform_edt(np.pad(box.numpy(), 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    H, W = mask.shape
    axes.text(
        (left + x + 0.5) / W * axes.get_xlim()[1],
        (top + y + 0.5) / H * axes.get_ylim()[0],
        mark,
        color="white",
        size=9,
        weight="bold",
        ha="center",
        va="center_baseline",
        path_effects=[withStroke(linewidth=2.5, foreground="black")],
    )
