"""Stochastic depth: skip a residual branch for some samples while training.

Paper: Deep Networks with Stochastic Depth (arXiv 1603.09382); in OneFormer (arXiv 2211.06220)
part of the backbone, Sec. 4.1. Not drawn in Figure 2.

Not here: which branches of a block it drops (`backbone/`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class DropPath(nn.Module):
    """Zeroes whole samples of a batch and scales up the others, so that the mean stays.

    The identity in evaluation and at rate 0. The draw comes from the global generator of the
    input's device, so `torch.manual_seed` repeats it.

    Args:
        rate: Probability that a sample is dropped, in [0, 1).

    Raises:
        ValueError: If `rate` is not in [0, 1).

    Example:
        At rate 0.75 one sample in four survives, and what survives is multiplied by
        1 / (1 - 0.75) = 4.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(
                f"rate must be in [0, 1), got {rate=}. A branch that never runs is better left out."
            )
        self.rate = rate

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Drop samples of a residual branch.

        Args:
            x: Output of the branch, before it is added to its input.

        Returns:
            For each sample either zeros or the sample divided by 1 - rate.
        """
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        per_sample = (len(x),) + (1,) * (x.ndim - 1)
        survives = torch.rand(per_sample, device=x.device) < keep  # (B, 1, ...)
        # subtle: the scale goes into the small tensor, so that the large one is read once.
        return x * (survives / keep).to(x.dtype)

    def extra_repr(self) -> str:
        """The rate, for printed models."""
        return f"rate={self.rate:.3g}"


def linear_drop_path_rates(last: float, depths: Sequence[int]) -> list[list[float]]:
    """The rate of each block: from 0 at the first of all linearly to `last` at the last.

    Args:
        last: Rate of the last block, in [0, 1).
        depths: Blocks per stage.

    Returns:
        One list per stage, one rate per block. A single block gets 0.

    Example:
        `last` 0.3 and `depths` (1, 2, 1) give [[0.0], [0.1, 0.2], [0.3]].
    """
    num_blocks = sum(depths)
    rates = iter([last * block / max(num_blocks - 1, 1) for block in range(num_blocks)])
    return [list(itertools.islice(rates, depth)) for depth in depths]
