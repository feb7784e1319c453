"""Exercises of notebook 04, deformable attention by hand.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2(a), box "Pixel Decoder".
After: Deformable DETR (arXiv 2010.04159), Sec. 4.1, Eq. (3).

Not here: their statements and solutions (`notebooks/04_deformable_attention.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases


def check_bilinear_sample(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Bilinear readings of one map.

    Args:
        function: Takes a map of H x W numbers, and x and y of K points, in [0, 1] inside of it;
            returns K readings; zeros are outside.

    Raises:
        ExerciseError: If a case is not right.
    """
    value = torch.tensor([[1.0, 2.0, 3.0], [10.0, 30.0, 40.0]])  # (2, 3)
    cases = [
        Case(
            name="the centres of three cells: upper left, upper right, lower middle",
            arguments=(value, torch.tensor([1 / 6, 5 / 6, 0.5]), torch.tensor([0.25, 0.25, 0.75])),
            expected=torch.tensor([1.0, 3.0, 30.0]),
            hint="in cells, the column is x * W - 0.5 and the row is y * H - 0.5; "
            "value[row, column], so y chooses first. In the last column the right neighbour has no "
            "share, but its index must exist: clamp it.",
        ),
        Case(
            name="two points between the cells",
            # columns 1 and 1.25, rows 0.25 and 0.5
            arguments=(value, torch.tensor([0.5, 1.75 / 3]), torch.tensor([0.375, 0.5])),
            expected=torch.tensor([9.0, 17.375]),
            hint="with fractions u (down) and v (to the right) the corners have the shares "
            "(1 - u)(1 - v), (1 - u) v, u (1 - v) and u v.",
        ),
        Case(
            name="a point on the left border, one on the lower right corner, one far outside",
            arguments=(value, torch.tensor([0.0, 1.0, -0.7]), torch.tensor([0.75, 1.0, 0.75])),
            expected=torch.tensor([5.0, 10.0, 0.0]),
            hint="a cell outside counts as zero: keep its share, clamp its index, and multiply by "
            "whether it is inside. A negative index would read from the other end. And floor(-0.5) "
            "is -1, where .long() and int() cut to 0.",
        ),
    ]
    hint = "first turn x and y into columns and rows; whole numbers must be the centres of cells."
    check_cases("bilinear_sample", function, cases, hint=hint)


def check_sampling_locations(
    function: Callable[[Tensor, Tensor, Sequence[tuple[int, int]]], Tensor],
) -> None:
    """From reference points and offsets to locations.

    Args:
        function: Takes reference points, Q x 2, offsets in cells, Q x L x P x 2, and (H, W) of
            each level; returns locations, Q x L x P x 2.

    Raises:
        ExerciseError: If a case is not right.
    """
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(3, 2, generator=generator)
    offsets = torch.randn(3, 2, 4, 2, generator=generator)
    expected = torch.empty(3, 2, 4, 2)
    for level, (height, width) in enumerate([(3, 5), (4, 7)]):
        for axis, length in enumerate((width, height)):
            moved = offsets[:, level, :, axis] / length
            expected[:, level, :, axis] = reference[:, None, axis] + moved
    middle = torch.tensor([[0.5, 0.5]])
    cases = [
        Case(
            name="one query in the middle of one level of 2 x 5 cells, a cell to the right",
            arguments=(middle, torch.tensor([[[[1.0, 0.0]]]]), [(2, 5)]),
            expected=torch.tensor([[[[0.7, 0.5]]]]),
            hint="offsets are in cells: one cell to the right is 1 / W, one down is 1 / H; "
            "sizes are (H, W), points are (x, y).",
        ),
        Case(
            name="one query and two levels, one cell down and to the right on each",
            arguments=(middle, torch.ones(1, 2, 1, 2), [(2, 5), (4, 10)]),
            expected=torch.tensor([[[[0.7, 1.0]], [[0.6, 0.75]]]]),
            hint="each level has its own size: divide the offsets of level l by (W, H) of level l.",
        ),
        Case(
            name="three queries, two levels, four points",
            arguments=(reference, offsets, [(3, 5), (4, 7)]),
            expected=expected,
            hint="line the axes up: reference is (Q, 1, 1, 2), the sizes are (L, 1, 2), "
            "the offsets (Q, L, P, 2). Do not clamp: a location may lie outside of the image.",
        ),
    ]
    hint = "location = reference point + offset / (W, H) of the level."
    check_cases("sampling_locations", function, cases, hint=hint)


def check_attend(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The weighted sum of what a query has read.

    Args:
        function: Takes samples, M x L x P x D, and scores, M x L x P; returns M * D numbers.

    Raises:
        ExerciseError: If a case is not right.
    """
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(3, 2, 4, 5, generator=generator)
    scores = torch.randn(3, 2, 4, generator=generator)
    weights = scores.exp() / scores.exp().sum((1, 2), keepdim=True)
    expected = (weights[..., None] * samples).sum((1, 2)).reshape(15)
    cases = [
        Case(
            name="one head, one level, two points of equal score",
            arguments=(torch.tensor([[[[2.0], [4.0]]]]), torch.zeros(1, 1, 2)),
            expected=torch.tensor([3.0]),
        ),
        Case(
            name="one head, two levels of two points, with weights 5, 1, 2 and 2 of 10",
            arguments=(
                torch.tensor([[[[15.0], [5.0]], [[41.25], [20.0]]]]),
                torch.tensor([[[5.0, 1.0], [2.0, 2.0]]]).log(),
            ),
            expected=torch.tensor([20.25]),
            hint="the softmax is over levels and points together: all weights of a head sum to 1.",
        ),
        Case(
            name="three heads with five channels each",
            arguments=(samples, scores),
            expected=expected,
            hint="each head has its own softmax and its own sum; the result is head 0 first, "
            "with all its channels, then head 1, and so on.",
        ),
    ]
    hint = "flatten levels and points into one axis, softmax over it, multiply and sum."
    check_cases("attend", function, cases, hint=hint)
