"""Exercises of notebook 06, queries that know their task.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1 and 3.2; Figure 2(b), boxes "MLP", "Flatten",
"Transformer", "(N-1) Queries" and "Stack".

Not here: their statements and solutions (`notebooks/06_task_queries.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases

Refine = Callable[[Tensor, Tensor], Tensor]


def check_task_token(function: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """The task MLP: ids as floats, two linear layers, a ReLU between them.

    Args:
        function: Takes ids (B, T), weight (C, T) and bias of the first layer, weight (C, C) and
            bias of the second; returns (B, C).

    Raises:
        ExerciseError: If a case is not right.
    """
    generator = torch.Generator().manual_seed(6)
    ids = torch.tensor([[9, 2, 5, 0], [9, 7, 5, 0]])
    weight1 = torch.randn(3, 4, generator=generator)
    weight2 = torch.randn(3, 3, generator=generator)
    bias1, bias2 = torch.randn(2, 3, generator=generator)
    hidden = F.relu(ids.float() @ weight1.T + bias1)
    cases = [
        Case(
            name="one id, one channel",
            arguments=(
                torch.tensor([[3]]),
                torch.tensor([[2.0]]),
                torch.tensor([1.0]),
                torch.tensor([[10.0]]),
                torch.tensor([0.5]),
            ),
            expected=torch.tensor([[70.5]]),
            hint="(3 x 2 + 1) x 10 + 0.5 = 70.5, with ids.float(): the ids as they are. Each layer "
            "adds its bias, and there is no norm.",
        ),
        Case(
            name="a hidden unit below 0 and a token below 0",
            arguments=(
                torch.tensor([[10, 20]]),
                torch.tensor([[1.0, 2.0], [2.0, -3.0]]),
                torch.tensor([0.5, 0.0]),
                torch.tensor([[2.0, 7.0], [7.0, 0.0]]),
                torch.tensor([0.0, -360.0]),
            ),
            expected=torch.tensor([[101.0, -6.5]]),  # 50.5 and -40, of which 0 is left
            hint="the ReLU stands between the two layers; there is none after the second.",
        ),
        Case(
            name="two images and more ids than channels",
            arguments=(ids, weight1, bias1, weight2, bias2),
            expected=hidden @ weight2.T + bias2,
            hint="a weight is (out, in), so a layer is x @ weight.T + bias.",
        ),
    ]
    hint = "begin with ids.float(): the ids as they are, not scaled, but as real numbers."
    check_cases("task_token", function, cases, hint=hint)


def check_look_and_read(function: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """The cross-attention of the query transformer, with one head and no matrices.

    Args:
        function: Takes queries and positions (Q, C), image content and position codes
            (C, h, w); returns what each query reads (Q, C): a mixture of position codes.

    Raises:
        ExerciseError: If a case is not right.
    """
    generator = torch.Generator().manual_seed(6)
    queries, positions = torch.randn(2, 3, 6, generator=generator)
    content, code = torch.randn(2, 6, 2, 5, generator=generator)
    two_cells = torch.tensor([[[0.0, 0.0]], [[1.0, 1.0]], [[0.0, 0.0]], [[-1.0, 1.0]]])
    something = torch.zeros(4, 1, 2)
    something[0, 0, 1] = 2.0
    cases = [
        Case(
            name="a query that asks for nothing, so that both cells get the same share",
            arguments=(torch.zeros(1, 4), torch.zeros(1, 4), something, two_cells),
            expected=torch.tensor([[0.0, 1.0, 0.0, 0.0]]),
            hint="values are code.flatten(1).T, a row for each cell: the content decides where a "
            "query looks, not what it reads. The shares of a query add up to 1.",
        ),
        Case(
            name="a query that asks for content",
            arguments=(torch.tensor([[2.0, 0, 0, 0]]), torch.zeros(1, 4), something, two_cells),
            expected=_look(torch.tensor([[2.0, 0, 0, 0]]), something, two_cells),
            hint="scores are dot products with code + content, divided by the square root of C.",
        ),
        Case(
            name="a query that knows only its position",
            arguments=(torch.zeros(1, 4), torch.tensor([[0.0, 0, 0, -3]]), something, two_cells),
            expected=_look(torch.tensor([[0.0, 0, 0, -3]]), something, two_cells),
            hint="a query asks with the sum of itself and its position.",
        ),
        Case(
            name="three queries and a map of 2 x 5 cells",
            arguments=(queries, positions, content, code),
            expected=_look(queries + positions, content, code),
            hint="map.flatten(1).T is (hw, C), a row for each cell; softmax runs over the cells. C "
            "is 6 here: the root is that of queries.shape[1].",
        ),
    ]
    hint = "flatten the maps first, then scores (Q, hw), softmax, and shares @ values."
    check_cases("look_and_read", function, cases, hint=hint)


def check_repeat_and_stack(function: Callable[[Tensor, Tensor, Refine], Tensor]) -> None:
    """N queries from the task token.

    Args:
        function: Takes task tokens (B, C), positions (N, C), and a function of N - 1 copies
            and their positions that returns as many refined queries; returns (B, N, C).

    Raises:
        ExerciseError: If a case is not right.
    """
    token = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    positions = torch.arange(12.0).view(4, 3) / 10
    copies = torch.stack([token, token, token], dim=1)
    cases = [
        Case(
            name="three queries, a transformer that changes nothing",
            arguments=(token[:1], positions[:3], _Refine(0.0, 1.0)),
            expected=torch.stack([token[:1]] * 3, dim=1),
            hint="N - 1 copies and the token: N rows, and the axis of the images comes first. Add "
            "no positions yourself: they go to refine, and the token stays as it is.",
        ),
        Case(
            name="a transformer that doubles what it gets",
            arguments=(token[:1], positions[:3], _Refine(0.0, 2.0)),
            expected=torch.stack([token[:1] * 2, token[:1] * 2, token[:1]], dim=1),
            hint="the token itself comes last, and it is not refined.",
        ),
        Case(
            name="two images, and a transformer that adds the positions",
            arguments=(token, positions, _Refine(1.0, 1.0)),
            expected=torch.cat([copies + positions[:3], token[:, None]], dim=1),
            hint="row n of image b is refine of token b and position n; the last position is the "
            "token's. If tokens of two images mix: token[:, None].repeat(1, N - 1, 1).",
        ),
    ]
    hint = "token[:, None].repeat(1, N - 1, 1), refine, then torch.cat along the queries."
    check_cases("repeat_and_stack", function, cases, hint=hint)


class _Refine:
    """Stands for the transformer, and has a name in messages.

    Args:
        positions: Factor of the positions.
        copies: Factor of the copies.
    """

    def __init__(self, positions: float, copies: float) -> None:
        self.positions = positions
        self.copies = copies

    def __call__(self, copies: Tensor, positions: Tensor) -> Tensor:
        if positions.shape != copies.shape[1:]:
            raise ValueError(
                f"refine got copies {tuple(copies.shape)} and positions {tuple(positions.shape)}: "
                "one position for each copy, (N - 1, C)"
            )
        return self.copies * copies + self.positions * positions

    def __repr__(self) -> str:
        return "refine"


def _look(asking: Tensor, content: Tensor, code: Tensor) -> Tensor:
    """Cell by cell."""
    channels, height, width = code.shape
    places = [(row, column) for row in range(height) for column in range(width)]
    keys = [code[:, row, column] + content[:, row, column] for row, column in places]
    scores = torch.stack([asking @ key for key in keys], dim=1) / channels**0.5  # (Q, hw)
    shares = scores.softmax(dim=1)
    return sum(
        (shares[:, i, None] * code[:, row, column] for i, (row, column) in enumerate(places)),
        start=torch.zeros_like(asking),
    )
