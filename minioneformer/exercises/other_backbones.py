"""Exercises of notebook 15, other backbones: ConvNeXt, DiNAT, ResNet.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4 and 4.1; Figure 2(a), box "Backbone". Neighborhood
attention is that of DiNAT (arXiv 2209.15001), Sec. 3.1.

Not here: their statements and solutions (`notebooks/15_other_backbones.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases


def check_neighbors(function: Callable[[int, int, int, int], list[int]]) -> None:
    """The cells that a cell attends to along one axis, in neighborhood attention.

    Args:
        function: Takes the position of a cell, the length of the axis, the kernel size and the
            dilation; returns the positions of its neighbours, in order.

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="a cell in the middle",
            arguments=(4, 9, 5, 1),
            expected=[2, 3, 4, 5, 6],
        ),
        Case(
            name="a cell at the border",
            arguments=(1, 9, 5, 1),
            expected=[0, 1, 2, 3, 4],
            hint="the window is moved inwards, not cut: there are always kernel_size neighbours.",
        ),
        Case(
            name="the last cell",
            arguments=(8, 9, 5, 1),
            expected=[4, 5, 6, 7, 8],
            hint="the first neighbour is at most length - kernel_size.",
        ),
        Case(
            name="a dilation, in the middle",
            arguments=(5, 12, 3, 2),
            expected=[3, 5, 7],
            hint="neighbours are `dilation` apart: they are all of the class position % dilation.",
        ),
        Case(
            name="a dilation, at the border",
            arguments=(1, 12, 3, 2),
            expected=[1, 3, 5],
            hint="the window must stay in the class of the cell: the smallest position of its "
            "class is position % dilation, not 0.",
        ),
        Case(
            name="a class of three, where others have four",
            arguments=(8, 11, 3, 3),
            expected=[2, 5, 8],
            hint="list the class first, range(position % dilation, length, dilation), and move "
            "the window inside that list: classes need not be equally long.",
        ),
        Case(
            name="a class of four, where others have three",
            arguments=(10, 11, 3, 3),
            expected=[4, 7, 10],
            hint="the length of a class is rounded up where a last step has begun; a list of the "
            "class knows it.",
        ),
    ]
    hint = "inside its class it is the case without dilation: position // dilation is the place "
    hint += "of the cell in the list of its class."
    check_cases("neighbors", function, cases, hint=hint)


def check_fold_batch_norm(
    function: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]],
) -> None:
    """A frozen batch norm goes into the convolution before it.

    Args:
        function: Takes the weight of a convolution without bias, (C_out, C_in, h, w), mean,
            variance, weight and bias of the norm, each (C_out,), and eps; returns weight and bias
            of the one convolution that does both.

    Raises:
        ExerciseError: If a case is not right.
    """
    zero, one = torch.tensor([0.0]), torch.tensor([1.0])
    weight = torch.arange(12.0).view(2, 3, 1, 2) - 5  # neither square nor C_out = C_in
    same_channels = torch.arange(8.0).view(2, 2, 1, 2)
    mean, variance = torch.tensor([1.0, -2.0]), torch.tensor([4.0, 9.0])
    norm_weight, norm_bias = torch.tensor([6.0, 3.0]), torch.tensor([5.0, 0.5])
    cases = [
        Case(
            name="one channel, mean 0 and bias 0",
            arguments=(torch.full((1, 1, 1, 1), 2.0), zero, 4 * one, 6 * one, zero, 0.0),
            expected=(torch.full((1, 1, 1, 1), 6.0), zero),
            hint="the norm divides by the square root of the variance: its scale is 6 / 2 = 3.",
        ),
        Case(
            name="a mean and a bias",
            arguments=(torch.full((1, 1, 1, 1), 2.0), one, 4 * one, 6 * one, 5 * one, 0.0),
            expected=(torch.full((1, 1, 1, 1), 6.0), 2 * one),
            hint="the mean is subtracted before the scaling: bias - mean * scale.",
        ),
        Case(
            name="a variance of nearly 0",
            arguments=(torch.ones(1, 1, 1, 1), one, zero, one, zero, 0.25),
            expected=(torch.full((1, 1, 1, 1), 2.0), -2 * one),
            hint="eps is added to the variance, under the root.",
        ),
        Case(
            name="as many channels in as out",
            arguments=(same_channels, mean, variance, norm_weight, norm_bias, 1e-5),
            expected=_folded(same_channels, mean, variance, norm_weight, norm_bias),
            hint="each output channel has its own scale, and output channels are the first axis "
            "of the weight: scale[:, None, None, None].",
        ),
        Case(
            name="three channels in, two out",
            arguments=(weight, mean, variance, norm_weight, norm_bias, 1e-5),
            expected=_folded(weight, mean, variance, norm_weight, norm_bias),
            hint="the shape of the weight stays as it is, and the bias is (C_out,).",
        ),
    ]
    hint = "write the norm as scale * x + shift; a convolution is linear, so its weight can be "
    hint += "scaled instead of its result."
    check_cases("fold_batch_norm", function, cases, hint=hint)


def _folded(
    weight: Tensor, mean: Tensor, variance: Tensor, norm_weight: Tensor, norm_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Channel by channel."""
    folded, bias = weight.clone(), norm_bias.clone()
    for channel in range(len(weight)):
        scale = norm_weight[channel] / (variance[channel] + 1e-5).sqrt()
        folded[channel] *= scale
        bias[channel] -= mean[channel] * scale
    return folded, bias
