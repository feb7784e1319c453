"""Exercises of notebook 07, text mapper and contrastive loss.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.2 and 3.3, Eq. (1), Figure 4; Figure 2(b), boxes
"Text Mapper" and "Contrastive Loss".

Not here: their statements and solutions (`notebooks/07_text_contrastive.ipynb`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases


def check_causal_shares(function: Callable[[Tensor], Tensor]) -> None:
    """Attention shares with the causal mask.

    Args:
        function: Takes scores (heads, T, T), a row for each reader; returns shares of the same
            shape: 0 for what comes after the reader, and rows that add up to 1.

    Raises:
        ExerciseError: If a case is not right.
    """
    generator = torch.Generator().manual_seed(7)
    scores = torch.randn(2, 5, 5, generator=generator)
    rows_of_heads = []
    for head in scores:
        rows = torch.zeros(5, 5)
        for reader in range(5):
            rows[reader, : reader + 1] = head[reader, : reader + 1].softmax(0)
        rows_of_heads.append(rows)
    cases = [
        Case(
            name="equal scores",
            arguments=(torch.ones(1, 3, 3),),
            expected=torch.tensor([[[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]]]),
            hint="a row is a reader: row i keeps columns 0 to i, and adds up to 1 over these. "
            "Put -inf where it may not read, before the softmax.",
        ),
        Case(
            name="a score far below 0, and scores of 0",
            arguments=(torch.tensor([[[-40.0, 5.0], [0.0, 0.0]]]),),
            expected=torch.tensor([[[1.0, 0.0], [0.5, 0.5]]]),
            hint="0 is a score like any other; what may not be read gets -inf, no other number.",
        ),
        Case(
            name="two heads of five tokens",
            arguments=(scores,),
            expected=torch.stack(rows_of_heads),
            hint="the softmax runs over the last axis, the tokens that are read.",
        ),
    ]
    hint = "torch.ones(T, T, dtype=torch.bool).triu(1) is True for what comes after the reader."
    check_cases("causal_shares", function, cases, hint=hint)


def check_read_at_end(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The vector of each text.

    Args:
        function: Takes features (R, T, C) and ids (R, T); returns the feature at the first token
            with the largest id of its text, (R, C).

    Raises:
        ExerciseError: If a case is not right.
    """
    features = torch.arange(24.0).view(3, 4, 2)
    cases = [
        Case(
            name="one text that fills its row",
            arguments=(features[:1], torch.tensor([[7, 1, 2, 8]])),
            expected=torch.tensor([[6.0, 7.0]]),
            hint="the end token is the last one here; the result is (R, C).",
        ),
        Case(
            name="texts of different lengths",
            arguments=(features, torch.tensor([[7, 1, 8, 0], [7, 8, 0, 0], [7, 1, 2, 8]])),
            expected=torch.tensor([[4.0, 5.0], [10.0, 11.0], [22.0, 23.0]]),
            hint="the end is at another position in each row: argmax over dim=1, then one "
            "feature for each row, features[torch.arange(R), position].",
        ),
        Case(
            name="another vocabulary",
            arguments=(features[:1], torch.tensor([[3, 1, 5, 0]])),
            expected=torch.tensor([[4.0, 5.0]]),
            hint="the end is the largest id of the row; which number that is, the vocabulary says.",
        ),
        Case(
            name="a text in which token 0 occurs",
            arguments=(features[:1], torch.tensor([[7, 0, 8, 0]])),
            expected=torch.tensor([[4.0, 5.0]]),
            hint="counting the ids that are not 0 does not find the end: look for the largest.",
        ),
        Case(
            name="a text with two ends",
            arguments=(features[:2], torch.tensor([[7, 8, 8, 8], [7, 3, 8, 8]])),
            expected=torch.tensor([[2.0, 3.0], [12.0, 13.0]]),
            hint="the first end counts: argmax returns the first of equal ids.",
        ),
    ]
    hint = "ids.argmax(dim=1) is the position of the end in each text."
    check_cases("read_at_end", function, cases, hint=hint)


def check_contrastive_loss(function: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Eq. (1), for images as wholes.

    Args:
        function: Takes object queries and text queries, both (B, N, C), and a temperature;
            returns a scalar.

    Raises:
        ExerciseError: If a case is not right.
    """
    generator = torch.Generator().manual_seed(7)
    queries, texts = torch.randn(2, 3, 4, 2, generator=generator)
    single = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    first = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    crossed = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    mixed = torch.tensor([[[1.0, 0.0], [0.0, 9.0]], [[1.0, 0.0], [9.0, 0.0]]])
    cases = [
        Case(
            name="two images that fit their texts, temperature 0.5",
            arguments=(single, single, 0.5),
            expected=torch.tensor(2 * math.log(1 + math.exp(-2))),
            hint="divide by the temperature, and return the sum of both directions, not the mean. "
            "F.cross_entropy wants scores: it takes the softmax itself.",
        ),
        Case(
            name="the same at another scale",
            arguments=(3 * single, 0.2 * single, 0.5),
            expected=torch.tensor(2 * math.log(1 + math.exp(-2))),
            hint="vectors of length 1 first: F.normalize(..., dim=-1).",
        ),
        Case(
            name="two images that both fit the texts of the first",
            arguments=(crossed, single, 0.5),
            expected=_by_loops(crossed, single, 0.5),
            hint="the second direction is the table transposed, scores.T, with the same right "
            "answers; each direction is averaged over the batch.",
        ),
        Case(
            name="queries of different lengths within an image",
            arguments=(mixed, first, 0.5),
            expected=_by_loops(mixed, first, 0.5),
            hint="flatten the queries of an image first, then normalise the long vector.",
        ),
        Case(
            name="three images of four queries",
            arguments=(queries, texts, 0.07),
            expected=_by_loops(queries, texts, 0.07),
            hint="one direction compares rows of the similarities, the other one columns.",
        ),
        Case(
            name="one image",
            arguments=(queries[:1], texts[:1], 0.07),
            expected=torch.tensor(0.0),
            hint="the right answer for image i is i, counted from 0.",
        ),
    ]
    hint = "flatten(1), F.normalize, a product of matrices, and F.cross_entropy in both directions."
    check_cases("contrastive_loss", function, cases, hint=hint)


def _by_loops(queries: Tensor, texts: Tensor, temperature: float) -> Tensor:
    """One image after the other."""
    images = [row / row.norm() for row in queries.flatten(1)]
    captions = [row / row.norm() for row in texts.flatten(1)]
    total = 0.0
    for i in range(len(images)):
        for one, others in ((images[i], captions), (captions[i], images)):
            scores = [math.exp(float(one @ other) / temperature) for other in others]
            total -= math.log(scores[i] / sum(scores)) / len(images)
    return torch.tensor(total)
