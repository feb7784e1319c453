"""Swin Transformer: four stages of window attention, each at half the resolution of the last.

Paper: Swin Transformer (arXiv 2103.14030), Sec. 3.1 and Figure 3; in OneFormer
(arXiv 2211.06220), Sec. 3.4; Figure 2 (a), box "Backbone".

Strides 4, 8, 16 and 32; each stage doubles the channels. Maps are channels last inside,
channels first in what the backbone returns.

Not here: what a block does (`backbone/swin_block.py`), pretrained weights (`checkpoints/`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from minioneformer.backbone.block_stage import BlockStage
from minioneformer.backbone.swin_block import SwinBlock
from minioneformer.backbone.windows import pad_to_multiple
from minioneformer.config import SwinConfig
from minioneformer.layers.drop_path import linear_drop_path_rates

PATCH_SIZE = 4
FEATURE_NAMES = ("res2", "res3", "res4", "res5")  # strides 4, 8, 16, 32


class PatchEmbed(nn.Module):
    """Turns each patch of 4 x 4 pixels into one cell of a map.

    Args:
        num_channels: Of the image.
        embed_dim: Channels of the map.
        layer_norm_eps: Of the LayerNorm after the projection.
    """

    def __init__(self, *, num_channels: int, embed_dim: int, layer_norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.proj = nn.Conv2d(num_channels, embed_dim, kernel_size=PATCH_SIZE, stride=PATCH_SIZE)
        self.norm = nn.LayerNorm(embed_dim, eps=layer_norm_eps)

    def forward(self, images: Float[Tensor, "B C_in H_px W_px"]) -> Float[Tensor, "B H W C"]:
        """Embed the patches.

        Args:
            images: Normalised; padded right and bottom with zeros to multiples of 4.

        Returns:
            One cell per patch, begun patches included.
        """
        height, width = images.shape[-2:]
        images = F.pad(images, (0, -width % PATCH_SIZE, 0, -height % PATCH_SIZE))
        return self.norm(rearrange(self.proj(images), "b c h w -> b h w c"))


class PatchMerging(nn.Module):
    """Halves a map and doubles its channels: 2 x 2 cells become one.

    Args:
        dim: Channels of the map that comes in.
        layer_norm_eps: Of the LayerNorm over the 4 * `dim` channels of four cells.
    """

    def __init__(self, *, dim: int, layer_norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim, eps=layer_norm_eps)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H_half W_half 2*C"]:
        """Merge the cells.

        Args:
            x: A map; padded right and bottom with zeros to even sides.

        Returns:
            One cell for four, begun ones included.
        """
        # subtle: published weights expect the four cells column by column: (row, column) =
        # (0, 0), (1, 0), (0, 1), (1, 1).
        cells = rearrange(
            pad_to_multiple(x, 2), "b (h row) (w column) c -> b h w (column row c)", row=2, column=2
        )
        return self.reduction(self.norm(cells))


class SwinTransformer(nn.Module):
    """Image in, feature maps at strides 4, 8, 16 and 32 out; defaults are Swin-T.

    Args:
        embed_dim: Channels of the first stage; doubled by each further stage.
        depths: Blocks per stage.
        num_heads: Attention heads per stage; each divides the channels of its stage.
        window_size: Side of a window, in cells, >= 1; odd blocks shift by half of it.
        mlp_ratio: Hidden width of a block's MLP over its channels.
        qkv_bias: Whether the query, key and value projections have a bias.
        drop_path_rate: Of the last block; rises linearly from 0 over all blocks.
        num_channels: Of the image.
        layer_norm_eps: Of every LayerNorm.
        checkpoint_blocks: Whether to recompute each block in the backward pass: less memory,
            same gradients, one more forward.

    Raises:
        ValueError: If `depths` and `num_heads` do not have four entries each, if heads do not
            divide the channels of their stage, or if `window_size` is not positive.

    Fidelity:
        Official code: none but the value that keeps shifted cells apart (`shifted_window_mask`).
        The plain Swin of transformers shrinks window and shift on small maps; neither the
        official code nor this one does.
    """

    def __init__(
        self,
        *,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 7,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.3,
        num_channels: int = 3,
        layer_norm_eps: float = 1e-5,
        checkpoint_blocks: bool = False,
    ) -> None:
        super().__init__()
        if not len(depths) == len(num_heads) == len(FEATURE_NAMES):
            raise ValueError(
                f"depths and num_heads need four entries each, got {depths=}, {num_heads=}."
            )
        dims = [embed_dim * 2**stage for stage in range(len(depths))]
        self.out_channels = dict(zip(FEATURE_NAMES, dims, strict=True))
        self.patch_embed = PatchEmbed(
            num_channels=num_channels, embed_dim=embed_dim, layer_norm_eps=layer_norm_eps
        )
        make_block = partial(
            SwinBlock,
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            layer_norm_eps=layer_norm_eps,
        )
        self.stages = nn.ModuleList()
        rates = linear_drop_path_rates(drop_path_rate, depths)
        for dim, heads, stage_rates in zip(dims, num_heads, rates, strict=True):
            shifts = itertools.cycle((0, window_size // 2))
            blocks = [
                make_block(dim=dim, num_heads=heads, shift=shift, drop_path_rate=rate)
                for shift, rate in zip(shifts, stage_rates, strict=False)  # shifts never end
            ]
            is_last = dim == dims[-1]
            merging = None if is_last else PatchMerging(dim=dim, layer_norm_eps=layer_norm_eps)
            self.stages.append(
                BlockStage(blocks=blocks, downsample=merging, checkpoint_blocks=checkpoint_blocks)
            )
        self.norms = nn.ModuleDict(
            {name: nn.LayerNorm(dim, eps=layer_norm_eps) for name, dim in self.out_channels.items()}
        )
        self.apply(_init_linear)

    def forward(self, images: Float[Tensor, "B C H W"]) -> dict[str, Float[Tensor, "B _ _ _"]]:
        """Extract features.

        Args:
            images: Normalised; any size, padded inside with zeros where patches, windows or
                merging need it.

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
    def from_config(cls, config: SwinConfig, *, checkpoint_blocks: bool = False) -> SwinTransformer:
        """Build the backbone that a configuration describes.

        Args:
            config: Of the backbone.
            checkpoint_blocks: See the class.
        """
        return cls(
            embed_dim=config.embed_dim,
            depths=config.depths,
            num_heads=config.num_heads,
            window_size=config.window_size,
            mlp_ratio=config.mlp_ratio,
            qkv_bias=config.qkv_bias,
            drop_path_rate=config.drop_path_rate,
            num_channels=config.num_channels,
            layer_norm_eps=config.layer_norm_eps,
            checkpoint_blocks=checkpoint_blocks,
        )


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
