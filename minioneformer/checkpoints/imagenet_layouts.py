"""How others name the tensors of a backbone that classifies ImageNet.

Paper: not in OneFormer (arXiv 2211.06220), whose backbones start from such files (Sec. 4.1); not
drawn in Figure 2.

All of them hold the same tensors in the same order: query, key and value are fused, patch merging
takes its four cells column by column. Only names differ, and where the step down to the next stage
is counted.

Not here: reading such files (`checkpoints/imagenet.py`); names of backbones inside files of
OneFormer (`checkpoints/official.py`, `checkpoints/huggingface.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from minioneformer.checkpoints.key_table import Entry
from minioneformer.config import BackboneConfig, ConvNextConfig


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Names of modules, ours to theirs.

    Args:
        stem: Of what comes before the stages.
        block: Their name of a block, with "{stage}" and "{block}" counted from 0, "{after}" for
            the stage plus 1, "{res}" for the stage plus 2, "{odd}" and "{even}" for twice the
            stage plus 1 and plus 2.
        in_block: Of the parts of a block.
        step: Their name of the step from a stage to the next; likewise.
        in_step: Of the parts of that step.
    """

    stem: Mapping[str, str]
    block: str
    in_block: Mapping[str, str]
    step: str = ""
    in_step: Mapping[str, str] = field(default_factory=dict)


