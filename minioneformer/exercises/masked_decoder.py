"""Exercises of notebook 08, the masked decoder.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2(c), boxes "Transformer Decoder", "CA" and
"Masks".

Not here: their statements and solutions (`notebooks/08_masked_decoder.ipynb`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases

STRIDES = ("1/32", "1/16", "1/8")


def check_blocked_cells(function: Callable[[Tensor, tuple[int, int]], Tensor]) -> None:
    """Where each query may not read.

    Args:
        function: Takes the mask logits of N queries at h x w cells, and the (H, W) of the level
            that is read next; returns N x (H * W) booleans, True where a query may not read.

    Raises:
        ExerciseError: If a case is not right.
    """
    large = torch.full((2, 4, 6), -3.0)
    large[0, :, :2], large[0, 0, 5] = 4.0, 12.0  # one bright cell outweighs three
    large[1, 2:, 2:] = torch.tensor([[2.0, 2.0, -9.0, -9.0], [2.0, -9.0, 12.0, 6.5]])
    cases = [
        Case(
            name="four cells that keep their size",
            arguments=(torch.tensor([[[-1.0, 2.0], [-3.0, 4.0]]]), (2, 2)),
            expected=torch.tensor([[True, False, True, False]]),
            hint="True means blocked: the cells whose mask logit is negative. The result is "
            "(N, H * W), booleans; interpolate wants a batch axis: mask_logits[None], then [0].",
        ),
        Case(
            name="a logit of exactly 0",
            arguments=(torch.tensor([[[0.0, -1.0], [1.0, -2.0]]]), (2, 2)),
            expected=torch.tensor([[False, True, False, True]]),
            hint="a probability of exactly one half is open: compare with < 0.",
        ),
        Case(
            name="masks at 4 x 6 cells for a level of 2 x 3",
            arguments=(large, (2, 3)),
            expected=torch.tensor(
                [[False, True, False, False, True, True], [True, True, True, True, True, False]]
            ),
            hint="resize the logits, then compare, not the other way round: torch.nn.functional."
            "interpolate(mask_logits[None], size, mode='bilinear', align_corners=False)[0]. "
            "Sizes are (H, W).",
        ),
        Case(
            name="one query with an empty mask beside one that has found something",
            arguments=(torch.tensor([[[-1.0, -2.0, -3.0]], [[-1.0, 2.0, -1.0]]]), (1, 3)),
            expected=torch.tensor([[False, False, False], [True, False, True]]),
            hint="a row that is True everywhere is opened everywhere; other rows stay as they are.",
        ),
    ]
    hint = "resize, compare with 0, make one row of each map (flatten(1)), open the full rows."
    check_cases("blocked_cells", function, cases, hint=hint)


def check_masked_attention(function: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """Attention that reads open cells only.

    Args:
        function: Takes queries, N x C, keys and values, both P x C, and N x P booleans that are
            True where a query may not read; returns what each query reads, N x C.

    Raises:
        ExerciseError: If a case is not right.
    """
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 3, generator=generator)
    key, value = torch.randn(2, 5, 3, generator=generator)
    blocked = torch.tensor([[True, False, False, True, False], [False, True, False, False, True]])
    rows = []
    for row in range(2):
        cells = [cell for cell in range(5) if not blocked[row, cell]]
        weights = [math.exp(float(query[row] @ key[cell]) / math.sqrt(3)) for cell in cells]
        read = sum(w * value[cell] for w, cell in zip(weights, cells, strict=True))
        rows.append(read / sum(weights))
    cases = [
        Case(
            name="one query, two open cells, four channels",
            arguments=(
                torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
                torch.tensor([[0.0, 0.0, 0.0, 0.0], [2 * math.log(3), 0.0, 0.0, 0.0]]),
                torch.tensor([[0.0, 8.0, 0.0, 4.0], [4.0, 0.0, 0.0, 4.0]]),
                torch.tensor([[False, False]]),
            ),
            expected=torch.tensor([[3.0, 2.0, 0.0, 4.0]]),
            hint="divide the products by the root of the number of channels, here 2; softmax "
            "over the cells gives 1/4 and 3/4. All zeros or nan? Then True was read as 'may': "
            "attn_mask of scaled_dot_product_attention wants ~blocked.",
        ),
        Case(
            name="one open cell of three",
            arguments=(
                torch.tensor([[1.0, 2.0]]),
                torch.tensor([[3.0, 1.0], [0.0, 0.0], [5.0, 5.0]]),
                torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
                torch.tensor([[True, False, True]]),
            ),
            expected=torch.tensor([[3.0, 4.0]]),
            hint="True means may not read: such a score becomes minus infinity before the softmax.",
        ),
        Case(
            name="two queries with different masks over five cells",
            arguments=(query, key, value, blocked),
            expected=torch.stack(rows),
            hint="in each row the weights of the open cells sum to 1.",
        ),
    ]
    hint = "scores = query @ key.T / sqrt(C); masked_fill; softmax over the cells; @ value."
    check_cases("masked_attention", function, cases, hint=hint)


def check_refine(
    function: Callable[[str, Sequence[Layer], Sequence[str], Predict], list[str]],
) -> None:
    """The loop of the decoder.

    Args:
        function: Takes queries, layers, levels and a function that predicts; returns all
            predictions. Queries and predictions are texts that tell how they came about.

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="a decoder without layers",
            arguments=("queries", [], STRIDES, Predict()),
            expected=["mask of queries"],
            hint="the first prediction is made before any layer: L layers, L + 1 predictions.",
        ),
        Case(
            name="two layers",
            arguments=("queries", [Layer("A"), Layer("B")], STRIDES, Predict()),
            expected=[
                "mask of queries",
                "mask of queries, A at 1/32",
                "mask of queries, A at 1/32, B at 1/16",
            ],
            hint="each layer gets the newest queries, its level and the newest prediction; "
            "a prediction follows.",
        ),
        Case(
            name="four layers",
            arguments=("q", [Layer(name) for name in "ABCD"], STRIDES, Predict()),
            expected=[
                "mask of q",
                "mask of q, A at 1/32",
                "mask of q, A at 1/32, B at 1/16",
                "mask of q, A at 1/32, B at 1/16, C at 1/8",
                "mask of q, A at 1/32, B at 1/16, C at 1/8, D at 1/32",
            ],
            hint="after the finest level comes the coarsest again: index % len(levels).",
        ),
    ]
    hint = "begin with a list that holds one prediction; each layer adds one."
    check_cases("refine", function, cases, hint=hint)


@dataclass(frozen=True)
class Layer:
    """Stands for a decoder layer: writes down what it is given.

    Args:
        name: One letter.
    """

    name: str

    def __call__(self, queries: str, level: str, mask: str) -> str:
        """The queries, with what was done to them."""
        fits = mask == Predict()(queries)
        return f"{queries}, {self.name} at {level}{'' if fits else ' with a wrong mask'}"

    def __repr__(self) -> str:
        """As the message of a failed check shows it."""
        return f"layer {self.name}"


class Predict:
    """Stands for the prediction heads."""

    def __call__(self, queries: str) -> str:
        """The prediction from these queries."""
        return f"mask of {queries}"

    def __repr__(self) -> str:
        """As the message of a failed check shows it."""
        return "predict"
