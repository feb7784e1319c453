"""Exercises of notebook 10, from logits to segments; PQ, AP and mIoU by hand.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4 and 4.1; Figure 2(c), behind the boxes "Classes" and
"Masks".

Not here: their statements and solutions (`notebooks/10_segments_metrics.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases


def check_panoptic_map(function: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """The contest of queries for pixels.

    Args:
        function: Takes class probabilities of M queries, their mask probabilities, M x H x W, and
            the share of its mask that a query must own; returns for each pixel the number of its
            segment, 0 for none.

    Raises:
        ExerciseError: If a case is not right.
    """
    two = torch.tensor([[[0.9, 0.8, 0.2], [0.7, 0.2, 0.1]], [[0.1, 0.1, 0.9], [0.2, 0.8, 0.6]]])
    scored = torch.tensor([[[0.7, 0.7, 0.7]], [[0.8, 0.2, 0.6]]])
    three = torch.tensor([[[0.9, 0.9, 0.2, 0.1]], [[0.2, 0.6, 0.9, 0.1]], [[0.1, 0.1, 0.1, 0.9]]])
    behind = torch.tensor([[[0.9], [0.2], [0.1]], [[0.6], [0.3], [0.1]], [[0.1], [0.1], [0.9]]])
    exchanged = torch.tensor([[[0.9, 0.6, 0.1, 0.4]], [[0.1, 0.9, 0.9, 0.1]]])
    cases = [
        Case(
            name="two queries that do not overlap",
            arguments=(torch.tensor([0.9, 0.9]), two, 0.8),
            expected=torch.tensor([[1, 1, 2], [1, 2, 2]]),
        ),
        Case(
            name="a query that is surer of its class, and less sure of a pixel",
            arguments=(torch.tensor([0.9, 0.6]), scored, 0.0),
            expected=torch.tensor([[1, 1, 1]]),
            hint="the owner is the argmax of class probability times mask probability.",
        ),
        Case(
            name="a pixel that its owner is not sure of",
            arguments=(torch.tensor([0.9]), torch.tensor([[[0.9, 0.3], [0.5, 0.2]]]), 0.8),
            expected=torch.tensor([[1, 0], [1, 0]]),
            hint="an owned pixel is painted only where the mask probability is at least 0.5.",
        ),
        Case(
            name="a query that owns one half of its mask, and one behind it",
            arguments=(torch.tensor([0.9, 0.9, 0.9]), three, 0.8),
            expected=torch.tensor([[1, 1, 0, 2]]),
            hint="a dropped query leaves void, and takes no number: the next one kept is 2.",
        ),
        Case(
            name="a query that owns just the share that is asked for",
            arguments=(torch.tensor([0.9, 0.9, 0.9]), three, 0.5),
            expected=torch.tensor([[1, 1, 2, 3]]),
            hint="drop a query if its share is less than `least_share`; equal is enough.",
        ),
        Case(
            name="a query that owns nothing inside its mask",
            arguments=(torch.tensor([0.99, 0.9, 0.9]), behind, 0.0),
            expected=torch.tensor([[1], [0], [2]]),
            hint="count the painted pixels: a segment without any is none, and has no number.",
        ),
        Case(
            name="a query that loses a pixel of its mask, and wins one outside",
            arguments=(torch.tensor([0.9, 0.9]), exchanged, 0.8),
            expected=torch.tensor([[1, 2, 2, 0]]),
            hint="the share counts all owned pixels, also those outside the mask.",
        ),
    ]
    hint = "owner = (scores[:, None, None] * mask_probs).argmax(0), then go through the queries."
    check_cases("panoptic_map", function, cases, hint=hint)


def check_panoptic_quality(function: Callable[[Tensor, Tensor], float]) -> None:
    """PQ of two maps of one class.

    Args:
        function: Takes the map of found segments and the annotated one, 0 for none; returns PQ.

    Raises:
        ExerciseError: If a case is not right.
    """
    true_map = torch.tensor([[4, 4, 4, 4, 9]])
    cases = [
        Case(
            name="a map that is right but for the numbers of its segments",
            arguments=(torch.tensor([[7, 7, 3], [7, 7, 3]]), torch.tensor([[1, 1, 2], [1, 1, 2]])),
            expected=1.0,
            hint="segments match by their pixels; numbers mean nothing across two maps. A perfect "
            "map has PQ 1: divide by half the number of all segments.",
        ),
        Case(
            name="an IoU of 3/4 and one of exactly 1/2",
            arguments=(torch.tensor([[1, 1, 1, 2, 2]]), true_map),
            expected=0.375,
            hint="only an IoU above one half is a match; here TP, FP and FN are 1 each.",
        ),
        Case(
            name="one false alarm and no miss",
            arguments=(torch.tensor([[1, 1, 1, 1, 2]]), torch.tensor([[4, 4, 4, 4, 4]])),
            expected=0.8 / 1.5,
            hint="divide the sum of the IoUs by TP + FP / 2 + FN / 2, not by TP or the truth.",
        ),
        Case(
            name="a prediction that goes on where nobody annotated",
            arguments=(
                torch.tensor([[1, 1], [1, 1], [1, 1]]),
                torch.tensor([[5, 5], [5, 5], [0, 0]]),
            ),
            expected=1.0,
            hint="pixels that are void in the annotation leave the union; 0 is no segment.",
        ),
        Case(
            name="nothing that matches",
            arguments=(torch.tensor([[1, 1, 0], [0, 0, 0]]), torch.tensor([[0, 4, 4], [4, 4, 4]])),
            expected=0.0,
            hint="without a match PQ is 0.0: a sum that starts with 0.0.",
        ),
    ]
    hint = "for each pair of a found and a true segment the IoU; sum those that are above 0.5."
    check_cases("panoptic_quality", function, cases, hint=hint)


def check_average_precision(
    function: Callable[[Sequence[float], Sequence[bool], int], float],
) -> None:
    """AP of scored detections at one IoU threshold.

    Args:
        function: Takes the scores, whether each detection found an object, and the number of
            objects; returns the mean of the best precision at 101 recalls.

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="two objects, both found, no false alarm",
            arguments=([0.9, 0.8], [True, True], 2),
            expected=1.0,
        ),
        Case(
            name="an object that is never found",
            arguments=([0.9, 0.8, 0.7], [True, True, True], 4),
            expected=76 / 101,
            hint="recall is the share of all objects; beyond 3/4 the best precision is 0.",
        ),
        Case(
            name="a false alarm at the top of the list",
            arguments=([0.9, 0.8], [False, True], 1),
            expected=0.5,
            hint="at each recall the best precision at this recall or more: 1/2 everywhere.",
        ),
        Case(
            name="scores in no order",
            arguments=([0.3, 0.6, 0.9, 0.7, 0.8], [False, True, True, True, False], 4),
            expected=(26 + 50 * 0.75) / 101,
            hint=(
                "sort by score, the best first; then for each recall the best precision at this "
                "recall or more: 1 up to 0.25, 0.75 up to 0.75."
            ),
        ),
        Case(
            name="nothing but false alarms",
            arguments=([0.9, 0.8, 0.2], [False, False, False], 2),
            expected=0.0,
        ),
        Case(
            name="no detection at all",
            arguments=([], [], 3),
            expected=0.0,
            hint="max of nothing is an error: max(..., default=0.0).",
        ),
    ]
    hint = (
        "after each detection note precision (right / so far) and recall (right / num_objects); "
        "for k in range(101) take the best precision with recall >= k / 100."
    )
    check_cases("average_precision", function, cases, hint=hint)
