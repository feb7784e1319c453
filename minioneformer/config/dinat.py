"""Configuration of DiNAT, the dilated neighborhood attention transformer.

Paper: DiNAT (arXiv 2209.15001), Table 2; in OneFormer (arXiv 2211.06220), Sec. 4.1. Field names
of published files.

Not here: the backbone (`backbone/dinat.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from minioneformer.config.checks import STRIDES, check_positive, check_stages, require


@dataclass(frozen=True, kw_only=True)
class DinatConfig:
    """DiNAT; defaults are DiNAT-Mini, without dilation.

    Args:
        embed_dim: Channels of stage 1; doubled by each further stage.
        depths: Blocks per stage.
        num_heads: Attention heads per stage.
        kernel_size: Cells per axis that a cell attends to; odd.
        dilations: Per stage, per block: steps between those cells; None is 1 everywhere.
        mlp_ratio: Hidden width of a block's MLP over its channels.
        qkv_bias: Whether query, key and value projections have a bias.
        drop_path_rate: Rate of the last block; rises linearly from 0 over the blocks.
        layer_scale_init_value: First value of the learned scales of both branches of a block; 0
            leaves them out.
        patch_size: Side of a patch in pixels; the model needs 4.
        num_channels: Of the image.
        layer_norm_eps: Of every LayerNorm but those of patch embedding, downsampling and output,
            which have 1e-5.

    Raises:
        ValueError: If the stage lists do not have four entries, a size is not positive, the
            heads do not divide the channels of their stage, `kernel_size` is even, there is not
            one dilation >= 1 per block, or `patch_size` is not 4.
    """

    model_type: ClassVar[str] = "dinat"
    fixed: ClassVar[Mapping[str, Any]] = {
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }

    embed_dim: int = 64
    depths: tuple[int, ...] = (3, 4, 6, 5)
    num_heads: tuple[int, ...] = (2, 4, 8, 16)
    kernel_size: int = 7
    dilations: tuple[tuple[int, ...], ...] | None = None
    mlp_ratio: float = 3.0
    qkv_bias: bool = True
    drop_path_rate: float = 0.1
    layer_scale_init_value: float = 0.0
    patch_size: int = 4
    num_channels: int = 3
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        check_stages("DinatConfig", depths=self.depths, num_heads=self.num_heads)
        check_positive(
            "DinatConfig",
            embed_dim=self.embed_dim,
            kernel_size=self.kernel_size,
            num_channels=self.num_channels,
            mlp_ratio=self.mlp_ratio,
            depths=min(self.depths),
            num_heads=min(self.num_heads),
        )
        for dim, heads in zip(self.stage_dims, self.num_heads, strict=True):
            require(dim % heads == 0, f"num_heads must divide {dim} channels, got {heads=}.")
        require(self.kernel_size % 2 == 1, f"kernel_size must be odd, got {self.kernel_size=}.")
        require(
            tuple(len(stage) for stage in self.stage_dilations) == tuple(self.depths)
            and all(step >= 1 for stage in self.stage_dilations for step in stage),
            f"dilations need one step >= 1 per block, got {self.dilations=}, {self.depths=}.",
        )
        require(
            self.layer_scale_init_value >= 0,
            f"layer_scale_init_value must be >= 0, got {self.layer_scale_init_value=}.",
        )
        require(self.patch_size == STRIDES[0], f"patch_size must be 4, got {self.patch_size=}.")

    @property
    def stage_dims(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        return tuple(self.embed_dim * 2**stage for stage in range(len(STRIDES)))

    @property
    def stage_dilations(self) -> tuple[tuple[int, ...], ...]:
        """Dilation of each block, by stage."""
        if self.dilations is None:
            return tuple((1,) * depth for depth in self.depths)
        return self.dilations
