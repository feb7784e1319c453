"""Exercises of notebook 09, Hungarian matching and losses on points.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.5; not drawn in Figure 2.

Not here: their statements and solutions (`notebooks/09_matching_losses.ipynb`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases

NO_OBJECT_WEIGHT = 0.1


def check_dice(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The dice loss of some masks.

    Args:
        function: Takes mask logits and targets in [0, 1], both R masks at P points; returns R
            losses.

    Raises:
        ExerciseError: If a case is not right.
    """
    sure = 200.0  # a logit whose probability is 1
    likely = math.log(3)  # a logit whose probability is 3/4
    cases = [
        Case(
            name="two points in the mask, of which one was found",
            arguments=(torch.tensor([[sure, -sure]]), torch.ones(1, 2)),
            expected=torch.tensor([0.25]),
            hint="1 - (2 * 1 + 1) / (1 + 2 + 1): twice the overlap above, and 1 on both sides. One "
            "loss for each row: sum over axis 1.",
        ),
        Case(
            name="a prediction that is not sure",
            arguments=(torch.tensor([[likely, likely, -likely]]), torch.tensor([[1.0, 0.0, 0.0]])),
            expected=torch.tensor([1 - 2.5 / 3.75]),
            hint="logits are no probabilities: take the sigmoid first. Probabilities are not "
            "rounded and not squared.",
        ),
        Case(
            name="a point on a border",
            arguments=(torch.tensor([[likely]]), torch.tensor([[0.5]])),
            expected=torch.tensor([1 - 1.75 / 2.25]),
            hint="a target of 0.5 stays 0.5, and the overlap is a product: 0.75 x 0.5.",
        ),
        Case(
            name="two masks with four points each",
            arguments=(
                torch.tensor([[sure, sure, -sure, -sure], [-sure, -sure, -sure, sure]]),
                torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.5, 0.0, 0.5]]),
            ),
            expected=torch.tensor([0.0, 0.5]),
            hint="each mask has a loss of its own: sum over the points (axis 1), not over all.",
        ),
        Case(
            name="an empty mask that was predicted empty",
            arguments=(torch.full((1, 3), -sure), torch.zeros(1, 3)),
            expected=torch.tensor([0.0]),
            hint="the 1 above and below makes this 1 - 1 / 1.",
        ),
    ]
    hint = "1 - (2 * overlap + 1) / (sum of probabilities + sum of targets + 1), for each row."
    check_cases("dice", function, cases, hint=hint)


def check_best_assignment(function: Callable[[Tensor], list[int]]) -> None:
    """The cheapest assignment, found by trying all.

    Args:
        function: Takes the costs of N queries and M <= N targets, N x M; returns for each target
            its query.

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="three queries and one target",
            arguments=(torch.tensor([[3.0], [1.0], [2.0]]),),
            expected=[1],
        ),
        Case(
            name="two targets that both like query 1 best",
            arguments=(torch.tensor([[2.0, 9.0], [1.0, 0.5], [8.0, 9.0]]),),
            expected=[0, 1],
            hint="no query may answer for two targets.",
        ),
        Case(
            name="a cheapest pair that makes all others dear",
            arguments=(torch.tensor([[5.0, 1.0], [9.0, 2.0], [9.0, 8.5], [9.0, 8.0]]),),
            expected=[0, 1],
            hint="compare sums over all targets, not one pair after the other; here the pair of "
            "cost 1 is not part of the best sum.",
        ),
        Case(
            name="three targets and costs below zero",
            arguments=(
                torch.tensor(
                    [[-1.0, -4.0, 0.0], [-5.0, -6.0, -3.0], [0.0, -1.0, 1.0], [-5.0, -3.0, 0.5]]
                ),
            ),
            expected=[3, 0, 1],
            hint="itertools.permutations(range(N), M) gives a query for each of the M targets.",
        ),
    ]
    hint = "min(itertools.permutations(range(N), M), key=the sum of the costs of such a choice)."
    check_cases("best_assignment", function, cases, hint=hint)


def check_class_loss(function: Callable[[Tensor, Sequence[int], Sequence[int]], Tensor]) -> None:
    """The classification loss of one image.

    Args:
        function: Takes class logits, N x (K + 1), the last for "no object", the label of each
            target, and the query of each target; returns the weighted mean of the losses.

    Raises:
        ExerciseError: If a case is not right.
    """
    probs = torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75], [0.25, 0.5, 0.25]])
    two, four, sure = math.log(2), math.log(4), -math.log(0.75)
    weight = NO_OBJECT_WEIGHT
    cases = [
        Case(
            name="two queries, both matched",
            arguments=(probs[[0, 2]].log(), [0, 1], [0, 1]),
            expected=torch.tensor(two),
            hint="for each query minus the logarithm of the probability of its label.",
        ),
        Case(
            name="two queries, of which the second answers for the only target",
            arguments=(probs[:2].log(), [1], [1]),
            expected=torch.tensor((math.log(8) + weight * four) / (1 + weight)),
            hint="match[m] is the query of target m. Every other query should say 'no object', "
            "the last class, with weight 0.1; divide by the sum of the weights, here 1.1.",
        ),
        Case(
            name="three queries, the first target matched with the last of them",
            arguments=(probs.log(), [0, 1], [2, 0]),
            expected=torch.tensor((four + four + weight * sure) / (2 + weight)),
            hint="labels[match[m]] would be wrong: query match[m] has the label labels[m].",
        ),
        Case(
            name="no target at all",
            arguments=(probs.log(), [], []),
            expected=torch.tensor((four + sure + four) / 3),
            hint="0.1 in each term and 0.1 in each weight: a plain mean over 'no object'. And "
            "torch.tensor([]) is float32: torch.tensor(match, dtype=torch.int64).",
        ),
    ]
    hint = "begin with the label K for every query, then write the labels of the matched ones."
    check_cases("class_loss", function, cases, hint=hint)