_PATCHES = {"patch_embed.proj": "patch_embed.proj", "patch_embed.norm": "patch_embed.norm"}
_SWIN_BLOCK = {
    "norm1": "norm1",
    "attention.qkv": "attn.qkv",
    "attention.proj": "attn.proj",
    "attention.relative_position_bias_table": "attn.relative_position_bias_table",
    "norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_MERGING = {"norm": "norm", "reduction": "reduction"}
_STEP = {"norm": "0", "proj": "1"}

LAYOUTS: Mapping[str, Mapping[str, Layout]] = MappingProxyType(
    {
        "swin": {
            "official": Layout(
                stem=_PATCHES,
                block="layers.{stage}.blocks.{block}",
                in_block=_SWIN_BLOCK,
                step="layers.{stage}.downsample",
                in_step=_MERGING,
            ),
            "timm": Layout(
                stem=_PATCHES,
                block="layers.{stage}.blocks.{block}",
                in_block=_SWIN_BLOCK,
                step="layers.{after}.downsample",  # subtle: at the start of the next stage
                in_step=_MERGING,
            ),
            "torchvision": Layout(
                stem={"patch_embed.proj": "features.0.0", "patch_embed.norm": "features.0.2"},
                block="features.{odd}.{block}",
                in_block=_SWIN_BLOCK | {"mlp.fc1": "mlp.0", "mlp.fc2": "mlp.3"},
                step="features.{even}",
                in_step=_MERGING,
            ),
        },
        "convnext": {
            "official": Layout(
                stem={
                    "patch_embed.proj": "downsample_layers.0.0",
                    "patch_embed.norm": "downsample_layers.0.1",
                },
                block="stages.{stage}.{block}",
                in_block={
                    "dwconv": "dwconv",
                    "norm": "norm",
                    "fc1": "pwconv1",
                    "fc2": "pwconv2",
                    "layer_scale": "gamma",
                },
                step="downsample_layers.{after}",
                in_step=_STEP,
            ),
            "timm": Layout(
                stem={"patch_embed.proj": "stem.0", "patch_embed.norm": "stem.1"},
                block="stages.{stage}.blocks.{block}",
                in_block={
                    "dwconv": "conv_dw",
                    "norm": "norm",
                    "fc1": "mlp.fc1",
                    "fc2": "mlp.fc2",
                    "layer_scale": "gamma",
                },
                step="stages.{after}.downsample",
                in_step=_STEP,
            ),
            "torchvision": Layout(
                stem={"patch_embed.proj": "features.0.0", "patch_embed.norm": "features.0.1"},
                block="features.{odd}.{block}",
                in_block={
                    "dwconv": "block.0",
                    "norm": "block.2",
                    "fc1": "block.3",
                    "fc2": "block.5",
                    "layer_scale": "layer_scale",
                },
                step="features.{even}",
                in_step=_STEP,
            ),
        },
        "dinat": {
            "official": Layout(
                stem={
                    "patch_embed.conv1": "patch_embed.proj.0",
                    "patch_embed.conv2": "patch_embed.proj.1",
                    "patch_embed.norm": "patch_embed.norm",
                },
                block="levels.{stage}.blocks.{block}",
                in_block={
                    "norm1": "norm1",
                    "attention.qkv": "attn.qkv",
                    "attention.proj": "attn.proj",
                    "attention.relative_position_bias": "attn.rpb",
                    "norm2": "norm2",
                    "mlp.fc1": "mlp.fc1",
                    "mlp.fc2": "mlp.fc2",
                    "attention_scale": "gamma1",
                    "mlp_scale": "gamma2",
                },
                step="levels.{stage}.downsample",
                in_step=_MERGING,
            ),
        },
        "resnet": {
            "torchvision": Layout(
                stem={"stem.conv": "conv1", "stem.norm": "bn1"},
                block="layer{after}.{block}",
                in_block={
                    **{f"conv{i}": f"conv{i}" for i in (1, 2, 3)},
                    **{f"norm{i}": f"bn{i}" for i in (1, 2, 3)},
                    "shortcut.conv": "downsample.0",
                    "shortcut.norm": "downsample.1",
                },
            ),
            "detectron2": Layout(
                stem={"stem.conv": "stem.conv1", "stem.norm": "stem.conv1.norm"},
                block="res{res}.{block}",
                in_block={
                    **{f"conv{i}": f"conv{i}" for i in (1, 2, 3)},
                    **{f"norm{i}": f"conv{i}.norm" for i in (1, 2, 3)},
                    "shortcut.conv": "shortcut",
                    "shortcut.norm": "shortcut.norm",
                },
            ),
        },
    }
)


def layouts_of(config: BackboneConfig) -> Mapping[str, Layout]:
    """The known layouts of a backbone, by name.

    Args:
        config: Of the backbone.

    Returns:
        "official" is that of the authors of the backbone; timm names ResNets as torchvision does.
    """
    layouts = LAYOUTS[config.model_type]
    if config.model_type == "resnet":
        return {**layouts, "timm": layouts["torchvision"]}
    return layouts


def imagenet_table(config: BackboneConfig, layout: Layout, names: Iterable[str]) -> list[Entry]:
    """The key table of a backbone.

    Args:
        config: Of the backbone.
        layout: Of the other side.
        names: Of our tensors.

    Returns:
        One entry per tensor that such a file holds: all but those of the output norms.
    """
    modules = _modules(config, layout)
    entries = []
    for name in names:
        module, _, part = name.rpartition(".")
        if name in modules:  # a parameter of a block itself
            entries.append(Entry((name,), (modules[name],)))
        elif module in modules:
            entries.append(Entry((name,), (f"{modules[module]}.{part}",)))
    return entries


def _modules(config: BackboneConfig, layout: Layout) -> dict[str, str]:
    """Every module of ours that has tensors, and its name there."""
    modules = dict(layout.stem)
    for stage, depth in enumerate(config.depths):
        counted = {"stage": stage, "after": stage + 1, "res": stage + 2}
        counted |= {"odd": 2 * stage + 1, "even": 2 * stage + 2}
        for block in range(depth):
            theirs = layout.block.format(block=block, **counted)
            modules |= _parts(f"stages.{stage}.blocks.{block}", theirs, layout.in_block)
        if stage + 1 < len(config.depths):
            owner = stage + 1 if isinstance(config, ConvNextConfig) else stage
            step = layout.step.format(**counted)
            modules |= _parts(f"stages.{owner}.downsample", step, layout.in_step)
    return modules


def _parts(ours: str, theirs: str, parts: Mapping[str, str]) -> dict[str, str]:
    return {f"{ours}.{part}": f"{theirs}.{name}" for part, name in parts.items()}
