"""Configuration of the Swin Transformer; field names of published files.

Paper: Swin Transformer (arXiv 2103.14030), Table 7; in OneFormer (arXiv 2211.06220), Sec. 4.1.

Not here: the backbone (`backbone/swin.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from minioneformer.config.checks import STRIDES, check_positive, check_stages, require


@dataclass(frozen=True, kw_only=True)
class SwinConfig:
    """Swin Transformer; defaults are Swin-T.

    Args:
        embed_dim: Channels of stage 1; doubled by each further stage.
        depths: Blocks per stage.
        num_heads: Attention heads per stage.
        window_size: Side of the attention window, in cells.
        mlp_ratio: Hidden width of a block's MLP over its channels.
        qkv_bias: Whether query, key and value projections have a bias.
        drop_path_rate: Rate of the last block; rises linearly from 0 over the blocks.
        patch_size: Side of a patch in pixels; the model needs 4.
        num_channels: Of the image.
        layer_norm_eps: Of every LayerNorm.

    Raises:
        ValueError: If the stage lists do not have four entries, a size is not positive, the
            heads do not divide the channels of their stage, or `patch_size` is not 4.
    """

    model_type: ClassVar[str] = "swin"
    fixed: ClassVar[Mapping[str, Any]] = {
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "use_absolute_embeddings": False,
    }

    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int = 7
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    drop_path_rate: float = 0.3
    patch_size: int = 4
    num_channels: int = 3
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        check_stages("SwinConfig", depths=self.depths, num_heads=self.num_heads)
        check_positive(
            "SwinConfig",
            embed_dim=self.embed_dim,
            window_size=self.window_size,
            num_channels=self.num_channels,
            mlp_ratio=self.mlp_ratio,
            depths=min(self.depths),
            num_heads=min(self.num_heads),
        )
        for dim, heads in zip(self.stage_dims, self.num_heads, strict=True):
            require(dim % heads == 0, f"num_heads must divide {dim} channels, got {heads=}.")
        require(self.patch_size == STRIDES[0], f"patch_size must be 4, got {self.patch_size=}.")

    @property
    def stage_dims(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        return tuple(self.embed_dim * 2**stage for stage in range(len(STRIDES)))
