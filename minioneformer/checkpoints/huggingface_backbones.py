"""The backbones in the layout of published Hugging Face files.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: the rest of the model, and reading and writing (`checkpoints/huggingface.py`).
"""

from __future__ import annotations

from minioneformer.checkpoints.key_table import Entry, fused, renamed
from minioneformer.config import (
    BackboneConfig,
    ConvNextConfig,
    DinatConfig,
    ResNetConfig,
    SwinConfig,
)

OUR_BACKBONE, THEIR_BACKBONE = "model.backbone", "model.pixel_level_module.encoder"
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
COUNTER = "num_batches_tracked"  # of a batch norm that learns


def backbone_entries(config: BackboneConfig) -> list[Entry]:
    """Our names and those of transformers, on disk.

    Args:
        config: Of the backbone.

    Returns:
        The entries, each tensor of our backbone in one.
    """
    if isinstance(config, SwinConfig):
        return _swin(config)
    if isinstance(config, DinatConfig):
        return _dinat(config)
    if isinstance(config, ConvNextConfig):
        return _convnext(config)
    return _resnet(config)


def _swin(config: SwinConfig) -> list[Entry]:
    ours, theirs = OUR_BACKBONE, THEIR_BACKBONE
    entries = [
        *renamed(f"{ours}.patch_embed.proj", f"{theirs}.embeddings.patch_embeddings.projection"),
        *renamed(f"{ours}.patch_embed.norm", f"{theirs}.embeddings.norm"),
    ]
    for stage, depth in enumerate(config.depths):
        for block in range(depth):
            mine = f"{ours}.stages.{stage}.blocks.{block}"
            his = f"{theirs}.encoder.layers.{stage}.blocks.{block}"
            table = ["relative_position_bias_table"]
            entries += renamed(f"{mine}.attention", f"{his}.attention.self", table)
            entries += _transformer_block(mine, his, config.qkv_bias)
        if stage < len(config.depths) - 1:
            mine, his = (f"{ours}.stages.{stage}", f"{theirs}.encoder.layers.{stage}")
            entries += renamed(f"{mine}.downsample.norm", f"{his}.downsample.norm")
            entries += renamed(
                f"{mine}.downsample.reduction", f"{his}.downsample.reduction", ["weight"]
            )
    return entries + _output_norms()


def _dinat(config: DinatConfig) -> list[Entry]:
    ours, theirs = OUR_BACKBONE, THEIR_BACKBONE
    projection = f"{theirs}.embeddings.patch_embeddings.projection"
    entries = [
        *renamed(f"{ours}.patch_embed.conv1", f"{projection}.0"),
        *renamed(f"{ours}.patch_embed.conv2", f"{projection}.1"),
        *renamed(f"{ours}.patch_embed.norm", f"{theirs}.embeddings.norm"),
    ]
    for stage, depth in enumerate(config.depths):
        mine, his = f"{ours}.stages.{stage}", f"{theirs}.encoder.levels.{stage}"
        for block in range(depth):
            entries += _dinat_block(config, f"{mine}.blocks.{block}", f"{his}.layers.{block}")
        if stage < len(config.depths) - 1:
            entries += renamed(
                f"{mine}.downsample.reduction", f"{his}.downsample.reduction", ["weight"]
            )
            entries += renamed(f"{mine}.downsample.norm", f"{his}.downsample.norm")
    return entries + _output_norms()


def _dinat_block(config: DinatConfig, mine: str, his: str) -> list[Entry]:
    bias = Entry((f"{mine}.attention.relative_position_bias",), (f"{his}.attention.self.rpb",))
    entries = [bias, *_transformer_block(mine, his, config.qkv_bias)]
    if config.layer_scale_init_value > 0:
        scales = (f"{mine}.attention_scale", f"{mine}.mlp_scale")
        entries.append(Entry(scales, (f"{his}.layer_scale_parameters",), stacked=True))
    return entries


