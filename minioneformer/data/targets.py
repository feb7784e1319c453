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
from jaxtyping import Bool, Int, Integer
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
    labels, numbers = number_masks(sample, task, categories)
    return TaskTarget(
        task=check_task(task),
        labels=torch.tensor(labels, dtype=torch.int64),
        masks=masks_of_numbers(numbers, len(labels)),
    )


def number_masks(
    sample: PanopticSample, task: str, categories: Sequence[Category]
) -> tuple[list[int], Integer[Tensor, "H W"]]:
    """The target of a task in one number per pixel, since its masks never overlap.

    Args:
        sample: As for `target_for_task`.
        task: As for `target_for_task`.
        categories: As for `target_for_task`.

    Returns:
        The label of each mask, and for each pixel the number of its mask, from 1; 0 is in none.
        Numbers are bytes as long as there are no more than 255 masks.

    Raises:
        ValueError: As `target_for_task`.

    Example:
        Ids 7 7 9 0 of a cat and a sky become, for the instance task, numbers 1 1 0 0.
    """
    checked_task = check_task(task)
    _check_labels(sample, len(categories))
    ids, lengths = _runs(sample.segment_map)
    visible = np.unique(ids)
    known = set(visible.tolist())
    kept = [
        segment
        for segment in sample.segments
        if segment.id in known
        and not segment.is_crowd
        and (checked_task != "instance" or categories[segment.label].is_thing)
    ]
    labels = [segment.label for segment in kept]
    number_of = {segment.id: number for number, segment in enumerate(kept, start=1)}
    if checked_task == "semantic":
        labels = list(dict.fromkeys(labels))
        number_of = {segment.id: labels.index(segment.label) + 1 for segment in kept}
    table = np.array(
        [number_of.get(segment_id, 0) for segment_id in visible.tolist()],
        dtype=np.uint8 if len(labels) <= np.iinfo(np.uint8).max else np.int32,
    )
    numbers = table[np.searchsorted(visible, ids)].repeat(lengths)
    return labels, torch.from_numpy(numbers).view(sample.segment_map.shape)


def masks_of_numbers(numbers: Integer[Tensor, "H W"], count: int) -> Bool[Tensor, "M H W"]:
    """Undo `number_masks`.

    Args:
        numbers: Of the mask of each pixel, from 1; 0 is in none.
        count: How many masks there are.

    Returns:
        Mask i is True where the number is i + 1.
    """
    masks = torch.empty(count, *numbers.shape, dtype=torch.bool)
    for i, mask in enumerate(masks.numpy()):
        np.equal(numbers.numpy(), i + 1, out=mask)  # several times faster than torch
    return masks


def _runs(segment_map: Int[Tensor, "H W"]) -> tuple[np.ndarray, np.ndarray]:
    """Id and length of each stretch of equal pixels, row after row."""
    flat = segment_map.numpy().ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    if flat.size:
        ends = np.append(ends, flat.size - 1)
    return flat[ends], np.diff(ends, prepend=-1)


def _check_labels(sample: PanopticSample, num_classes: int) -> None:
    """Refuse labels that the catalogue does not have."""
    wrong = sorted({s.label for s in sample.segments if not 0 <= s.label < num_classes})
    if wrong:
        raise ValueError(
            f"labels of a sample must be below the number of categories, {num_classes}, "
            f"got labels={wrong} in image {sample.image_id!r}. "
            "Pass the catalogue the sample was read with."
        )
