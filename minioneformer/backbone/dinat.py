"""DiNAT: four stages of dilated neighborhood attention, each at half the resolution of the last.

Paper: DiNAT (arXiv 2209.15001), Sec. 3.3 and Figure 4; in OneFormer (arXiv 2211.06220), Sec. 4.1;
Figure 2 (a), box "Backbone".

Strides 4, 8, 16 and 32; each stage doubles the channels. Blocks alternate between small steps,
which see what is near, and large ones, which see far. Maps are channels last inside, channels
first in what the backbone returns.

Not here: the attention (`backbone/neighborhood_attention.py`), pretrained weights
(`checkpoints/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from minioneformer.backbone.block_stage import BlockStage
from minioneformer.backbone.neighborhood_attention import NeighborhoodAttention
from minioneformer.backbone.swin import FEATURE_NAMES
from minioneformer.backbone.swin_block import GeluMLP
from minioneformer.config import DinatConfig
from minioneformer.layers.drop_path import DropPath, linear_drop_path_rates

Dilations = Sequence[Sequence[int]]


class ConvEmbed(nn.Module):
    """Two 3 x 3 convolutions of stride 2, and nothing between them: one cell per 4 x 4 pixels.

    Args:
        num_channels: Of the image.
        embed_dim: Channels of the map, even.
    """

    def __init__(self, *, num_channels: int, embed_dim: int) -> None:
        super().__init__()
        half = embed_dim // 2
        self.conv1 = nn.Conv2d(num_channels, half, kernel_size=3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(half, embed_dim, kernel_size=3, stride=2, padding=1)
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, images: Float[Tensor, "B C_in H_px W_px"]) -> Float[Tensor, "B H W C"]:
        """Embed the image.

        Args:
            images: Normalised, of any size.

        Returns:
            A map with sides of a quarter, rounded up.
        """
        return self.norm(rearrange(self.conv2(self.conv1(images)), "b c h w -> b h w c"))


class ConvDownsample(nn.Module):
    """Halves a map and doubles its channels with a 3 x 3 convolution.

    Args:
        dim: Channels of the map that comes in.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Conv2d(dim, 2 * dim, kernel_size=3, stride=2, padding=1, bias=False)
        self.norm = nn.LayerNorm(2 * dim)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H_half W_half 2*C"]:
        """Halve the map, sides rounded up."""
        x = self.reduction(rearrange(x, "b h w c -> b c h w"))
        return self.norm(rearrange(x, "b c h w -> b h w c"))


