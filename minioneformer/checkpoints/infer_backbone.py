"""Kind and sizes of a backbone from the names and shapes of its weights.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: the rest of the model (`checkpoints/infer_config.py`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from minioneformer.config import (
    BackboneConfig,
    ConvNextConfig,
    DinatConfig,
    ResNetConfig,
    SwinConfig,
)

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Dilations: TypeAlias = Sequence[Sequence[int]]

STAGES = range(4)
# Of the published models; weights do not show them.
DROP_PATH, CONVNEXT_DROP_PATH, CONVNEXT_SCALE, DINAT_SCALE = 0.3, 0.4, 1.0, 1e-5


@dataclass(frozen=True, kw_only=True)
class BackboneNames:
    """Where a layout has what is looked at; `{}` is the number of the stage.

    Args:
        swin: Before the number of a block.
        swin_bias: Of a block.
        dinat: Before the number of a block.
        dinat_bias: Of a block.
        dinat_scale: Of a block.
        qkv_bias: Of a block of Swin or DiNAT.
        convnext: Before the number of a block.
        convnext_scale: Of a block.
        resnet: Before the number of a block.
        resnet_stem: Its convolution.
        resnet_counter: Of its norm.
        first_stage: Number of the first stage of a ResNet.
    """

    swin: str = "layers.{}.blocks."
    swin_bias: str = "attn.relative_position_bias_table"
    dinat: str = "levels.{}.blocks."
    dinat_bias: str = "attn.rpb"
    dinat_scale: str = "gamma1"
    qkv_bias: str = "attn.qkv.bias"
    convnext: str = "stages.{}."
    convnext_scale: str = "gamma"
    resnet: str = "res{}."
    resnet_stem: str = "stem.conv1.weight"
    resnet_counter: str = "stem.conv1.norm.num_batches_tracked"
    first_stage: int = 2


OFFICIAL = BackboneNames()
OURS = BackboneNames(
    swin="stages.{}.blocks.",
    swin_bias="attention.relative_position_bias_table",
    dinat="stages.{}.blocks.",
    dinat_bias="attention.relative_position_bias",
    dinat_scale="attention_scale",
    qkv_bias="attention.qkv.bias",
    convnext="stages.{}.blocks.",
    convnext_scale="layer_scale",
    resnet="stages.{}.blocks.",
    resnet_stem="stem.conv.weight",
    resnet_counter="stem.norm.num_batches_tracked",
    first_stage=0,
)


def count_numbers(names: Collection[str], start: str) -> int:
    """How many numbers follow a beginning of names.

    Args:
        names: Of tensors.
        start: Of names, up to the number.

    Returns:
        The number of different ones.

    Example:
        Of "a.0.x", "a.0.y" and "a.1.x", two numbers follow "a.".
    """
    rests = [name.removeprefix(start) for name in names if name.startswith(start)]
    # subtle: not the largest plus one, a crafted name could make that any number.
    return len({rest.partition(".")[0] for rest in rests if rest.partition(".")[0].isdecimal()})


def infer_backbone(
    shapes: Shapes, names: BackboneNames, dilations: Dilations | None = None
) -> BackboneConfig:
    """Read kind, sizes and depths.

    Args:
        shapes: Of the tensors of the backbone, by names without what is before all of them.
        names: Of the layout.
        dilations: Of DiNAT: one step per block, by stage. Other backbones have none.

    Returns:
        The configuration; drop path rates are those of the published recipes.

    Raises:
        KeyError: If a tensor that gives a size is missing.
        IndexError: If it has fewer axes than in a model.
        ValueError: If the backbone is none of the four, or `dilations` are missing for a DiNAT
            or given for another backbone.
    """
    if names.dinat.format(0) + f"0.{names.dinat_bias}" in shapes:
        return _dinat(shapes, names, dilations)
    if dilations is not None:
        raise ValueError(f"only DiNAT has dilations, got {dilations=}: leave them out.")
    if names.swin.format(0) + f"0.{names.swin_bias}" in shapes:
        return _swin(shapes, names)
    if names.convnext.format(0) + "0.dwconv.weight" in shapes:
        return _convnext(shapes, names)
    if names.resnet_stem in shapes:
        return _resnet(shapes, names)
    raise ValueError(
        "the backbone must be Swin, ConvNeXt, DiNAT or ResNet, got tensors named "
        f"{', '.join(list(shapes)[:3])} ..."
    )


def _depths(shapes: Shapes, start: str, first: int = 0) -> tuple[int, ...]:
    return tuple(count_numbers(shapes, start.format(first + stage)) for stage in STAGES)


def _swin(shapes: Shapes, names: BackboneNames) -> SwinConfig:
    biases = [shapes[names.swin.format(s) + f"0.{names.swin_bias}"] for s in STAGES]
    hidden = shapes[names.swin.format(0) + "0.mlp.fc1.weight"]
    return SwinConfig(
        embed_dim=hidden[1],
        depths=_depths(shapes, names.swin),
        num_heads=tuple(bias[1] for bias in biases),
        window_size=(math.isqrt(biases[0][0]) + 1) // 2,
        mlp_ratio=hidden[0] / hidden[1],
        qkv_bias=names.swin.format(0) + f"0.{names.qkv_bias}" in shapes,
        drop_path_rate=DROP_PATH,
        num_channels=shapes["patch_embed.proj.weight"][1],
    )


def _dinat(shapes: Shapes, names: BackboneNames, dilations: Dilations | None) -> DinatConfig:
    depths = _depths(shapes, names.dinat)
    if dilations is None:
        raise ValueError(
            f"weights of DiNAT do not show its dilations, got {dilations=}: pass one step for "
            f"each of the {depths} blocks of the stages."
        )
    first = names.dinat.format(0) + "0."
    biases = [shapes[names.dinat.format(s) + f"0.{names.dinat_bias}"] for s in STAGES]
    hidden = shapes[f"{first}mlp.fc1.weight"]
    stem = "patch_embed.proj.0.weight" if names is OFFICIAL else "patch_embed.conv1.weight"
    return DinatConfig(
        embed_dim=hidden[1],
        depths=depths,
        num_heads=tuple(bias[0] for bias in biases),
        kernel_size=(biases[0][1] + 1) // 2,
        dilations=tuple(tuple(stage) for stage in dilations),
        mlp_ratio=hidden[0] / hidden[1],
        qkv_bias=first + names.qkv_bias in shapes,
        drop_path_rate=DROP_PATH,
        layer_scale_init_value=DINAT_SCALE if first + names.dinat_scale in shapes else 0.0,
        num_channels=shapes[stem][1],
    )


def _convnext(shapes: Shapes, names: BackboneNames) -> ConvNextConfig:
    has_scale = names.convnext.format(0) + f"0.{names.convnext_scale}" in shapes
    stem = "downsample_layers.0.0.weight" if names is OFFICIAL else "patch_embed.proj.weight"
    return ConvNextConfig(
        hidden_sizes=tuple(shapes[names.convnext.format(s) + "0.norm.weight"][0] for s in STAGES),
        depths=_depths(shapes, names.convnext),
        layer_scale_init_value=CONVNEXT_SCALE if has_scale else 0.0,
        drop_path_rate=CONVNEXT_DROP_PATH,
        num_channels=shapes[stem][1],
    )


def _resnet(shapes: Shapes, names: BackboneNames) -> ResNetConfig:
    stages = [names.resnet.format(names.first_stage + stage) for stage in STAGES]
    stem = shapes[names.resnet_stem]
    return ResNetConfig(
        embedding_size=stem[0],
        hidden_sizes=tuple(shapes[f"{stage}0.conv3.weight"][0] for stage in stages),
        depths=_depths(shapes, names.resnet, names.first_stage),
        frozen_batch_norm=names.resnet_counter not in shapes,
        num_channels=stem[1],
    )
