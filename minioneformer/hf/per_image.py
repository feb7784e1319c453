"""Tasks, maps and mappings of a batch, one for each image.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; not drawn in Figure 2, the form of the published
interface.

Not here: what is made of them (`hf/segmentation_maps.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from torch import Tensor

from minioneformer.structures import Task
from minioneformer.text.task_prompt import check_task

LabelOfValue: TypeAlias = Mapping[int, int]
LabelsOfValues: TypeAlias = LabelOfValue | Sequence[LabelOfValue]


def image_tasks(task_inputs: str | Sequence[str] | None, count: int) -> list[Task]:
    """One task per image.

    Args:
        task_inputs: One task for all images, or one for each; None is "panoptic".
        count: Of the images.

    Returns:
        As many tasks as images.

    Raises:
        ValueError: If there is no such task, or the numbers differ.

    Fidelity:
        transformers takes a single string apart into letters.
    """
    if task_inputs is None or isinstance(task_inputs, str):
        return [check_task(task_inputs or "panoptic")] * count
    tasks = [check_task(task) for task in task_inputs]
    if len(tasks) != count:
        raise ValueError(
            f"task_inputs must have one task per image, or be one string, got {len(tasks)} for "
            f"{count} images."
        )
    return tasks


def check_maps(maps: Sequence[Tensor], images: Sequence[Tensor]) -> None:
    """Hold maps to their images.

    Args:
        maps: Height, width.
        images: Channels, height, width.

    Raises:
        ValueError: If there is not one map per image, or not of its size.
    """
    if len(maps) != len(images):
        raise ValueError(
            f"segmentation_maps must have one map per image, got {len(maps)} for {len(images)} "
            f"images."
        )
    for number, (segmentation_map, image) in enumerate(zip(maps, images, strict=True)):
        if segmentation_map.shape != image.shape[1:]:
            raise ValueError(
                f"a segmentation map must have the size of its image, got "
                f"{tuple(segmentation_map.shape)} for {tuple(image.shape[1:])} at {number=}."
            )


def image_mappings(
    labels_of_values: LabelsOfValues | None, count: int
) -> list[LabelOfValue | None]:
    """One mapping per image.

    Args:
        labels_of_values: Class of each value of the maps; one for all, or one for each.
        count: Of the images.

    Returns:
        As many as images.

    Raises:
        ValueError: If the numbers differ.
    """
    if labels_of_values is None or isinstance(labels_of_values, Mapping):
        return [labels_of_values] * count
    if len(labels_of_values) != count:
        raise ValueError(
            f"instance_id_to_semantic_id must be one mapping, or one per image, got "
            f"{len(labels_of_values)} for {count} images."
        )
    return list(labels_of_values)