class DinatBlock(nn.Module):
    """Neighborhood attention and MLP, each normalised before and added to its input.

    Args:
        dim: Channels.
        num_heads: Divides `dim`.
        kernel_size: Cells per axis that a cell attends to, odd.
        dilation: Steps between those cells.
        mlp_ratio: Hidden width of the MLP over `dim`.
        qkv_bias: Whether the query, key and value projections have a bias.
        drop_path_rate: Probability that a sample skips a branch while training.
        layer_scale_init_value: First value of the learned scale of each channel of both
            branches; 0 for none.
        layer_norm_eps: Of both LayerNorms.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        kernel_size: int,
        dilation: int,
        mlp_ratio: float = 3.0,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 0.0,
        layer_norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.attention = NeighborhoodAttention(
            dim=dim,
            num_heads=num_heads,
            kernel_size=kernel_size,
            dilation=dilation,
            qkv_bias=qkv_bias,
        )
        self.norm2 = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.mlp = GeluMLP(dim=dim, hidden_dim=int(mlp_ratio * dim))
        self.attention_scale = _layer_scale(dim, layer_scale_init_value)
        self.mlp_scale = _layer_scale(dim, layer_scale_init_value)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        """Attend, then transform each cell.

        Args:
            x: A map of any size.

        Returns:
            A map of the same size.
        """
        attended = _scaled(self.attention(self.norm1(x)), self.attention_scale)
        x = x + self.drop_path(attended)
        return x + self.drop_path(_scaled(self.mlp(self.norm2(x)), self.mlp_scale))


class DiNAT(nn.Module):
    """Image in, feature maps at strides 4, 8, 16 and 32 out; defaults are DiNAT-Mini.

    Args:
        embed_dim: Channels of the first stage, even; doubled by each further stage.
        depths: Blocks per stage.
        num_heads: Attention heads per stage; each divides the channels of its stage.
        kernel_size: Cells per axis that a cell attends to, odd.
        dilations: Per stage, per block: steps between those cells; None is 1 everywhere.
        mlp_ratio: Hidden width of a block's MLP over its channels.
        qkv_bias: Whether the query, key and value projections have a bias.
        drop_path_rate: Of the last block; rises linearly from 0 over all blocks.
        layer_scale_init_value: First value of the learned scales of both branches of a block; 0
            leaves them out.
        num_channels: Of the image.
        layer_norm_eps: Of the LayerNorms of the blocks; that of the others is 1e-5.
        checkpoint_blocks: Whether to recompute each block in the backward pass: less memory,
            same gradients, one more forward.

    Raises:
        ValueError: If `depths` and `num_heads` do not have four entries each, if `dilations` do
            not have one entry per block, if `embed_dim` is odd, if heads do not divide the
            channels of their stage, if `kernel_size` is even, or if a dilation is below 1.

    Fidelity:
        Official code: no known difference. transformers 5 cannot run this backbone: it needs
        operations that NATTEN no longer has, and swaps two axes before it calls them.
    """

    def __init__(
        self,
        *,
        embed_dim: int = 64,
        depths: Sequence[int] = (3, 4, 6, 5),
        num_heads: Sequence[int] = (2, 4, 8, 16),
        kernel_size: int = 7,
        dilations: Dilations | None = None,
        mlp_ratio: float = 3.0,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.1,
        layer_scale_init_value: float = 0.0,
        num_channels: int = 3,
        layer_norm_eps: float = 1e-5,
        checkpoint_blocks: bool = False,
    ) -> None:
        super().__init__()
        if dilations is None:
            dilations = [(1,) * depth for depth in depths]
        _check_stages(embed_dim, depths, num_heads, dilations)
        dims = [embed_dim * 2**stage for stage in range(len(depths))]
        self.out_channels = dict(zip(FEATURE_NAMES, dims, strict=True))
        self.patch_embed = ConvEmbed(num_channels=num_channels, embed_dim=embed_dim)
        make_block = partial(
            DinatBlock,
            kernel_size=kernel_size,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            layer_scale_init_value=layer_scale_init_value,
            layer_norm_eps=layer_norm_eps,
        )
        self.stages = nn.ModuleList()
        rates = linear_drop_path_rates(drop_path_rate, depths)
        for dim, heads, steps, stage_rates in zip(dims, num_heads, dilations, rates, strict=True):
            blocks = [
                make_block(dim=dim, num_heads=heads, dilation=step, drop_path_rate=rate)
                for step, rate in zip(steps, stage_rates, strict=True)
            ]
            downsample = None if dim == dims[-1] else ConvDownsample(dim=dim)
            self.stages.append(
                BlockStage(
                    blocks=blocks, downsample=downsample, checkpoint_blocks=checkpoint_blocks
                )
            )
        self.norms = nn.ModuleDict(
            {name: nn.LayerNorm(dim) for name, dim in self.out_channels.items()}
        )
        self.apply(_init_linear)

    def forward(self, images: Float[Tensor, "B C H W"]) -> dict[str, Float[Tensor, "B _ _ _"]]:
        """Extract features.

        Args:
            images: Normalised; any size.

        Returns:
            Maps "res2" to "res5" at strides 4, 8, 16 and 32, sides rounded up, each normalised
            over its channels (`out_channels`).

        Example:
            An image of 67 x 45 pixels gives maps of 17 x 12, 9 x 6, 5 x 3 and 3 x 2 cells.
        """
        x = self.patch_embed(images)  # (B, H / 4, W / 4, C)

        features = {}
        for (name, norm), stage in zip(self.norms.items(), self.stages, strict=True):
            stage_map, x = stage(x)
            features[name] = rearrange(norm(stage_map), "b h w c -> b c h w")
        return features

    @classmethod
    def from_config(cls, config: DinatConfig, *, checkpoint_blocks: bool = False) -> DiNAT:
        """Build the backbone that a configuration describes.

        Args:
            config: Of the backbone.
            checkpoint_blocks: See the class.
        """
        return cls(
            embed_dim=config.embed_dim,
            depths=config.depths,
            num_heads=config.num_heads,
            kernel_size=config.kernel_size,
            dilations=config.stage_dilations,
            mlp_ratio=config.mlp_ratio,
            qkv_bias=config.qkv_bias,
            drop_path_rate=config.drop_path_rate,
            layer_scale_init_value=config.layer_scale_init_value,
            num_channels=config.num_channels,
            layer_norm_eps=config.layer_norm_eps,
            checkpoint_blocks=checkpoint_blocks,
        )


def _layer_scale(dim: int, initial: float) -> nn.Parameter | None:
    return nn.Parameter(torch.full((dim,), float(initial))) if initial > 0 else None


def _scaled(x: Tensor, scale: nn.Parameter | None) -> Tensor:
    return x if scale is None else x * scale


def _check_stages(
    embed_dim: int, depths: Sequence[int], num_heads: Sequence[int], dilations: Dilations
) -> None:
    if not len(depths) == len(num_heads) == len(FEATURE_NAMES):
        raise ValueError(
            f"depths and num_heads need four entries each, got {depths=}, {num_heads=}."
        )
    if [len(stage) for stage in dilations] != list(depths):
        raise ValueError(f"dilations need one entry per block, got {dilations=}, {depths=}.")
    if embed_dim % 2 != 0:
        raise ValueError(f"embed_dim must be even, the first convolution has half, {embed_dim=}.")


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
