"""The layout of the original files (SHI-Labs, Detectron2).

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

The table is exact for a configuration. Buffers that can be computed are skipped when read and
made when written.

Not here: the backbones (`checkpoints/official_backbones.py`), how files are read and written
(`checkpoints/weight_files.py`), the configuration, which these files do not hold
(`checkpoints/infer_config.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from minioneformer.backbone.windows import relative_position_index
from minioneformer.checkpoints.key_table import (
    Entry,
    in_projection,
    renamed,
    take_ours,
    to_theirs,
)
from minioneformer.checkpoints.official_backbones import COUNTER, official_backbone_entries
from minioneformer.config import OneFormerConfig, SwinConfig

TABLE, INDEX = "relative_position_bias_table", "relative_position_index"
TEXT_BRANCH = ("text_encoder.", "text_projector.", "prompt_ctx.")
HEAD, PREDICTOR = "sem_seg_head.pixel_decoder", "sem_seg_head.predictor"


def official_table(config: OneFormerConfig) -> tuple[Entry, ...]:
    """Our names and the original ones.

    Args:
        config: Of the model; `is_training` says whether the text branch is in the table.

    Returns:
        The entries, each tensor of ours in one.
    """
    return (
        *official_backbone_entries(config.backbone_config),
        *_pixel_decoder(config),
        *_queries(config),
        *_decoder(config),
        *(_text(config) if config.is_training else ()),
        Entry(("criterion.log_inverse_temperature",), ("criterion.logit_scale",)),
        Entry(("criterion.class_weights",), ("criterion.empty_weight",)),
    )


def from_official(
    config: OneFormerConfig, weights: Mapping[str, Tensor], *, allow_unknown: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Give the weights of an original file our names.

    Args:
        config: Of the model.
        weights: By original names.
        allow_unknown: Whether tensors that nothing is known about are skipped too.

    Returns:
        Weights by our names, as far as the file has them; and why each other tensor was skipped,
        by its name.

    Raises:
        ValueError: If nothing is known about a tensor and `allow_unknown` is false, or a tensor
            cannot be cut; it is named.
    """
    return take_ours(
        official_table(config),
        weights,
        lambda name: _skip_reason(config, name),
        allow_unknown=allow_unknown,
    )


