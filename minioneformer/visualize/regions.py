"""What there is to paint: coloured regions that do not overlap, out of any kind of prediction.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: painting (`overlay.py`), deciding what is predicted (`inference/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from minioneformer.structures import (
    VOID_ID,
    Category,
    InstancePrediction,
    PanopticPrediction,
    PanopticSample,
    SemanticPrediction,
)
from minioneformer.visualize.colors import class_colors, instance_colors

Prediction: TypeAlias = SemanticPrediction | InstancePrediction | PanopticPrediction
Drawable: TypeAlias = Prediction | PanopticSample

NOBODY = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Regions:
    """M regions, each with a class and a colour; a later one lies in front of an earlier one.

    Args:
        owner_map: Index of the region of each pixel, `NOBODY` where there is none.
        labels: Class of each region.
        scores: Of each region, None where the prediction gives none.
        colors: RGB of each region.
    """

    owner_map: Int[Tensor, "H W"]
    labels: tuple[int, ...]
    scores: tuple[float | None, ...]
    colors: UInt8[Tensor, "M 3"]


def find_regions(
    drawable: Drawable, categories: Sequence[Category], *, min_score: float = 0.0
) -> Regions:
    """Lay out a prediction of any task, or an annotation, for painting.

    Stuff has the colour of its class, things have variations of it. Of instances, which may
    overlap, the smaller one is seen; of two as large, the one with the better score.

    Args:
        drawable: A prediction, or a sample for its annotation; may be empty.
        categories: The catalogue that its labels refer to.
        min_score: Instances below it are left out; panoptic segments have passed their
            threshold already.

    Returns:
        The regions: semantic in the order of labels, panoptic as listed, instances large to
        small.

    Raises:
        ValueError: If a label is not in the catalogue, or a segment map holds an id that is not
            listed.
    """
    if isinstance(drawable, SemanticPrediction):
        return _semantic_regions(drawable, categories)
    if isinstance(drawable, InstancePrediction):
        return _instance_regions(drawable, categories, min_score)
    labels = [segment.label for segment in drawable.segments]
    scores: list[float | None] = [None] * len(labels)
    if isinstance(drawable, PanopticPrediction):
        scores = [segment.score for segment in drawable.segments]
    ids = [segment.id for segment in drawable.segments]
    owner_map = _positions(drawable.segment_map.cpu(), ids)
    return _colored(owner_map, labels, scores, categories)


def _semantic_regions(prediction: SemanticPrediction, categories: Sequence[Category]) -> Regions:
    label_map = prediction.label_map.cpu()
    _check_labels(label_map.unique().tolist(), categories)
    return Regions(
        owner_map=label_map,
        labels=tuple(range(len(categories))),
        scores=(None,) * len(categories),
        colors=class_colors(categories),
    )


def _instance_regions(
    prediction: InstancePrediction, categories: Sequence[Category], min_score: float
) -> Regions:
    masks, scores = prediction.masks.cpu(), prediction.scores.tolist()
    areas = masks.flatten(1).sum(1).tolist()
    kept = [i for i, score in enumerate(scores) if score >= min_score]
    kept.sort(key=lambda i: (-areas[i], scores[i]))
    owner_map = torch.full(masks.shape[1:], NOBODY)
    for position, i in enumerate(kept):
        owner_map[masks[i]] = position
    labels = prediction.labels.tolist()
    return _colored(owner_map, [labels[i] for i in kept], [scores[i] for i in kept], categories)


def _colored(
    owner_map: Int[Tensor, "H W"],
    labels: Sequence[int],
    scores: Sequence[float | None],
    categories: Sequence[Category],
) -> Regions:
    """Give stuff the colour of its class, and the n-th thing of a class its n-th variation."""
    _check_labels(labels, categories)
    colors = class_colors(categories)[torch.tensor(labels, dtype=torch.int64)]  # (M, 3)
    for label in set(labels):
        if categories[label].is_thing:
            of_class = torch.tensor([other == label for other in labels])  # (M,)
            colors[of_class] = instance_colors(categories[label].color, int(of_class.sum()))
    return Regions(owner_map=owner_map, labels=tuple(labels), scores=tuple(scores), colors=colors)


def _positions(segment_map: Int[Tensor, "H W"], ids: Sequence[int]) -> Int[Tensor, "H W"]:
    """Position in the list of ids, for each pixel."""
    drawn, inverse = segment_map.unique(return_inverse=True)
    position_of = {VOID_ID: NOBODY} | {segment_id: i for i, segment_id in enumerate(ids)}
    unlisted = [segment_id for segment_id in drawn.tolist() if segment_id not in position_of]
    if unlisted:
        raise ValueError(
            f"every id of a segment map must be listed among its segments, got {unlisted=}."
        )
    return torch.tensor([position_of[segment_id] for segment_id in drawn.tolist()])[inverse]


def _check_labels(labels: Sequence[int], categories: Sequence[Category]) -> None:
    unknown = [label for label in labels if not 0 <= label < len(categories)]
    if unknown:
        raise ValueError(
            f"labels must be in 0 .. {len(categories) - 1}, got {unknown=}. "
            f"Pass the catalogue that the model was trained with."
        )
