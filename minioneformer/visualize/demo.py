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
from minioneformer.visualize.figures import MARGIN, TITLE_HEIGHT, enlarged_overlay
from minioneformer.visualize.legend import (
    TITLE_FONT,
    LegendEntry,
    display_name,
    draw_legend,
    fitting_columns,
    legend_size,
    shorten,
)
from minioneformer.visualize.overlay import ALPHA, MIN_SCORE
from minioneformer.visualize.panels import (
    add_panel,
    displayed_size,
    enlarge,
    enlargement,
    new_figure,
    save_figure,
    show_image,
)
from minioneformer.visualize.regions import Prediction, Regions, find_regions

SIDE = 192  # in pixels, to which the longer side of a small image is enlarged, about
LARGEST_SIDE = 256
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
        layouts = [
            find_regions(drawable, categories, min_score=min_score)
            for drawable in (sample, *(row[task] for task in tasks))
        ]
        labels.update(*(_seen_labels(regions) for regions in layouts))
        rows.append(
            [
                _enlarged(sample.image),
                *(
                    enlarged_overlay(sample.image, regions, side=SIDE, alpha=alpha)
                    for regions in layouts
                ),
            ]
        )
    entries = [
        LegendEntry(text=display_name(categories[label].name), color=categories[label].color)
        for label in sorted(labels)
    ]
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


def _enlarged(image: Picture) -> Picture:
    return enlarge(image, enlargement(image, SIDE))


def _draw_table(
    titles: Sequence[str], rows: Sequence[Sequence[Picture]], entries: Sequence[LegendEntry]
) -> Figure:
    """Cells of one size, titles above, the legend below."""
    sizes = [displayed_size(row[0], LARGEST_SIDE) for row in rows]
    cell_height, cell_width = (max(sides) for sides in zip(*sizes, strict=True))
    width = len(titles) * (cell_width + GAP) - GAP
    columns = fitting_columns(entries, width)
    legend_width, legend_height = legend_size(entries, columns)
    bottom = MARGIN + TITLE_HEIGHT + sum(height + GAP for height, _ in sizes)
    figure = new_figure(max(width, legend_width) + 2 * MARGIN, bottom + legend_height + MARGIN)

    header = add_panel(figure, MARGIN, MARGIN, width, TITLE_HEIGHT)
    for column, title in enumerate(titles):
        middle = column * (cell_width + GAP) + cell_width / 2
        header.text(
            middle,
            TITLE_HEIGHT / 2,
            title,
            font=TITLE_FONT,
            color="black",
            ha="center",
            va="center",
        )
    top = MARGIN + TITLE_HEIGHT
    for row, (height, shown_width) in zip(rows, sizes, strict=True):
        for column, picture in enumerate(row):
            left = MARGIN + column * (cell_width + GAP) + (cell_width - shown_width) // 2
            show_image(add_panel(figure, left, top, shown_width, height), picture)
        top += height + GAP
    draw_legend(
        add_panel(
            figure,
            MARGIN + max(0, (width - legend_width) // 2),
            bottom,
            legend_width,
            legend_height,
        ),
        entries,
        columns,
    )
    return figure
