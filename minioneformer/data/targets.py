"""From one panoptic annotation to the target of each task.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), boxes "Panoptic GT", "Instance GT",
"Semantic GT".

All three label sets are derived from the panoptic one, after the geometric augmentation, which is
why one training on panoptic labels serves three tasks.

Not here: the texts of the same task (`text/text_list.py`), reading annotations (`data/coco.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

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
    ids = torch.tensor([segment.id for segment in kept], dtype=sample.segment_map.dtype)
    labels = torch.tensor([segment.label for segment in kept], dtype=torch.int64)

    masks = sample.segment_map[None] == ids[:, None, None]  # (M, H, W)
    visible = masks.flatten(1).view(torch.uint8).amax(1).bool()  # (M,); as any(1), but faster
    labels, masks = labels[visible], masks[visible]
    if checked_task == "semantic":
        labels, masks = _union_per_class(labels, masks)
    return TaskTarget(task=checked_task, labels=labels, masks=masks)


def _union_per_class(
    labels: Int[Tensor, " M"], masks: Bool[Tensor, "M H W"]
) -> tuple[Int[Tensor, " K"], Bool[Tensor, "K H W"]]:
    """Merge the masks of equal labels, classes in order of first appearance."""
    classes = list(dict.fromkeys(labels.tolist()))
    merged = masks.new_zeros((len(classes), *masks.shape[1:]))
    for row, label in enumerate(classes):
        merged[row] = masks[labels == label].any(0)
    return torch.tensor(classes, dtype=labels.dtype), merged


def _check_labels(sample: PanopticSample, num_classes: int) -> None:
    """Refuse labels that the catalogue does not have."""
    wrong = sorted({s.label for s in sample.segments if not 0 <= s.label < num_classes})
    if wrong:
        raise ValueError(
            f"labels of a sample must be below the number of categories, {num_classes}, "
            f"got labels={wrong} in image {sample.image_id!r}. "
            "Pass the catalogue the sample was read with."
        )
