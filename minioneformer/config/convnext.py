"""Configuration of ConvNeXt; field names of published files.

Paper: ConvNeXt (arXiv 2201.03545), Sec. 3; in OneFormer (arXiv 2211.06220), Sec. 4.1.

Not here: the backbone (`backbone/convnext.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from minioneformer.config.checks import STRIDES, check_positive, check_stages, require


@dataclass(frozen=True, kw_only=True)
class ConvNextConfig:
    """ConvNeXt; defaults are ConvNeXt-T as published configurations state it.

    Args:
        hidden_sizes: Channels per stage.
        depths: Blocks per stage.
        layer_scale_init_value: First value of each block's learned scale per channel; 0 leaves
            the scale out. The published OneFormer recipes start from 1.
        drop_path_rate: Rate of the last block; rises linearly from 0 over the blocks.
        patch_size: Side of a patch in pixels; the model needs 4.
        num_channels: Of the image.

    Raises:
        ValueError: If the stage lists do not have four entries, a size is not positive, or
            `patch_size` is not 4.
    """

    model_type: ClassVar[str] = "convnext"
    # subtle: `layer_norm_eps` of published files belongs to a pooled norm that is not here; every
    # norm of the backbone has 1e-6.
    fixed: ClassVar[Mapping[str, Any]] = {"hidden_act": "gelu"}

    hidden_sizes: tuple[int, ...] = (96, 192, 384, 768)
    depths: tuple[int, ...] = (3, 3, 9, 3)
    layer_scale_init_value: float = 1e-6
    drop_path_rate: float = 0.0
    patch_size: int = 4
    num_channels: int = 3

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        check_stages("ConvNextConfig", depths=self.depths, hidden_sizes=self.hidden_sizes)
        check_positive(
            "ConvNextConfig",
            hidden_sizes=min(self.hidden_sizes),
            num_channels=self.num_channels,
            depths=min(self.depths),
        )
        require(
            self.layer_scale_init_value >= 0,
            f"layer_scale_init_value must be >= 0, got {self.layer_scale_init_value=}.",
        )
        require(self.patch_size == STRIDES[0], f"patch_size must be 4, got {self.patch_size=}.")

    @property
    def stage_dims(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        return self.hidden_sizes
