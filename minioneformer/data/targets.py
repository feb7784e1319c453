"""From one panoptic annotation to the target of each task.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), boxes "Panoptic GT", "Instance GT",
"Semantic GT".

All three label sets are derived from the panoptic one, after the geometric augmentation, which is
why one training on panoptic labels serves three tasks.

Not here: the texts of the same task (`text/text_list.py`), reading annotations (`data/coco.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from minioneformer.data.sample_steps import visible_ids
from minioneformer.data.shared_room import empty_room
from minioneformer.structures import Category, PanopticSample, TaskTarget
from minioneformer.text.task_prompt import check_task


def target_for_task(
    sample: PanopticSample, task: str, categories: Sequence[Category]
) -> TaskTarget:
    """Collect the masks and labels that a task asks of a sample.

    Semantic: one mask per class present, the union of its segments. Instance: one mask per
    segment of a thing. Panoptic: one mask per segment. Crowd segments and segments without a
    pixel (cropped away) are left out; pixels of no kept segment are in no mask.

    Args:
        sample: Its segment map may be cropped, so that some segments have no pixel left.
        task: "semantic", "instance" or "panoptic".
        categories: The catalogue that the labels of the segments index.

    Returns:
        Masks in the order of `sample.segments`; for the semantic task in the order in which the
        classes first appear there. No mask at all is a valid target.

    Raises:
        ValueError: If `task` is none of the three, or a label is outside the catalogue.

    Example:
        Segments cat, cat, sky: semantic gives (cat, sky), instance (cat, cat),
        panoptic (cat, cat, sky).

    Fidelity:
        Paper and official code: no known difference. Crowd and void pixels are background of
        every mask, not ignored by the losses, as in the official code.
    """
    checked_task = check_task(task)
    _check_labels(sample, len(categories))
    kept = [
        segment
        for segment in sample.segments
        if not segment.is_crowd
        and (checked_task != "instance" or categories[segment.label].is_thing)
    ]
    visible = visible_ids(sample.segment_map)
    kept = [segment for segment in kept if segment.id in visible]
    groups: list[tuple[int, list[int]]] = [(segment.label, [segment.id]) for segment in kept]
    if checked_task == "semantic":
        labels = dict.fromkeys(segment.label for segment in kept)
        groups = [(label, [s.id for s in kept if s.label == label]) for label in labels]
    return TaskTarget(
        task=checked_task,
        labels=torch.tensor([label for label, _ in groups], dtype=torch.int64),
        masks=_masks_of_ids(sample.segment_map, [ids for _, ids in groups]),
    )


def _masks_of_ids(
    segment_map: Int[Tensor, "H W"], groups: Sequence[Sequence[int]]
) -> Bool[Tensor, "M H W"]:
    """True where the segment map has one of the ids of each group."""
    # NumPy compares several times faster than torch does, and 32 bits faster than 64
    found = segment_map.numpy()
    if found.size and found.max() <= np.iinfo(np.int32).max:
        found = found.astype(np.int32)
    masks = empty_room(len(groups), *segment_map.shape, dtype=torch.bool)
    for mask, ids in zip(masks.numpy(), groups, strict=True):
        np.equal(found, ids[0], out=mask)
        for segment_id in ids[1:]:
            mask |= found == segment_id
    return masks


def _check_labels(sample: PanopticSample, num_classes: int) -> None:
    """Refuse labels that the catalogue does not have."""
    wrong = sorted({s.label for s in sample.segments if not 0 <= s.label < num_classes})
    if wrong:
        raise ValueError(
            f"labels of a sample must be below the number of categories, {num_classes}, "
            f"got labels={wrong} in image {sample.image_id!r}. "
            "Pass the catalogue the sample was read with."
        )
