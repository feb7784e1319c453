"""The backbones in the layout of the original files.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Swin, ConvNeXt and DiNAT have the names of their own repositories, ResNet those of Detectron2.

Not here: the rest of the model, and reading and writing (`checkpoints/official.py`).
"""

from __future__ import annotations

from minioneformer.checkpoints.huggingface_backbones import BATCH_NORM, COUNTER, has_shortcut
from minioneformer.checkpoints.key_table import Entry, renamed
from minioneformer.config import (
    BackboneConfig,
    ConvNextConfig,
    DinatConfig,
    ResNetConfig,
    SwinConfig,
)


def official_backbone_entries(
    config: BackboneConfig, *, ours: str = "model.backbone.", theirs: str = "backbone."
) -> list[Entry]:
    """Our names and the original ones.

    Args:
        config: Of the backbone.
        ours: Before each of our names.
        theirs: Before each of theirs; empty in files of a backbone alone.

    Returns:
        The entries, each tensor of our backbone in one.
    """
    if isinstance(config, SwinConfig):
        entries = _swin(config)
    elif isinstance(config, DinatConfig):
        entries = _dinat(config)
    elif isinstance(config, ConvNextConfig):
        entries = _convnext(config)
    else:
        entries = _resnet(config)
    return [
        Entry(tuple(ours + name for name in entry.ours), tuple(theirs + n for n in entry.theirs))
        for entry in entries
    ]


def _swin(config: SwinConfig) -> list[Entry]:
    entries = [
        *renamed("patch_embed.proj", "patch_embed.proj"),
        *renamed("patch_embed.norm", "patch_embed.norm"),
    ]
    for stage, depth in enumerate(config.depths):
        for block in range(depth):
            mine, his = f"stages.{stage}.blocks.{block}", f"layers.{stage}.blocks.{block}"
            table = ["relative_position_bias_table"]
            entries += renamed(f"{mine}.attention", f"{his}.attn", table)
            entries += _transformer_block(mine, his, config.qkv_bias)
        if stage < len(config.depths) - 1:
            mine, his = f"stages.{stage}.downsample", f"layers.{stage}.downsample"
            entries += renamed(f"{mine}.norm", f"{his}.norm")
            entries += renamed(f"{mine}.reduction", f"{his}.reduction", ["weight"])
    return entries + _output_norms()


def _dinat(config: DinatConfig) -> list[Entry]:
    entries = [
        *renamed("patch_embed.conv1", "patch_embed.proj.0"),
        *renamed("patch_embed.conv2", "patch_embed.proj.1"),
        *renamed("patch_embed.norm", "patch_embed.norm"),
    ]
    for stage, depth in enumerate(config.depths):
        for block in range(depth):
            mine, his = f"stages.{stage}.blocks.{block}", f"levels.{stage}.blocks.{block}"
            bias = (f"{mine}.attention.relative_position_bias",)
            entries.append(Entry(bias, (f"{his}.attn.rpb",)))
            entries += _transformer_block(mine, his, config.qkv_bias)
            if config.layer_scale_init_value > 0:
                entries.append(Entry((f"{mine}.attention_scale",), (f"{his}.gamma1",)))
                entries.append(Entry((f"{mine}.mlp_scale",), (f"{his}.gamma2",)))
        if stage < len(config.depths) - 1:
            mine, his = f"stages.{stage}.downsample", f"levels.{stage}.downsample"
            entries += renamed(f"{mine}.reduction", f"{his}.reduction", ["weight"])
            entries += renamed(f"{mine}.norm", f"{his}.norm")
    return entries + _output_norms()


def _transformer_block(mine: str, his: str, qkv_bias: bool) -> list[Entry]:
    parts = ("weight", "bias") if qkv_bias else ("weight",)
    return [
        *renamed(f"{mine}.norm1", f"{his}.norm1"),
        *renamed(f"{mine}.attention.qkv", f"{his}.attn.qkv", parts),
        *renamed(f"{mine}.attention.proj", f"{his}.attn.proj"),
        *renamed(f"{mine}.norm2", f"{his}.norm2"),
        *renamed(f"{mine}.mlp.fc1", f"{his}.mlp.fc1"),
        *renamed(f"{mine}.mlp.fc2", f"{his}.mlp.fc2"),
    ]


def _convnext(config: ConvNextConfig) -> list[Entry]:
    # subtle: the stem is convolution and norm, further downsampling is norm and convolution.
    entries = [
        *renamed("patch_embed.proj", "downsample_layers.0.0"),
        *renamed("patch_embed.norm", "downsample_layers.0.1"),
    ]
    for stage, depth in enumerate(config.depths):
        if stage > 0:
            mine = f"stages.{stage}.downsample"
            entries += renamed(f"{mine}.norm", f"downsample_layers.{stage}.0")
            entries += renamed(f"{mine}.proj", f"downsample_layers.{stage}.1")
        for block in range(depth):
            mine, his = f"stages.{stage}.blocks.{block}", f"stages.{stage}.{block}"
            entries += renamed(f"{mine}.dwconv", f"{his}.dwconv")
            entries += renamed(f"{mine}.norm", f"{his}.norm")
            entries += renamed(f"{mine}.fc1", f"{his}.pwconv1")
            entries += renamed(f"{mine}.fc2", f"{his}.pwconv2")
            if config.layer_scale_init_value > 0:
                entries.append(Entry((f"{mine}.layer_scale",), (f"{his}.gamma",)))
    return entries + _output_norms()


def _resnet(config: ResNetConfig) -> list[Entry]:
    parts = BATCH_NORM if config.frozen_batch_norm else (*BATCH_NORM, COUNTER)

    def conv_norm(conv: str, norm: str, theirs: str) -> list[Entry]:
        return [*renamed(conv, theirs, ["weight"]), *renamed(norm, f"{theirs}.norm", parts)]

    entries = conv_norm("stem.conv", "stem.norm", "stem.conv1")
    for stage, depth in enumerate(config.depths):
        for block in range(depth):
            mine, his = f"stages.{stage}.blocks.{block}", f"res{stage + 2}.{block}"
            for number in (1, 2, 3):
                name = f"conv{number}"
                entries += conv_norm(f"{mine}.{name}", f"{mine}.norm{number}", f"{his}.{name}")
            if block == 0 and has_shortcut(config, stage):
                mine = f"{mine}.shortcut"
                entries += conv_norm(f"{mine}.conv", f"{mine}.norm", f"{his}.shortcut")
    return entries


def _output_norms() -> list[Entry]:
    return [
        entry for stage in range(4) for entry in renamed(f"norms.res{stage + 2}", f"norm{stage}")
    ]
