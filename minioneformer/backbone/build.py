"""The backbone that a configuration describes.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 (a), box "Backbone".

Not here: the backbones themselves, one file each.
"""

from __future__ import annotations

from typing import TypeAlias

from minioneformer.backbone.convnext import ConvNeXt
from minioneformer.backbone.dinat import DiNAT
from minioneformer.backbone.resnet import ResNet
from minioneformer.backbone.swin import SwinTransformer
from minioneformer.config import (
    BackboneConfig,
    ConvNextConfig,
    DinatConfig,
    ResNetConfig,
    SwinConfig,
)

Backbone: TypeAlias = SwinTransformer | ConvNeXt | DiNAT | ResNet


def build_backbone(config: BackboneConfig, *, checkpoint_blocks: bool = False) -> Backbone:
    """Build a backbone with random weights.

    Args:
        config: Its type says which backbone.
        checkpoint_blocks: Whether to recompute each block in the backward pass: less memory,
            same gradients, one more forward.

    Returns:
        Image to maps "res2" to "res5"; `out_channels` has their channels.
    """
    match config:
        case SwinConfig():
            return SwinTransformer.from_config(config, checkpoint_blocks=checkpoint_blocks)
        case ConvNextConfig():
            return ConvNeXt.from_config(config, checkpoint_blocks=checkpoint_blocks)
        case DinatConfig():
            return DiNAT.from_config(config, checkpoint_blocks=checkpoint_blocks)
        case ResNetConfig():
            return ResNet.from_config(config, checkpoint_blocks=checkpoint_blocks)
