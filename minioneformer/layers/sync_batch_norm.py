r"""Batch norm whose batch is that of all processes.

Paper: Batch Normalization (arXiv 1502.03167), Algorithm 1; in OneFormer (arXiv 2211.06220) the
ResNets of Cityscapes and Mapillary Vistas; Figure 2 (a), inside box "Backbone".

With n values of a channel over all images, cells and processes, and
$\hat{x} = (x - \mu) / \sqrt{\sigma^2 + \epsilon}$, forward is $y = w \hat{x} + b$ and backward

$$\frac{\partial L}{\partial x} = \frac{w}{\sqrt{\sigma^2 + \epsilon}} \left(
  \frac{\partial L}{\partial y}
  - \frac{1}{n} \sum \frac{\partial L}{\partial y}
  - \hat{x} \, \frac{1}{n} \sum \frac{\partial L}{\partial y} \hat{x} \right)$$

where all sums run over all processes, as L does. One exchange of 2 C + 1 numbers forward, one of
2 C backward.

Not here: the same for CUDA alone, faster (`torch.nn.SyncBatchNorm`, which refuses tensors on the
CPU), constants in place of statistics (`FrozenBatchNorm` in `backbone/resnet.py`).
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minioneformer.processes import gather_rows, mean_over_processes, world_size

OTHERS = (0, 2, 3)  # all axes but the channels


class SyncBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, statistics over the images of all processes; parameters of the same names.

    Every image cell counts once, so processes may have images of other sizes and numbers. In
    evaluation mode, and with one process, it is `nn.BatchNorm2d`.

    Args:
        num_features: Channels.
        eps: Added to the variance.
        momentum: Share of a new batch in the running statistics.

    Example:
        One process has the cells 0 and 0 in a channel, another the cell 6: mean 2, variance 8,
        and 6 becomes 4 / sqrt(8) = 1.4142. The running variance takes 12, the unbiased one.

    Fidelity:
        Official code (Detectron2): "SyncBN" is `torch.nn.SyncBatchNorm`, no known difference.
        Under autocast the statistics are float32 as there.
    """

    def __init__(self, num_features: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Normalise each channel. In training mode, every process must call it, and go backwards.

        Args:
            x: Maps of this process, possibly none (B = 0).

        Returns:
            Maps of the same size and dtype.
        """
        if not self.training or world_size() == 1:
            return super().forward(x)
        count, mean, variance = _statistics(x.detach())
        self._note(count, mean, variance)
        return _Normalise.apply(x, self.weight, self.bias, count, mean, variance, self.eps)

    def _note(self, count: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics."""
        momentum = cast(float, self.momentum)  # of torch's wider types this class has the narrow
        running_mean, running_var = cast(Tensor, self.running_mean), cast(Tensor, self.running_var)
        unbiased = variance * (count / (count - 1))
        running_mean.lerp_(mean.to(running_mean), momentum)
        running_var.lerp_(unbiased.to(running_var), momentum)
        if self.num_batches_tracked is not None:  # None while a block is computed again
            self.num_batches_tracked.add_(1)


def _statistics(
    x: Float[Tensor, "B C H W"],
) -> tuple[Float[Tensor, ""], Float[Tensor, " C"], Float[Tensor, " C"]]:
    """Number, mean and variance of the values of each channel, over all processes."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    number = x.new_tensor([x.numel() // x.shape[1]])
    own_mean = x.sum(OTHERS) / number.clamp(min=1)  # (C,)
    own_squares = (x - own_mean[:, None, None]).square().sum(OTHERS)  # (C,)
    # subtle: means and distances from them, as sums of x and x * x would cancel
    rows = gather_rows(torch.cat([number, own_mean, own_squares])[None])  # (W, 1 + 2 C)
    numbers, means, squares = rows.split([1, x.shape[1], x.shape[1]], dim=1)
    count = numbers.sum()
    mean = (numbers * means).sum(0) / count
    squares = squares + numbers * (means - mean).square()
    return count, mean, squares.sum(0) / count


class _Normalise(torch.autograd.Function):
    """Forward and backward of the module docstring; keeps x, and nothing else of its size."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        count: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, count, mean, (variance + eps).rsqrt())
        moments = (mean.to(weight), variance.to(weight))
        return F.batch_norm(x, *moments, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, count, mean, scale = ctx.saved_tensors
        gradient = gradients[0].to(mean.dtype)
        normalised = (x - mean[:, None, None]) * scale[:, None, None]
        own = torch.stack([gradient.sum(OTHERS), (gradient * normalised).sum(OTHERS)])  # (2, C)
        average = mean_over_processes(own) * (world_size() / count)
        average_gradient, average_product = average[:, :, None, None]  # (C, 1, 1) each
        centered = gradient - average_gradient - normalised * average_product
        into_x = centered * (weight * scale)[:, None, None]
        # of weight and bias the own parts: whoever averages gradients over processes adds them
        return into_x.to(x.dtype), own[1].to(weight), own[0].to(weight), None, None, None, None


def synchronise_batch_norms(module: nn.Module) -> nn.Module:
    """Let every batch norm that learns take its statistics over all processes.

    Frozen ones stay as they are. Parameters and buffers stay the same objects, so that an
    optimizer that has them goes on working.

    Args:
        module: Changed in place, unless it is a batch norm itself.

    Returns:
        The module.

    Raises:
        ValueError: If a batch norm has no weight and bias, no running statistics, or statistics
            without momentum.
    """
    if type(module) is nn.BatchNorm2d:
        return _synchronised(module)
    for name, child in module.named_children():
        setattr(module, name, synchronise_batch_norms(child))
    return module


def _synchronised(norm: nn.BatchNorm2d) -> SyncBatchNorm:
    if not (norm.affine and norm.track_running_stats and norm.momentum is not None):
        raise ValueError(
            f"only batch norms with weights, running statistics and momentum can be synchronised, "
            f"got {norm}."
        )
    replacement = SyncBatchNorm(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    replacement.weight, replacement.bias = norm.weight, norm.bias
    for name, buffer in norm.named_buffers():
        setattr(replacement, name, buffer)
    return replacement.train(norm.training)
