"""ResNet with bottleneck blocks: four stages of convolutions, each at half the last resolution.

Paper: ResNet (arXiv 1512.03385), Sec. 4.1, Table 1 and Figure 5; in OneFormer
(arXiv 2211.06220), Sec. 3.4; Figure 2 (a), box "Backbone".

Strides 4, 8, 16 and 32. A stage steps down in the 3 x 3 convolution of its first block, as
torchvision and the published weights do; the ResNet paper does it in the 1 x 1 before.

Batch norms are either frozen (statistics and affine terms are constants: the recipes of ADE20K
and COCO) or live (those of Cityscapes and Mapillary Vistas, there synchronised over processes:
`layers/sync_batch_norm.py` does that to this module).

Not here: pretrained weights (`checkpoints/`), padding of images (`pixels.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from minioneformer.backbone.swin import FEATURE_NAMES
from minioneformer.config import ResNetConfig
from minioneformer.config.resnet import BOTTLENECK


class FrozenBatchNorm(nn.Module):
    r"""Batch norm of constants: $(x - \text{mean}) / \sqrt{\text{var} + \epsilon} \cdot w + b$.

    All four are buffers, the keys those of `nn.BatchNorm2d` less `num_batches_tracked`. Training
    mode changes nothing.

    Args:
        dim: Channels.
        eps: Added to the variance.

    Example:
        A channel with mean 1, variance 4, weight 6 and bias 5 maps 3 to (3 - 1) / 2 * 6 + 5 = 11,
        but for `eps`.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(dim))
        self.register_buffer("bias", torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Scale and shift each channel.

        Args:
            x: A map of any size.

        Returns:
            A map of the same size and dtype.
        """
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        # subtle: F.batch_norm would keep x for the gradient of the weight, which is a constant.
        scale, shift = (t.to(x.dtype)[:, None, None] for t in (scale, shift))  # (C, 1, 1)
        return torch.addcmul(shift, x, scale)

    def extra_repr(self) -> str:
        """Channels and eps, for printed models."""
        return f"{len(self.weight)}, eps={self.eps}"


class ConvNorm(nn.Module):
    """A convolution without bias, then a batch norm.

    Args:
        in_dim: Channels in.
        dim: Channels out.
        kernel_size: Odd; zeros stand around the map.
        stride: Of the convolution.
        frozen_batch_norm: Whether the norm is made of constants.
    """

    def __init__(
        self, *, in_dim: int, dim: int, kernel_size: int, stride: int, frozen_batch_norm: bool
    ) -> None:
        super().__init__()
        self.conv = _conv(in_dim, dim, kernel_size=kernel_size, stride=stride)
        self.norm = _norm(dim, frozen=frozen_batch_norm)

    def forward(self, x: Float[Tensor, "B C_in H_in W_in"]) -> Float[Tensor, "B C H W"]:
        """Convolve and normalise."""
        return self.norm(self.conv(x))


class Bottleneck(nn.Module):
    """Three convolutions, 1 x 1, 3 x 3 and 1 x 1, added to the input.

    Args:
        in_dim: Channels in.
        dim: Channels out, a multiple of 4; a quarter of them in the 3 x 3 convolution.
        stride: Of the 3 x 3 convolution.
        frozen_batch_norm: Whether the norms are made of constants.

    Fidelity:
        Official code (Detectron2): no known difference.
    """

    def __init__(
        self, *, in_dim: int, dim: int, stride: int = 1, frozen_batch_norm: bool = False
    ) -> None:
        super().__init__()
        narrow = dim // BOTTLENECK
        self.conv1 = _conv(in_dim, narrow, kernel_size=1)
        self.norm1 = _norm(narrow, frozen=frozen_batch_norm)
        self.conv2 = _conv(narrow, narrow, kernel_size=3, stride=stride)
        self.norm2 = _norm(narrow, frozen=frozen_batch_norm)
        self.conv3 = _conv(narrow, dim, kernel_size=1)
        self.norm3 = _norm(dim, frozen=frozen_batch_norm)
        self.shortcut = (
            None
            if in_dim == dim and stride == 1
            else ConvNorm(
                in_dim=in_dim,
                dim=dim,
                kernel_size=1,
                stride=stride,
                frozen_batch_norm=frozen_batch_norm,
            )
        )

    def forward(self, x: Float[Tensor, "B C_in H_in W_in"]) -> Float[Tensor, "B C H W"]:
        """Figure 5 of the ResNet paper, right.

        Args:
            x: A map of any size.

        Returns:
            A map of the same size, or of half the size, rounded up, at stride 2.
        """
        branch = F.relu(self.norm1(self.conv1(x)))
        branch = F.relu(self.norm2(self.conv2(branch)))
        branch = self.norm3(self.conv3(branch))
        return F.relu(branch + (x if self.shortcut is None else self.shortcut(x)))


class ResNetStage(nn.Module):
    """The blocks of one resolution.

    Args:
        blocks: In order; the first may step down.
        checkpoint_blocks: Whether to recompute each block in the backward pass.
    """

    def __init__(self, *, blocks: Sequence[Bottleneck], checkpoint_blocks: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.checkpoint_blocks = checkpoint_blocks

    def forward(self, x: Float[Tensor, "B C_in H_in W_in"]) -> Float[Tensor, "B C H W"]:
        """Run the blocks.

        Args:
            x: The map of the stage before.

        Returns:
            The map of this stage.
        """
        for block in self.blocks:
            x = _recompute_later(block, x) if self.checkpoint_blocks else block(x)
        return x


class ResNet(nn.Module):
    """Image in, feature maps at strides 4, 8, 16 and 32 out; defaults are ResNet-50.

    Args:
        embedding_size: Channels of the stem.
        hidden_sizes: Channels per stage, multiples of 4.
        depths: Blocks per stage; (3, 4, 23, 3) is ResNet-101.
        frozen_batch_norm: Whether statistics and affine terms of the batch norms are constants;
            otherwise they learn.
        num_channels: Of the image.
        checkpoint_blocks: Whether to recompute each block in the backward pass: less memory,
            same gradients and statistics, one more forward.

    Raises:
        ValueError: If `hidden_sizes` and `depths` do not have four entries each, a size is no
            multiple of 4, or a stage has no block.

    Fidelity:
        Official code (Detectron2): no known difference. Its keys `STEM_TYPE` "deeplab" and
        `RES5_MULTI_GRID` are not read there; here they do not exist.
    """

    def __init__(
        self,
        *,
        embedding_size: int = 64,
        hidden_sizes: Sequence[int] = (256, 512, 1024, 2048),
        depths: Sequence[int] = (3, 4, 6, 3),
        frozen_batch_norm: bool = False,
        num_channels: int = 3,
        checkpoint_blocks: bool = False,
    ) -> None:
        super().__init__()
        if not len(hidden_sizes) == len(depths) == len(FEATURE_NAMES):
            raise ValueError(
                f"hidden_sizes and depths need four entries each, got {hidden_sizes=}, {depths=}."
            )
        if any(size % BOTTLENECK for size in hidden_sizes):
            raise ValueError(
                f"hidden_sizes must be multiples of {BOTTLENECK}, got {hidden_sizes=}."
            )
        if min(depths) < 1:
            raise ValueError(f"depths must be at least 1: a block steps down, got {depths=}.")
        self.out_channels = dict(zip(FEATURE_NAMES, hidden_sizes, strict=True))
        self.stem = ConvNorm(
            in_dim=num_channels,
            dim=embedding_size,
            kernel_size=7,
            stride=2,
            frozen_batch_norm=frozen_batch_norm,
        )
        make_block = partial(Bottleneck, frozen_batch_norm=frozen_batch_norm)
        self.stages = nn.ModuleList()
        in_dim = embedding_size
        for dim, depth in zip(hidden_sizes, depths, strict=True):
            stride = 2 if self.stages else 1  # the stem has brought the first stage to stride 4
            blocks = [make_block(in_dim=in_dim, dim=dim, stride=stride)]
            blocks += [make_block(in_dim=dim, dim=dim) for _ in range(depth - 1)]
            self.stages.append(ResNetStage(blocks=blocks, checkpoint_blocks=checkpoint_blocks))
            in_dim = dim

    def forward(self, images: Float[Tensor, "B C H W"]) -> dict[str, Float[Tensor, "B _ _ _"]]:
        """Extract features.

        Args:
            images: Normalised; any size.

        Returns:
            Maps "res2" to "res5" at strides 4, 8, 16 and 32, sides rounded up, none below 0
            (`out_channels` has their channels).

        Example:
            An image of 67 x 45 pixels gives maps of 17 x 12, 9 x 6, 5 x 3 and 3 x 2 cells.
        """
        x = F.relu(self.stem(images))  # (B, C, H / 2, W / 2)
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)  # (B, C, H / 4, W / 4)

        features = {}
        for name, stage in zip(FEATURE_NAMES, self.stages, strict=True):
            x = stage(x)
            features[name] = x
        return features

    @classmethod
    def from_config(cls, config: ResNetConfig, *, checkpoint_blocks: bool = False) -> ResNet:
        """Build the backbone that a configuration describes.

        Args:
            config: Of the backbone.
            checkpoint_blocks: See the class.
        """
        return cls(
            embedding_size=config.embedding_size,
            hidden_sizes=config.hidden_sizes,
            depths=config.depths,
            frozen_batch_norm=config.frozen_batch_norm,
            num_channels=config.num_channels,
            checkpoint_blocks=checkpoint_blocks,
        )


def _conv(in_dim: int, dim: int, *, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(in_dim, dim, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _norm(dim: int, *, frozen: bool) -> nn.Module:
    return FrozenBatchNorm(dim) if frozen else nn.BatchNorm2d(dim)


def _recompute_later(block: nn.Module, x: Tensor) -> Tensor:
    def contexts() -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
        return contextlib.nullcontext(), _resting_statistics(block)

    return checkpoint(block, x, use_reentrant=False, context_fn=contexts)


@contextlib.contextmanager
def _resting_statistics(block: nn.Module) -> Iterator[None]:
    """Batch norms normalise as always, but do not count the batch.

    subtle: a recomputed block sees its batch a second time, and would move the running
    statistics twice.
    """
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d | nn.SyncBatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, num_batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, num_batches
