"""A table of images: what was shown, what was annotated, what each task answered.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: one prediction in detail (`figures.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from minioneformer.structures import TASKS, Category, PanopticSample, Task
from minioneformer.visualize.figures import MARGIN, TITLE_HEIGHT, resized_overlay
from minioneformer.visualize.legend import (
    TITLE_FONT,
    LegendEntry,
    display_name,
    draw_legend,
    fitting_columns,
    legend_size,
    shorten,
    text_width,
)
from minioneformer.visualize.overlay import ALPHA, MIN_SCORE
from minioneformer.visualize.panels import (
    add_panel,
    new_figure,
    resize_picture,
    save_figure,
    show_image,
    shown_size,
)
from minioneformer.visualize.regions import Prediction, Regions, find_regions

SIDE, LARGEST_SIDE = 192, 256  # of each image, see `shown_size`
GAP = 8
MOST_ENTRIES = 30

Picture: TypeAlias = UInt8[Tensor, "3 _ _"]


def draw_demo(
    samples: Sequence[PanopticSample],
    predictions: Sequence[Mapping[Task, Prediction]],
    categories: Sequence[Category],
    path: str | Path | None = None,
    *,
    min_score: float = MIN_SCORE,
    alpha: float = ALPHA,
) -> Figure:
    """Draw a table: a row per image; image, annotation, and the predictions for each task.

    Args:
        samples: One per row; sizes may differ.
        predictions: Of each sample, by task; every row for the same tasks, or for none.
        categories: The catalogue that all labels refer to.
        path: Where to save the figure; None does not.
        min_score: Instances below it are not drawn.
        alpha: Of the colours, 0 to 1.

    Returns:
        The figure, with one legend of the classes that occur.

    Raises:
        ValueError: If there is no sample, or not one prediction per sample, or rows are of
            different tasks; as `overlay_panoptic` and `save_figure`.
    """
    tasks = _tasks(samples, predictions)
    rows: list[list[Picture]] = []
    labels: set[int] = set()
    for sample, row in zip(samples, predictions, strict=True):
        _, H, W = sample.image.shape
        size = shown_size((H, W), side=SIDE, largest_side=LARGEST_SIDE)
        layouts = [
            find_regions(drawable, categories, min_score=min_score)
            for drawable in (sample, *(row[task] for task in tasks))
        ]
        labels.update(*(_seen_labels(regions) for regions in layouts))
        overlays = [resized_overlay(sample.image, r, size, alpha=alpha) for r in layouts]
        rows.append([resize_picture(sample.image, size), *overlays])
    entries = [
        LegendEntry(text=display_name(categories[label].name), color=categories[label].color)
        for label in sorted(labels)
    ]
    if not entries:
        entries = [LegendEntry(text="nothing annotated, nothing found")]
    figure = _draw_table(("image", "ground truth", *tasks), rows, shorten(entries, MOST_ENTRIES))
    if path is not None:
        save_figure(figure, path)
    return figure


def _tasks(
    samples: Sequence[PanopticSample], predictions: Sequence[Mapping[Task, Prediction]]
) -> list[Task]:
    """The tasks of all rows, in the order of `TASKS`."""
    if not samples or len(samples) != len(predictions):
        raise ValueError(
            f"a demo needs samples and one row of predictions for each, got {len(samples)=}, "
            f"{len(predictions)=}."
        )
    for row in predictions:
        if row.keys() != predictions[0].keys() or not row.keys() <= set(TASKS):
            raise ValueError(
                f"every row must hold predictions for the same of the tasks {TASKS}, got "
                f"{list(predictions[0])} and {list(row)}."
            )
    return [task for task in TASKS if task in predictions[0]]


def _seen_labels(regions: Regions) -> set[int]:
    return {regions.labels[i] for i in regions.owner_map.unique().tolist() if i >= 0}


def _draw_table(
    titles: Sequence[str], rows: Sequence[Sequence[Picture]], entries: Sequence[LegendEntry]
) -> Figure:
    """Cells of one size, titles above, the legend below."""
    sizes = [row[0].shape[1:] for row in rows]
    widths = [shown_width for _, shown_width in sizes]
    cell_width = max(*widths, *(text_width(title, TITLE_FONT) for title in titles))
    width = len(titles) * (cell_width + GAP) - GAP
    columns = fitting_columns(entries, width)
    legend_width, legend_height = legend_size(entries, columns)
    bottom = MARGIN + TITLE_HEIGHT + sum(height + GAP for height, _ in sizes)
    figure = new_figure(max(width, legend_width) + 2 * MARGIN, bottom + legend_height + MARGIN)

    header = add_panel(figure, MARGIN, MARGIN, width, TITLE_HEIGHT)
    for column, title in enumerate(titles):
        middle = column * (cell_width + GAP) + cell_width / 2
        header.text(middle, 0.7 * TITLE_HEIGHT, title, font=TITLE_FONT, color="black", ha="center")
    top = MARGIN + TITLE_HEIGHT
    for row, (height, shown_width) in zip(rows, sizes, strict=True):
        for column, picture in enumerate(row):
            left = MARGIN + column * (cell_width + GAP) + (cell_width - shown_width) // 2
            show_image(add_panel(figure, left, top, shown_width, height), picture)
        top += height + GAP
    left = MARGIN + max(0, (width - legend_width) // 2)
    draw_legend(add_panel(figure, left, bottom, legend_width, legend_height), entries, columns)
    return figure
