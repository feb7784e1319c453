"""Exercises of notebook 00, the tour.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2(c), boxes "Classes" and "Masks".

Not here: their statements and solutions (`notebooks/00_tour.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases


def check_multiply_masks(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Mask logits from mask embeddings and mask features.

    Args:
        function: Takes embeddings of N queries with C channels, and features of C channels at
            h x w cells; returns a logit for each query and cell.

    Raises:
        ExerciseError: If a case is not right.
    """
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(3, 4, generator=generator)
    features = torch.randn(4, 2, 5, generator=generator)
    cases = [
        Case(
            name="one query, one channel",
            arguments=(torch.tensor([[2.0]]), torch.tensor([[[1.0, -3.0]]])),
            expected=torch.tensor([[[2.0, -6.0]]]),
        ),
        Case(
            name="three queries on a map that is wider than high",
            arguments=(embeddings, features),
            expected=(embeddings @ features.reshape(4, 10)).reshape(3, 2, 5),
            hint="each query's vector meets the vector of each cell: sum over the channels only.",
        ),
    ]
    hint = "the logit at a cell is the dot product of two vectors; torch.einsum('nc,chw->nhw', ..)."
    check_cases("multiply_masks", function, cases, hint=hint)


def check_kept_queries(function: Callable[[Tensor, float], Tensor]) -> None:
    """Which queries the panoptic answer considers.

    Args:
        function: Takes class logits, N x (K+1), the last for "no object", and a threshold;
            returns the indices of the queries whose best class is an object, and surer than
            the threshold.

    Raises:
        ExerciseError: If a case is not right.
    """
    sure = torch.tensor([[5.0, 0.0, 0.0], [0.0, 0.0, 5.0], [0.0, 5.0, 0.0]])
    unsure = torch.tensor([[1.0, 0.9, 0.0], [0.0, 6.0, 1.0]])
    equal = torch.tensor([[2.0, 2.0, 0.0], [0.0, 6.0, 1.0]])
    faint = torch.tensor([[1.0, 0.0, 1.5], [2.0, 0.0, 0.0]])
    cases = [
        Case(
            name="three queries, the second of them without an object",
            arguments=(sure, 0.8),
            expected=torch.tensor([0, 2]),
            hint="the last class means that there is no object: such a query is left out.",
        ),
        Case(
            name="a query that cannot decide between two classes",
            arguments=(unsure, 0.8),
            expected=torch.tensor([1]),
            hint="compare the probability (after softmax over all classes) with the threshold.",
        ),
        Case(
            name="a query that finds two classes equally likely",
            arguments=(equal, 0.8),
            expected=torch.tensor([1]),
            hint="softmax over the K + 1 classes, not a sigmoid for each: equal classes share.",
        ),
        Case(
            name="a low threshold, and a query that finds 'no object' most likely",
            arguments=(faint, 0.3),
            expected=torch.tensor([1]),
            hint="'no object' has 0.55 and the best class 0.33. The best of all K + 1 decides "
            "first, the threshold comes second.",
        ),
        Case(
            name="nobody who saw anything",
            arguments=(torch.tensor([[0.0, 4.0]]), 0.5),
            expected=torch.tensor([], dtype=torch.long),
            hint="softmax over all K + 1 columns of a row: 'no object' has 0.98, so nobody is "
            "left. The answer is empty then, a tensor of integers of shape (0,).",
        ),
        Case(
            name="a query that is just as sure as the threshold",
            arguments=(torch.tensor([[0.0, 0.0, -100.0]]), 0.5),
            expected=torch.tensor([], dtype=torch.long),
            hint="surer than the threshold is more than equal: > and not >=.",
        ),
    ]
    hint = "softmax over the last axis, then its max gives probabilities and labels."
    check_cases("kept_queries", function, cases, hint=hint)