def _transformer_block(mine: str, his: str, qkv_bias: bool) -> list[Entry]:
    parts = ("weight", "bias") if qkv_bias else ("weight",)
    projections = [f"{his}.attention.self.{name}" for name in ("query", "key", "value")]
    return [
        *renamed(f"{mine}.norm1", f"{his}.layernorm_before"),
        *fused([f"{mine}.attention.qkv"], projections, parts),
        *renamed(f"{mine}.attention.proj", f"{his}.attention.output.dense"),
        *renamed(f"{mine}.norm2", f"{his}.layernorm_after"),
        *renamed(f"{mine}.mlp.fc1", f"{his}.intermediate.dense"),
        *renamed(f"{mine}.mlp.fc2", f"{his}.output.dense"),
    ]


def _convnext(config: ConvNextConfig) -> list[Entry]:
    ours, theirs = OUR_BACKBONE, THEIR_BACKBONE
    entries = [
        *renamed(f"{ours}.patch_embed.proj", f"{theirs}.embeddings.patch_embeddings"),
        *renamed(f"{ours}.patch_embed.norm", f"{theirs}.embeddings.layernorm"),
    ]
    for stage, depth in enumerate(config.depths):
        mine, his = f"{ours}.stages.{stage}", f"{theirs}.encoder.stages.{stage}"
        if stage > 0:
            entries += renamed(f"{mine}.downsample.norm", f"{his}.downsampling_layer.0")
            entries += renamed(f"{mine}.downsample.proj", f"{his}.downsampling_layer.1")
        for block in range(depth):
            old, new = f"{mine}.blocks.{block}", f"{his}.layers.{block}"
            entries += renamed(f"{old}.dwconv", f"{new}.dwconv")
            entries += renamed(f"{old}.norm", f"{new}.layernorm")
            entries += renamed(f"{old}.fc1", f"{new}.pwconv1")
            entries += renamed(f"{old}.fc2", f"{new}.pwconv2")
            if config.layer_scale_init_value > 0:
                entries.append(Entry((f"{old}.layer_scale",), (f"{new}.layer_scale_parameter",)))
    return entries + _output_norms()


def _resnet(config: ResNetConfig) -> list[Entry]:
    parts = BATCH_NORM if config.frozen_batch_norm else (*BATCH_NORM, COUNTER)

    def conv_norm(conv: str, norm: str, theirs: str) -> list[Entry]:
        his = f"{THEIR_BACKBONE}.{theirs}"
        return [
            *renamed(f"{OUR_BACKBONE}.{conv}", f"{his}.convolution", ["weight"]),
            *renamed(f"{OUR_BACKBONE}.{norm}", f"{his}.normalization", parts),
        ]

    entries = conv_norm("stem.conv", "stem.norm", "embedder.embedder")
    for stage, depth in enumerate(config.depths):
        for block in range(depth):
            mine, his = f"stages.{stage}.blocks.{block}", f"encoder.stages.{stage}.layers.{block}"
            for conv in (1, 2, 3):
                entries += conv_norm(
                    f"{mine}.conv{conv}", f"{mine}.norm{conv}", f"{his}.layer.{conv - 1}"
                )
            if block == 0 and has_shortcut(config, stage):
                shortcut = f"{mine}.shortcut"
                entries += conv_norm(f"{shortcut}.conv", f"{shortcut}.norm", f"{his}.shortcut")
    return entries


def has_shortcut(config: ResNetConfig, stage: int) -> bool:
    """Whether the first block of a stage has a convolution beside its main path.

    Args:
        config: Of the backbone.
        stage: 0 to 3; all but the first halve the map.

    Returns:
        False where the input can be added as it is.
    """
    return stage > 0 or config.embedding_size != config.hidden_sizes[0]


def _output_norms() -> list[Entry]:
    return [
        entry
        for stage in range(4)
        for entry in renamed(
            f"{OUR_BACKBONE}.norms.res{stage + 2}",
            f"{THEIR_BACKBONE}.hidden_states_norms.stage{stage + 1}",
        )
    ]