def to_official(config: OneFormerConfig, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give our weights the original names.

    Args:
        config: Of the model.
        weights: By our names, of model and criterion.

    Returns:
        By original names; with the index buffers of Swin.

    Raises:
        ValueError: If a tensor is missing, left over, or cannot be joined; it is named.
    """
    result = to_theirs(official_table(config), weights)
    if isinstance(config.backbone_config, SwinConfig):
        # The original model holds it once per block and writes it along.
        index = relative_position_index(config.backbone_config.window_size)
        for name in [name for name in result if name.endswith(TABLE)]:
            result[name.replace(TABLE, INDEX)] = index.clone()
    return result


def _skip_reason(config: OneFormerConfig, name: str) -> str | None:
    if name.endswith(INDEX):
        return "index of the bias table, computed here"
    if name in ("pixel_mean", "pixel_std"):
        return "normalisation of images, a constant here"
    if name.endswith(f".{COUNTER}") and name.startswith("backbone."):
        return "counter that a frozen batch norm does not have"
    if name.startswith(TEXT_BRANCH) and not config.is_training:
        return "text branch, used in training only"
    return None


def _pixel_decoder(config: OneFormerConfig) -> list[Entry]:
    ours, theirs = "model.pixel_decoder", HEAD
    entries = [Entry((f"{ours}.level_embedding",), (f"{theirs}.transformer.level_embed",))]
    for level in range(3):
        for part in ("0", "1"):
            mine, his = f"input_projections.{level}.{part}", f"input_proj.{level}.{part}"
            entries += renamed(f"{ours}.{mine}", f"{theirs}.{his}")
    for layer in range(config.encoder_layers):
        mine, his = f"{ours}.encoder.{layer}", f"{theirs}.transformer.encoder.layers.{layer}"
        for part in ("sampling_offsets", "attention_weights", "value_proj", "output_proj"):
            entries += renamed(f"{mine}.attention.{part}", f"{his}.self_attn.{part}")
        entries += renamed(f"{mine}.attention_norm", f"{his}.norm1")
        entries += renamed(f"{mine}.feed_forward.linear1", f"{his}.linear1")
        entries += renamed(f"{mine}.feed_forward.linear2", f"{his}.linear2")
        entries += renamed(f"{mine}.feed_forward_norm", f"{his}.norm2")
    for mine, his in (("lateral", "adapter_1"), ("output", "layer_1")):
        entries += renamed(f"{ours}.{mine}.0", f"{theirs}.{his}", ["weight"])
        entries += renamed(f"{ours}.{mine}.1", f"{theirs}.{his}.norm")
    return entries + renamed(f"{ours}.mask_projection", f"{theirs}.mask_features")


def _queries(config: OneFormerConfig) -> list[Entry]:
    ours, theirs = "model.query_formulation", f"{PREDICTOR}.class_transformer.decoder"
    entries = [
        *renamed("model.task_mlp.mlp.layers.0", "task_mlp.layers.0"),
        *renamed("model.task_mlp.mlp.layers.1", "task_mlp.layers.1"),
        *renamed("model.query_positions", f"{PREDICTOR}.query_embed", ["weight"]),
        *renamed(f"{ours}.input_projection", f"{PREDICTOR}.class_input_proj"),
        *renamed(f"{ours}.norm", f"{theirs}.norm"),
    ]
    for layer in range(config.query_dec_layers):
        mine, his = f"{ours}.layers.{layer}", f"{theirs}.layers.{layer}"
        entries += in_projection(f"{mine}.self_attention", f"{his}.self_attn")
        entries += in_projection(f"{mine}.cross_attention", f"{his}.multihead_attn")
        entries += renamed(f"{mine}.self_attention_norm", f"{his}.norm1")
        entries += renamed(f"{mine}.cross_attention_norm", f"{his}.norm2")
        entries += renamed(f"{mine}.feed_forward_norm", f"{his}.norm3")
        entries += renamed(f"{mine}.feed_forward.linear1", f"{his}.linear1")
        entries += renamed(f"{mine}.feed_forward.linear2", f"{his}.linear2")
    return entries


def _decoder(config: OneFormerConfig) -> list[Entry]:
    ours, theirs = "model.transformer_decoder", PREDICTOR
    heads = f"{ours}.heads"
    entries = [
        *renamed(f"{ours}.level_embedding", f"{theirs}.level_embed", ["weight"]),
        *renamed(f"{heads}.norm", f"{theirs}.decoder_norm"),
        *renamed(f"{heads}.class_head", f"{theirs}.class_embed"),
    ]
    for depth in range(3):
        entries += renamed(
            f"{heads}.mask_head.layers.{depth}", f"{theirs}.mask_embed.layers.{depth}"
        )
    for layer in range(config.num_decoder_layers):
        mine = f"{ours}.layers.{layer}"
        cross = f"{theirs}.transformer_cross_attention_layers.{layer}"
        own = f"{theirs}.transformer_self_attention_layers.{layer}"
        feed_forward = f"{theirs}.transformer_ffn_layers.{layer}"
        entries += in_projection(f"{mine}.cross_attention", f"{cross}.multihead_attn")
        entries += renamed(f"{mine}.cross_attention_norm", f"{cross}.norm")
        entries += in_projection(f"{mine}.self_attention", f"{own}.self_attn")
        entries += renamed(f"{mine}.self_attention_norm", f"{own}.norm")
        entries += renamed(f"{mine}.feed_forward.linear1", f"{feed_forward}.linear1")
        entries += renamed(f"{mine}.feed_forward.linear2", f"{feed_forward}.linear2")
        entries += renamed(f"{mine}.feed_forward_norm", f"{feed_forward}.norm")
    return entries


def _text(config: OneFormerConfig) -> list[Entry]:
    ours, theirs = "model.text_mapper.encoder", "text_encoder"
    entries = [
        *renamed(ours, theirs, ["positional_embedding"]),
        *renamed(f"{ours}.token_embedding", f"{theirs}.token_embedding", ["weight"]),
        *renamed(f"{ours}.final_norm", f"{theirs}.ln_final"),
    ]
    for layer in range(config.text_encoder_num_layers):
        mine, his = f"{ours}.layers.{layer}", f"{theirs}.transformer.resblocks.{layer}"
        entries += renamed(f"{mine}.attention", f"{his}.attn", ["in_proj_weight", "in_proj_bias"])
        entries += renamed(f"{mine}.attention.out_proj", f"{his}.attn.out_proj")
        entries += renamed(f"{mine}.norm1", f"{his}.ln_1")
        entries += renamed(f"{mine}.norm2", f"{his}.ln_2")
        entries += renamed(f"{mine}.mlp.fc1", f"{his}.mlp.c_fc")
        entries += renamed(f"{mine}.mlp.fc2", f"{his}.mlp.c_proj")
    for layer in range(config.text_encoder_proj_layers):
        mine = f"model.text_mapper.projector.layers.{layer}"
        entries += renamed(mine, f"text_projector.layers.{layer}")
    if config.text_encoder_n_ctx > 0:
        entries += renamed("model.text_mapper.text_context", "prompt_ctx", ["weight"])
    return entries
