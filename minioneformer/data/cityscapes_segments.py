"""From the label ids and instance ids of a Cityscapes image to segments.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (Cityscapes); not drawn in Figure 2, it makes the
"Panoptic GT" of Figure 2(b).

    labelIds       8 bits: label id, 0 .. 33
    instanceIds   16 bits: label id, or 1000 x label id + number for a thing told apart from others

Of the 34 label ids, 19 are classes, the `dataset_id`s of the catalogue; the rest is void. A thing
without a number is a group: a crowd.

Not here: files and folders (`data/cityscapes.py`, `data/prepare.py`).
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Int, Int64
from torch import Tensor

from minioneformer.data.annotation_checks import brief_list
from minioneformer.data.categories import load_catalog
from minioneformer.structures import VOID_ID, Segment

CATEGORIES = load_catalog("cityscapes")
LABELS = {category.dataset_id: label for label, category in enumerate(CATEGORIES)}
NUM_LABEL_IDS = 34
PER_LABEL = 1000  # instance ids of one label id


def instance_segments(
    instance_ids: Int[Tensor, "H W"], path: Path
) -> tuple[Int64[Tensor, "H W"], tuple[Segment, ...]]:
    """Make a segment of each value that belongs to a class.

    Args:
        instance_ids: Values of `instanceIds`.
        path: For messages.

    Returns:
        The segment map, whose ids are the values, and the segments by id; labels are those of
        the catalogue "cityscapes".

    Raises:
        ValueError: If a value belongs to no label id.

    Example:
        Values 7, 26, 26001 are a road, a group of cars (crowd) and a car; 4 (static) is void.

    Fidelity:
        As createPanopticImgs of the official tools without train ids.
    """
    return _segments(instance_ids, path, PER_LABEL * NUM_LABEL_IDS, unnumbered_is_crowd=True)


def label_segments(
    label_ids: Int[Tensor, "H W"], path: Path
) -> tuple[Int64[Tensor, "H W"], tuple[Segment, ...]]:
    """Make one segment of each class, things included: all that label ids alone can tell.

    Args:
        label_ids: Values of `labelIds`.
        path: For messages.

    Returns:
        The segment map, whose ids are the values, and the segments by id.

    Raises:
        ValueError: If a value is no label id.

    Example:
        Values 7, 26, 26 are a road and one segment "car".
    """
    return _segments(label_ids, path, NUM_LABEL_IDS, unnumbered_is_crowd=False)


def _segments(
    values: Int[Tensor, "H W"], path: Path, limit: int, *, unnumbered_is_crowd: bool
) -> tuple[Int64[Tensor, "H W"], tuple[Segment, ...]]:
    counts = torch.bincount(values.flatten().long())
    present = torch.nonzero(counts).flatten().tolist()
    wrong = [v for v in present if v >= limit or NUM_LABEL_IDS <= v < PER_LABEL]
    if wrong:
        raise ValueError(
            f"{path}: values must be label ids, 0 .. {NUM_LABEL_IDS - 1}"
            f"{', or 1000 x label id + number' if unnumbered_is_crowd else ''}, got "
            f"{brief_list(wrong)}. Train ids have files of their own, which are not read."
        )
    kept = torch.full((len(counts),), VOID_ID)
    segments = []
    for value in present:
        label = LABELS.get(value if value < PER_LABEL else value // PER_LABEL)
        if label is None:
            continue  # void
        kept[value] = value
        is_crowd = unnumbered_is_crowd and value < PER_LABEL and CATEGORIES[label].is_thing
        segments.append(Segment(id=value, label=label, is_crowd=is_crowd, area=int(counts[value])))
    return kept[values.long()], tuple(segments)
