"""Many annotated images on one page, to see at a glance whether labels and images belong together.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: one image in detail (`figures.py`), images beside predictions (`demo.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath

from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from minioneformer.structures import Category, PanopticSample
from minioneformer.visualize.figures import MARGIN, resized_overlay
from minioneformer.visualize.legend import (
    FONT,
    ROW_HEIGHT,
    LegendEntry,
    display_name,
    draw_legend,
    fitting_columns,
    legend_size,
    shorten,
    text_width,
)
from minioneformer.visualize.overlay import ALPHA
from minioneformer.visualize.panels import (
    add_panel,
    new_figure,
    resize_picture,
    show_image,
    shown_size,
)
from minioneformer.visualize.regions import find_regions

SIDE = 192  # longest side of an image on the sheet, in pixels
GAP = 8
MOST_ENTRIES = 40
ELLIPSIS = "..."

Picture = UInt8[Tensor, "3 _ _"]


def draw_contact_sheet(
    samples: Iterable[PanopticSample],
    categories: Sequence[Category],
    *,
    columns: int = 3,
    alpha: float = ALPHA,
) -> Figure:
    """Draw each image beside the same image with its annotation, and one legend.

    Args:
        samples: At least one; sizes may differ. Read one after the other, pixels are not kept.
        categories: The catalogue that all labels refer to.
        columns: How many samples stand side by side.
        alpha: Of the colours, 0 to 1.

    Returns:
        The figure. Below each sample stands the name of its file, or its id.

    Raises:
        ValueError: If there is no sample, or `columns` is below 1; as `overlay_sample`.
    """
    if columns < 1:
        raise ValueError(f"a sheet needs at least one column, got {columns=}.")
    cells: list[tuple[str, Picture, Picture]] = []
    labels: set[int] = set()
    for sample in samples:
        _, height, width = sample.image.shape
        size = shown_size((height, width), side=SIDE, largest_side=SIDE)
        regions = find_regions(sample, categories)
        labels.update(regions.labels)
        overlay = resized_overlay(sample.image, regions, size, alpha=alpha)
        name = PurePath(sample.file_name).name or str(sample.image_id)
        cells.append((name, resize_picture(sample.image, size), overlay))
    if not cells:
        raise ValueError("a contact sheet needs at least one sample, got none.")
    entries = [
        LegendEntry(text=display_name(categories[label].name), color=categories[label].color)
        for label in sorted(labels)
    ] or [LegendEntry(text="nothing annotated")]
    return _draw(cells, shorten(entries, MOST_ENTRIES), min(columns, len(cells)))


def _draw(
    cells: Sequence[tuple[str, Picture, Picture]], entries: Sequence[LegendEntry], columns: int
) -> Figure:
    """Rows of pairs, names below, the legend at the bottom."""
    cell_width = max(2 * image.shape[2] + GAP for _, image, _ in cells)
    width = columns * (cell_width + GAP) - GAP
    rows = [cells[first : first + columns] for first in range(0, len(cells), columns)]
    heights = [max(image.shape[1] for _, image, _ in row) for row in rows]
    legend_columns = fitting_columns(entries, width)
    legend_width, legend_height = legend_size(entries, legend_columns)
    bottom = MARGIN + sum(height + ROW_HEIGHT + GAP for height in heights)
    figure = new_figure(max(width, legend_width) + 2 * MARGIN, bottom + legend_height + MARGIN)

    top = MARGIN
    for row, row_height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            _draw_cell(figure, cell, MARGIN + column * (cell_width + GAP), top)
        top += row_height + ROW_HEIGHT + GAP
    legend = add_panel(figure, MARGIN, bottom, legend_width, legend_height)
    draw_legend(legend, entries, legend_columns)
    return figure


def _draw_cell(figure: Figure, cell: tuple[str, Picture, Picture], left: int, top: int) -> None:
    name, image, overlay = cell
    _, height, width = image.shape
    show_image(add_panel(figure, left, top, width, height), image)
    show_image(add_panel(figure, left + width + GAP, top, width, height), overlay)
    caption = add_panel(figure, left, top + height, 2 * width + GAP, ROW_HEIGHT)
    text = _fitting(name, 2 * width + GAP)
    caption.text(
        0, ROW_HEIGHT / 2, text, font=FONT, color="black", va="center_baseline", parse_math=False
    )


def _fitting(name: str, width: int) -> str:
    """The end of a name that is too long: there the numbers are."""
    if text_width(name) <= width:
        return name
    kept = len(name)
    while kept and text_width(ELLIPSIS + name[-kept:]) > width:
        kept -= 1
    return ELLIPSIS + name[len(name) - kept :]
