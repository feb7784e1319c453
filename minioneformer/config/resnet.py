"""Configuration of ResNet-50 and ResNet-101; field names of published files.

Paper: ResNet (arXiv 1512.03385), Table 1; in OneFormer (arXiv 2211.06220), appendix.

Not here: the backbone (`backbone/resnet.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from minioneformer.config.checks import check_positive, check_stages

BOTTLENECK = 4  # output channels of a block over those of its 3 x 3 convolution


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """ResNet with bottleneck blocks; defaults are ResNet-50.

    Args:
        embedding_size: Channels of the stem.
        hidden_sizes: Output channels per stage; four times those of the 3 x 3 convolution.
        depths: Blocks per stage.
        frozen_batch_norm: Whether statistics and affine terms of the batch norms are constants,
            as in the published recipes of ADE20K and COCO; otherwise they learn.
        num_channels: Of the image.

    Raises:
        ValueError: If the stage lists do not have four entries, a size is not positive, or the
            channels of a stage are no multiple of 4.
    """

    model_type: ClassVar[str] = "resnet"
    fixed: ClassVar[Mapping[str, Any]] = {
        "hidden_act": "relu",
        "layer_type": "bottleneck",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
    }

    embedding_size: int = 64
    hidden_sizes: tuple[int, ...] = (256, 512, 1024, 2048)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    frozen_batch_norm: bool = False
    num_channels: int = 3

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        check_stages("ResNetConfig", depths=self.depths, hidden_sizes=self.hidden_sizes)
        check_positive(
            "ResNetConfig",
            embedding_size=self.embedding_size,
            hidden_sizes=min(self.hidden_sizes),
            num_channels=self.num_channels,
            depths=min(self.depths),
        )
        if any(size % BOTTLENECK for size in self.hidden_sizes):
            raise ValueError(f"hidden_sizes must be multiples of 4, got {self.hidden_sizes=}.")

    @property
    def stage_dims(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        return self.hidden_sizes
