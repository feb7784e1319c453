"""From annotated maps to the masks, labels and texts that a training step needs.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), boxes "Panoptic GT", "Instance GT",
"Semantic GT" and the texts beside them, in the form of the published interface.

A map gives each pixel a value: a class, or an object whose class is listed apart. What a task
asks of it is decided by the package's own rules.

Not here: those rules (`data/targets.py`, `text/text_list.py`), panoptic annotations of data sets
(`data/coco.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from minioneformer.data.categories import class_names
from minioneformer.data.targets import target_for_task
from minioneformer.structures import VOID_ID, Category, PanopticSample, Segment, TaskTarget
from minioneformer.text.text_list import pad_text_list, text_list


def map_target(
    segmentation_map: Int[Tensor, "H W"],
    task: str,
    categories: Sequence[Category],
    *,
    label_of_value: Mapping[int, int] | None = None,
    ignore_index: int | None = None,
    do_reduce_labels: bool = False,
) -> TaskTarget:
    """Collect the masks and labels that a task asks of a map.

    Args:
        segmentation_map: Class or object of each pixel.
        task: "semantic", "instance" or "panoptic".
        categories: The classes.
        label_of_value: Class of each value; None if the values are classes.
        ignore_index: Value of pixels that belong to nothing.
        do_reduce_labels: Whether value 0, and class 0 of `label_of_value`, are the background:
            it is ignored, and classes count from 1.

    Returns:
        Masks in ascending order of the values; for the semantic task in the order in which the
        classes first appear there. No mask at all is a valid target.

    Raises:
        ValueError: If labels are to be reduced and there is no `ignore_index`, a value has no
            class, or there is no such task.

    Example:
        Values 1, 2, 3 of the classes cat, cat, sky: semantic gives (cat, sky), instance
        (cat, cat), panoptic (cat, cat, sky).

    Fidelity:
        transformers fails on a map without objects, and where labels are reduced it takes
        `ignore_index` itself down by one; here that is ignored.
    """
    if do_reduce_labels and ignore_index is None:
        raise ValueError(f"do_reduce_labels needs an ignore_index, got {ignore_index=}.")
    values, position = segmentation_map.unique(return_inverse=True)  # (V), (H, W)
    ignored = {ignore_index, 0} if do_reduce_labels else {ignore_index}
    ids: list[int] = []
    segments: list[Segment] = []
    for value in values.tolist():
        ids.append(VOID_ID if value in ignored else len(segments) + 1)
        if value not in ignored:
            label = _label(value, label_of_value) - int(do_reduce_labels)
            _check_label(label, value, len(categories))
            segments.append(Segment(id=ids[-1], label=label))
    sample = PanopticSample(
        # no pixel of it is read
        image=torch.zeros(3, 1, 1, dtype=torch.uint8).expand(3, *segmentation_map.shape),
        segment_map=torch.tensor(ids)[position],
        segments=tuple(segments),
        image_id="map",
    )
    return target_for_task(sample, task, categories)


def target_texts(target: TaskTarget, categories: Sequence[Category], num_text: int) -> list[str]:
    """Write the texts of a target.

    Args:
        target: Of one image.
        categories: The classes.
        num_text: Texts wanted.

    Returns:
        `num_text` texts, those of this image alone.

    Fidelity:
        transformers lists the classes of earlier images of the batch too, and pads with "an
        panoptic photo".
    """
    texts = text_list(target.labels.tolist(), class_names(categories))
    return pad_text_list(texts, target.task, num_text)


def pad_masks(masks: Bool[Tensor, "M h w"], size: tuple[int, int]) -> Float[Tensor, "M H W"]:
    """Bring masks to the size of the batch.

    Args:
        masks: True where the mask is; there may be none.
        size: (H, W) in pixels; padding goes right and below.

    Returns:
        1 where the mask is, 0 elsewhere, the padding included.

    Fidelity:
        transformers fills the padding with `ignore_index`, 255 as a rule.
    """
    height, width = masks.shape[1:]
    return functional.pad(masks.float(), (0, size[1] - width, 0, size[0] - height))


def _label(value: int, label_of_value: Mapping[int, int] | None) -> int:
    if label_of_value is None:
        return value
    if value not in label_of_value:
        raise ValueError(
            f"instance_id_to_semantic_id lacks a value of the map, got {value=} and the keys "
            f"{sorted(label_of_value)[:8]}. Add it, or pass it as ignore_index."
        )
    return int(label_of_value[value])


def _check_label(label: int, value: int, num_classes: int) -> None:
    if not 0 <= label < num_classes:
        raise ValueError(
            f"classes of a map must be 0 to {num_classes - 1}, got {label=} for {value=}. Pass "
            f"instance_id_to_semantic_id if values are objects, ignore_index if it is void."
        )
