"""Configurations: field names and defaults of the published `config.json`."""

from minioneformer.config.checks import STAGES, STRIDES, check_fields
from minioneformer.config.convnext import ConvNextConfig
from minioneformer.config.dinat import DinatConfig
from minioneformer.config.oneformer import (
    BACKBONES,
    BackboneConfig,
    OneFormerConfig,
    backbone_from_dict,
)
from minioneformer.config.resnet import ResNetConfig
from minioneformer.config.swin import SwinConfig

__all__ = [
    "BACKBONES",
    "STAGES",
    "STRIDES",
    "BackboneConfig",
    "ConvNextConfig",
    "DinatConfig",
    "OneFormerConfig",
    "ResNetConfig",
    "SwinConfig",
    "backbone_from_dict",
    "check_fields",
]
