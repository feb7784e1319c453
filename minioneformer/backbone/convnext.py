"""ConvNeXt: four stages of depthwise convolutions, each at half the resolution of the last.

Paper: ConvNeXt (arXiv 2201.03545), Sec. 2 and Figure 4; in OneFormer
(arXiv 2211.06220), Sec. 3.4; Figure 2 (a), box "Backbone".

Strides 4, 8, 16 and 32. Nothing is padded between the stages: what does not fill a patch of
4 x 4 pixels or a group of 2 x 2 cells, at the right and at the bottom, is not read. Maps are
channels last inside, channels first in what the backbone returns.

Not here: pretrained weights (`checkpoints/`), padding of images (`pixels.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from minioneformer.backbone.swin import FEATURE_NAMES, PATCH_SIZE
from minioneformer.config import STRIDES, ConvNextConfig
from minioneformer.layers.drop_path import DropPath, linear_drop_path_rates
from minioneformer.layers.tracing import with_plain_strides

LAYER_NORM_EPS = 1e-6


class PatchEmbed(nn.Module):
    """Turns each whole patch of 4 x 4 pixels into one cell of a map: the stem.

    Args:
        num_channels: Of the image.
        dim: Channels of the map.
    """

    def __init__(self, *, num_channels: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(num_channels, dim, kernel_size=PATCH_SIZE, stride=PATCH_SIZE)
        self.norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)

    def forward(self, images: Float[Tensor, "B C_in H_px W_px"]) -> Float[Tensor, "B H W C"]:
        """Embed the patches.

        Args:
            images: Normalised, sides of 4 pixels or more.

        Returns:
            One normalised cell per patch; patches that the image does not fill are left out.
        """
        return self.norm(rearrange(self.proj(images), "b c h w -> b h w c"))


class Downsample(nn.Module):
    """Halves a map: normalise, then one convolution over each whole group of 2 x 2 cells.

    Args:
        dim: Channels of the map that comes in.
        out_dim: Channels of the map that goes out.
    """

    def __init__(self, *, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.proj = nn.Conv2d(dim, out_dim, kernel_size=2, stride=2)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H_half W_half C_out"]:
        """Join the cells.

        Args:
            x: A map with sides of 2 cells or more.

        Returns:
            One cell for four; a last odd row or column is left out.
        """
        joined = self.proj(with_plain_strides(rearrange(self.norm(x), "b h w c -> b c h w")))
        return rearrange(joined, "b c h w -> b h w c")


class ConvNeXtBlock(nn.Module):
    """Each cell looks at its 7 x 7 neighbours, channel by channel, then mixes its channels.

    Args:
        dim: Channels; four times as many between the two linear layers.
        layer_scale_init_value: First value of the learned scale of each channel, >= 0; 0 leaves
            the scale out.
        drop_path_rate: Probability that a sample skips the block while training.

    Fidelity:
        ConvNeXt paper, Figure 4; official code: no known difference.
    """

    def __init__(
        self, *, dim: int, layer_scale_init_value: float = 1e-6, drop_path_rate: float = 0.0
    ) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)
        self.layer_scale = (
            nn.Parameter(torch.full((dim,), float(layer_scale_init_value)))
            if layer_scale_init_value > 0
            else None
        )
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        """Look around, mix, add.

        Args:
            x: A map of any size; zeros stand around it.

        Returns:
            A map of the same size.
        """
        # Both moves are views: the convolution reads and writes channels-last memory.
        surroundings = self.dwconv(with_plain_strides(rearrange(x, "b h w c -> b c h w")))
        branch = self.norm(rearrange(surroundings, "b c h w -> b h w c"))

        branch = self.fc2(F.gelu(self.fc1(branch)))
        if self.layer_scale is not None:
            branch = self.layer_scale * branch
        return x + self.drop_path(branch)


class ConvNeXtStage(nn.Module):
    """The step down to a resolution, and the blocks there.

    Args:
        downsample: From the stage before; None in the first.
        blocks: In order.
        checkpoint_blocks: Whether to recompute each block in the backward pass.
    """

    def __init__(
        self,
        *,
        downsample: Downsample | None,
        blocks: Sequence[ConvNeXtBlock],
        checkpoint_blocks: bool = False,
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)
        self.checkpoint_blocks = checkpoint_blocks

    def forward(self, x: Float[Tensor, "B H_in W_in C_in"]) -> Float[Tensor, "B H W C"]:
        """Step down, then run the blocks.

        Args:
            x: The map of the stage before; in the first stage the embedded patches.

        Returns:
            The map of this stage, not normalised.
        """
        if self.downsample is not None:
            x = self.downsample(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpoint_blocks else block(x)
        return x


class ConvNeXt(nn.Module):
    """Image in, feature maps at strides 4, 8, 16 and 32 out; defaults are ConvNeXt-T.

    Args:
        hidden_sizes: Channels per stage.
        depths: Blocks per stage.
        layer_scale_init_value: First value of each block's learned scale per channel, >= 0; 0
            leaves the scale out. The recipes of OneFormer start from 1.
        drop_path_rate: Of the last block; rises linearly from 0 over all blocks. The recipes of
            OneFormer have 0.4.
        num_channels: Of the image.
        checkpoint_blocks: Whether to recompute each block in the backward pass: less memory,
            same gradients, one more forward.

    Raises:
        ValueError: If `hidden_sizes` and `depths` do not have four entries each, or
            `layer_scale_init_value` is negative.

    Fidelity:
        Official code: no known difference in what is computed. Its LayerNorms are a class of
        their own, so its optimizer decays their weights; here they are `nn.LayerNorm`, and
        `decay_convnext_norms` of `training/optimizer.py` says whether they decay.
    """

    def __init__(
        self,
        *,
        hidden_sizes: Sequence[int] = (96, 192, 384, 768),
        depths: Sequence[int] = (3, 3, 9, 3),
        layer_scale_init_value: float = 1e-6,
        drop_path_rate: float = 0.0,
        num_channels: int = 3,
        checkpoint_blocks: bool = False,
    ) -> None:
        super().__init__()
        if not len(hidden_sizes) == len(depths) == len(FEATURE_NAMES):
            raise ValueError(
                f"hidden_sizes and depths need four entries each, got {hidden_sizes=}, {depths=}."
            )
        if layer_scale_init_value < 0:
            raise ValueError(
                f"layer_scale_init_value must be >= 0, got {layer_scale_init_value=}. "
                "0 leaves the scale out."
            )
        self.out_channels = dict(zip(FEATURE_NAMES, hidden_sizes, strict=True))
        self.patch_embed = PatchEmbed(num_channels=num_channels, dim=hidden_sizes[0])
        self.stages = nn.ModuleList()
        rates = linear_drop_path_rates(drop_path_rate, depths)
        for stage, (dim, stage_rates) in enumerate(zip(hidden_sizes, rates, strict=True)):
            downsample = Downsample(dim=hidden_sizes[stage - 1], out_dim=dim) if stage else None
            blocks = [
                ConvNeXtBlock(
                    dim=dim, layer_scale_init_value=layer_scale_init_value, drop_path_rate=rate
                )
                for rate in stage_rates
            ]
            self.stages.append(
                ConvNeXtStage(
                    downsample=downsample, blocks=blocks, checkpoint_blocks=checkpoint_blocks
                )
            )
        self.norms = nn.ModuleDict(
            {name: nn.LayerNorm(dim, eps=LAYER_NORM_EPS) for name, dim in self.out_channels.items()}
        )
        self.apply(_init_weights)

    def forward(self, images: Float[Tensor, "B C H W"]) -> dict[str, Float[Tensor, "B _ _ _"]]:
        """Extract features.

        Args:
            images: Normalised, sides of 32 pixels or more. Sides that are no multiples of 32
                lose up to 31 pixels at the right and at the bottom; the model pads them before.

        Returns:
            Maps "res2" to "res5" at strides 4, 8, 16 and 32, sides rounded down, each normalised
            over its channels (`out_channels`).

        Raises:
            ValueError: If a side is below 32 pixels: the coarsest map would be empty.

        Example:
            An image of 67 x 45 pixels gives maps of 16 x 11, 8 x 5, 4 x 2 and 2 x 1 cells.
        """
        height, width = images.shape[-2:]
        if min(height, width) < STRIDES[-1]:
            raise ValueError(
                f"images need sides of {STRIDES[-1]} pixels or more, got {height=}, {width=}. "
                "Pad them (`minioneformer.pixels.pad_to_multiple`)."
            )
        x = self.patch_embed(images)  # (B, H / 4, W / 4, C)

        features = {}
        for (name, norm), stage in zip(self.norms.items(), self.stages, strict=True):
            x = stage(x)
            features[name] = rearrange(norm(x), "b h w c -> b c h w")
        return features

    @classmethod
    def from_config(cls, config: ConvNextConfig, *, checkpoint_blocks: bool = False) -> ConvNeXt:
        """Build the backbone that a configuration describes.

        Args:
            config: Of the backbone.
            checkpoint_blocks: See the class.
        """
        return cls(
            hidden_sizes=config.hidden_sizes,
            depths=config.depths,
            layer_scale_init_value=config.layer_scale_init_value,
            drop_path_rate=config.drop_path_rate,
            num_channels=config.num_channels,
            checkpoint_blocks=checkpoint_blocks,
        )


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
