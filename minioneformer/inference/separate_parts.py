"""One segment per connected part: for things that are compact, such as cells.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Many small objects of one look are told apart by their place alone. A model that has seen few images
finds all of them and gives several to one query. Where objects are known to be connected and mostly
apart, cutting its masks into connected parts gives the objects. Off unless a recipe asks for it:
an object that something covers in its middle is cut too. Such a model also finds an object with
several queries; of parts that are nearly the same one is kept.

Not here: which pixels a query gets (`inference/panoptic.py`, `inference/instance.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from scipy import ndimage
from torch import Tensor

from minioneformer.structures import (
    VOID_ID,
    Category,
    InstancePrediction,
    PanopticPrediction,
    PredictedSegment,
)

SAME_OBJECT = 0.5  # two parts that share more of their union are one object, found twice


def connected_parts(mask: Bool[Tensor, "H W"], smallest: int = 1) -> Bool[Tensor, "parts H W"]:
    """Cut a mask into parts; cells that touch at a corner only are apart.

    Args:
        mask: True inside.
        smallest: Pixels that a part must have; smaller ones are left out.

    Returns:
        One mask per part, largest first.

    Example:
        A row (1, 1, 0, 1) has the parts (1, 1, 0, 0) and (0, 0, 0, 1); with `smallest` 2 only
        the first.
    """
    labels, count = ndimage.label(mask.cpu().numpy())
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    kept = [part for part in np.argsort(-areas, kind="stable") if areas[part] >= smallest]
    parts = [torch.from_numpy(labels == part + 1) for part in kept]
    if not parts:
        return mask.new_zeros(0, *mask.shape)
    return torch.stack(parts).to(mask.device)


def separate_panoptic(
    prediction: PanopticPrediction, categories: Sequence[Category], *, smallest: int = 1
) -> PanopticPrediction:
    """Give each connected part of a thing its own id.

    Args:
        prediction: As decoded.
        categories: By label.
        smallest: Pixels that a part must have; smaller ones become void.

    Returns:
        Segments in the old order, parts largest first; ids are 1, 2, ... again. Stuff is as it
        was.
    """
    segment_map = torch.full_like(prediction.segment_map, VOID_ID)
    segments: list[PredictedSegment] = []
    for segment in prediction.segments:
        mask = prediction.segment_map == segment.id
        is_thing = categories[segment.label].is_thing
        for part in connected_parts(mask, smallest) if is_thing else mask[None]:
            number = len(segments) + 1
            segment_map[part] = number
            segments.append(PredictedSegment(id=number, label=segment.label, score=segment.score))
    return PanopticPrediction(segment_map=segment_map, segments=tuple(segments))


def separate_instances(prediction: InstancePrediction, *, smallest: int = 1) -> InstancePrediction:
    """Make each connected part of a mask an instance, with the score of the whole.

    Args:
        prediction: As decoded.
        smallest: Pixels that a part must have; smaller ones are left out.

    Returns:
        Instances in the old order, parts largest first. A part that shares more than half of its
        union with an earlier one of its class is left out: it is the same object.
    """
    parts = [connected_parts(mask, smallest) for mask in prediction.masks]
    counts = torch.tensor([len(masks) for masks in parts], dtype=torch.long)
    counts = counts.to(prediction.labels.device)
    masks = torch.cat([prediction.masks[:0], *parts])
    labels = prediction.labels.repeat_interleave(counts)
    kept = distinct_masks(masks, labels).to(labels.device)
    return InstancePrediction(
        masks=masks[kept],
        labels=labels[kept],
        scores=prediction.scores.repeat_interleave(counts)[kept],
        queries=prediction.queries.repeat_interleave(counts)[kept],
    )


def distinct_masks(masks: Bool[Tensor, "M H W"], labels: Int[Tensor, " M"]) -> Int[Tensor, " kept"]:
    """Choose the first mask of each object.

    Args:
        masks: None of them empty; the one to be kept comes first.
        labels: Class of each; masks of different classes are different objects.

    Returns:
        Positions of those that share at most half of their union with every earlier one that was
        kept, ascending; on the CPU.

    Example:
        Of rows (1, 1, 1, 0), (1, 1, 0, 0) and (0, 0, 1, 1) of one class the first and the third
        are kept: the second shares 2 of 3 cells with the first, the third 1 of 4.
    """
    cells, classes = masks.cpu().numpy(), labels.cpu().numpy()
    areas = cells.sum((1, 2))
    kept: list[int] = []
    for number, mask in enumerate(cells):
        rivals = [other for other in kept if classes[other] == classes[number]]
        # a window around the mask is enough, and parts are small
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        down, across = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        shared = (cells[:, down, across][rivals] & mask[down, across]).sum((1, 2))
        if not (shared > SAME_OBJECT * (areas[rivals] + areas[number] - shared)).any():
            kept.append(number)
    return torch.tensor(kept, dtype=torch.long)
