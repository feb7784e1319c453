"""The published models as a table to read.

Paper: OneFormer (arXiv 2211.06220), Tables 1 to 3; not drawn in Figure 2.

Not here: the models (`presets/published.py`), printing (`cli.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from minioneformer.presets.published import published_models
from minioneformer.presets.published_model import HUB, PublishedModel

HEADER = (
    "name",
    "backbone",
    "data set",
    "queries",
    "crop",
    "parameters",
    "PQ",
    "AP",
    "mIoU",
    "mIoU, multi-scale",
    "weights",
)
NOT_PUBLISHED = "-"


def models_table(
    models: Sequence[PublishedModel] | None = None, *, with_links: bool = False
) -> str:
    """Write models as a Markdown table with aligned columns.

    Args:
        models: One row each; None is every published model.
        with_links: Whether weights are Markdown links; otherwise plain ids and addresses.

    Returns:
        The lines, without a newline at the end. Scores are in percent, crops (H x W) in pixels,
        "-" is what was not published. Where weights are converted, their id comes first.

    Example:
        The row of "coco_swin_large" begins `| coco_swin_large | Swin-L | COCO | 150 |`, up to
        the spaces that align it.
    """
    models = published_models() if models is None else models
    return aligned_table([HEADER, *(_cells(model, with_links) for model in models)])


def aligned_table(rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table with aligned columns.

    Args:
        rows: Of cells, all of one length; the first is the header.

    Returns:
        The lines, without a newline at the end.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, _line(["-" * width for width in widths], widths))
    return "\n".join(lines)


def _cells(model: PublishedModel, with_links: bool) -> tuple[str, ...]:
    scores = (model.pq, model.ap, model.miou, model.miou_multi_scale)
    height, width = model.crop_size
    return (
        model.name,
        model.backbone_title,
        model.dataset_title,
        str(model.num_queries),
        f"{height} x {width}",
        f"{model.million_parameters} M",
        *(NOT_PUBLISHED if score is None else f"{score:.1f}" for score in scores),
        _weights(model, with_links),
    )


def _weights(model: PublishedModel, with_links: bool) -> str:
    places = []
    if model.hub_id is not None:
        places.append(f"[{model.hub_id}]({HUB}/{model.hub_id})" if with_links else model.hub_id)
    if model.url is not None:
        places.append(f"[{model.file}]({model.url})" if with_links else model.url)
    return ", ".join(places) or NOT_PUBLISHED


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return f"| {' | '.join(padded)} |"
