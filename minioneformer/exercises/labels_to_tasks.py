"""Exercises of notebook 02, from panoptic labels to tasks, targets and texts.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), boxes "Panoptic GT", "Instance GT",
"Semantic GT" and the texts beside them.

Not here: their statements and solutions (`notebooks/02_labels_to_tasks.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases


def check_instance_masks(
    function: Callable[[Tensor, Sequence[tuple[int, int]], Sequence[bool]], Tensor],
) -> None:
    """The masks that the instance task asks of an annotation.

    Args:
        function: Takes a segment map, pairs of segment id and label, and for each label whether
            it is a thing; returns a mask for each segment of a thing that can be seen.

    Raises:
        ExerciseError: If a case is not right.
    """
    segment_map = torch.tensor([[7, 7, 9], [4, 0, 9]])
    is_thing = [False, True]
    cases = [
        Case(
            name="a sky and two objects",
            arguments=(segment_map, [(7, 0), (9, 1), (4, 1)], is_thing),
            expected=torch.stack([segment_map == 9, segment_map == 4]),
            hint="leave out the segments whose label is no thing.",
        ),
        Case(
            name="a catalogue with things at both ends",
            arguments=(segment_map, [(7, 0), (9, 1), (4, 2)], [True, False, True]),
            expected=torch.stack([segment_map == 7, segment_map == 4]),
            hint="ask is_thing[label]: which labels are things differs between data sets.",
        ),
        Case(
            name="an object that was cropped away",
            arguments=(segment_map, [(9, 1), (5, 1)], is_thing),
            expected=(segment_map == 9)[None],
            hint="a segment without a pixel asks for nothing: test with .any().",
        ),
        Case(
            name="no object at all",
            arguments=(segment_map, [(7, 0)], is_thing),
            expected=torch.zeros(0, 2, 3, dtype=torch.bool),
            hint="torch.stack refuses an empty list; the answer has shape (0, H, W).",
        ),
    ]
    hint = "one mask is `segment_map == segment_id`; choose the segments first, then stack."
    check_cases("instance_masks", function, cases, hint=hint)


def check_padded_texts(
    function: Callable[[Sequence[int], Sequence[str], str, int], list[str]],
) -> None:
    """The texts of an image, as many as the model wants.

    Args:
        function: Takes the labels of the masks, the names of the classes, the task, and how many
            texts are wanted; returns a text for each mask, in the order of the classes, then
            the text of the task again and again.

    Raises:
        ExerciseError: If a case is not right.
    """
    names = ["sky", "ring", "cross"]
    sky, ring, cross = (f"a photo with a {name}" for name in names)
    cases = [
        Case(
            name="two masks",
            arguments=([0, 2], names, "panoptic", 4),
            expected=[sky, cross, "a panoptic photo", "a panoptic photo"],
        ),
        Case(
            name="two rings, and labels in another order than the classes",
            arguments=([2, 1, 1], names, "semantic", 4),
            expected=[ring, ring, cross, "a semantic photo"],
            hint="sort the labels; a class with two masks is written twice.",
        ),
        Case(
            name="the instance task, which needs another article",
            arguments=([], names, "instance", 2),
            expected=["an instance photo", "an instance photo"],
            hint="it is 'a semantic photo' and 'a panoptic photo', but 'an instance photo'.",
        ),
        Case(
            name="more masks than texts",
            arguments=([2, 0, 1], names, "panoptic", 2),
            expected=[sky, ring],
            hint="sort first, and cut the finished list to its length at the end.",
        ),
    ]
    hint = "sort the labels, write a text for each, then append the text of the task."
    check_cases("padded_texts", function, cases, hint=hint)
