"""Sizes of the backbones by name, as the published recipes and their papers state them.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1, Tables 1 to 3; not drawn in Figure 2. Sizes that
OneFormer did not use are from the papers of the backbones.

Not here: the models made with them (`presets/published.py`), ImageNet weights
(`checkpoints/imagenet.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from minioneformer.config import (
    BackboneConfig,
    ConvNextConfig,
    DinatConfig,
    ResNetConfig,
    SwinConfig,
)

# Dilations of DiNAT-L, one per block of each stage. They follow the size that a model was trained
# at: kernel x dilation is at most about the side of the stage's map.
DILATIONS_640 = (
    (1, 20, 1),
    (1, 5, 1, 10),
    (1, 2, 1, 3, 1, 4, 1, 5, 1, 2, 1, 3, 1, 4, 1, 5, 1, 5),
    (1, 2, 1, 2, 1),
)
DILATIONS_1280 = (
    (1, 28, 1),
    (1, 7, 1, 14),
    (1, 3, 1, 5, 1, 5, 1, 7, 1, 3, 1, 5, 1, 5, 1, 7, 1, 7),
    (1, 3, 1, 3, 1),
)
DILATIONS_CITYSCAPES = (
    (1, 18, 1),
    (1, 5, 1, 9),
    (1, 2, 1, 3, 1, 4, 1, 2, 1, 3, 1, 4, 1, 2, 1, 3, 1, 4),
    (1, 2, 1, 2, 1),
)
DILATIONS_MINI_224 = ((1, 8, 1), (1, 4, 1, 4), (1, 2) * 3, (1,) * 5)  # classification, 224 pixels
DILATIONS_224 = ((1, 8, 1), (1, 4, 1, 4), (1, 2) * 9, (1,) * 5)

_swin = partial(SwinConfig, drop_path_rate=0.3)
_swin_deep = partial(_swin, depths=(2, 2, 18, 2))
_convnext = partial(
    ConvNextConfig, depths=(3, 3, 27, 3), layer_scale_init_value=1.0, drop_path_rate=0.4
)
_dinat = partial(DinatConfig, depths=(3, 4, 18, 5), dilations=DILATIONS_224, mlp_ratio=2.0)
_dinat_large = partial(
    _dinat, embed_dim=192, num_heads=(6, 12, 24, 48), kernel_size=11, drop_path_rate=0.3
)

BACKBONES: Mapping[str, BackboneConfig] = MappingProxyType(
    {
        "resnet50": ResNetConfig(frozen_batch_norm=True),
        "resnet101": ResNetConfig(depths=(3, 4, 23, 3), frozen_batch_norm=True),
        "swin_tiny": _swin(),
        "swin_small": _swin_deep(),
        "swin_base": _swin_deep(embed_dim=128, num_heads=(4, 8, 16, 32), window_size=12),
        "swin_large": _swin_deep(embed_dim=192, num_heads=(6, 12, 24, 48), window_size=12),
        "convnext_tiny": _convnext(depths=(3, 3, 9, 3)),
        "convnext_small": _convnext(),
        "convnext_base": _convnext(hidden_sizes=(128, 256, 512, 1024)),
        "convnext_large": _convnext(hidden_sizes=(192, 384, 768, 1536)),
        "convnext_xlarge": _convnext(hidden_sizes=(256, 512, 1024, 2048)),
        "dinat_mini": DinatConfig(dilations=DILATIONS_MINI_224, drop_path_rate=0.2),
        "dinat_tiny": _dinat(mlp_ratio=3.0, drop_path_rate=0.2),
        "dinat_small": _dinat(embed_dim=96, num_heads=(3, 6, 12, 24), drop_path_rate=0.3),
        "dinat_base": _dinat(
            embed_dim=128,
            num_heads=(4, 8, 16, 32),
            drop_path_rate=0.5,
            layer_scale_init_value=1e-5,
        ),
        "dinat_large": _dinat_large(dilations=DILATIONS_640),
        "dinat_large_1280": _dinat_large(dilations=DILATIONS_1280),
        "dinat_large_cityscapes": _dinat_large(kernel_size=7, dilations=DILATIONS_CITYSCAPES),
    }
)


def backbone_preset(name: str) -> BackboneConfig:
    """Sizes of a backbone.

    Args:
        name: One of `BACKBONES`. ResNets have frozen batch norms, as the recipes of ADE20K and
            COCO do; Mini to Base of DiNAT have the dilations and drop path rates that their
            authors classified images with.

    Returns:
        Its configuration; `dataclasses.replace` changes single values.

    Raises:
        ValueError: If there is no such backbone; near matches are named.

    Example:
        `backbone_preset("swin_large").window_size` is 12.
    """
    if name not in BACKBONES:
        near = difflib.get_close_matches(name, BACKBONES, n=3)
        hint = f"Near matches: {', '.join(near)}." if near else f"Known: {', '.join(BACKBONES)}."
        raise ValueError(f"no such backbone, got {name=}. {hint}")
    return BACKBONES[name]
