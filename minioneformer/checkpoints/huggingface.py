"""The layout of published Hugging Face files: names of transformers, on disk.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

The table is exact for a configuration. What is read may also have the names that transformers 5
uses in memory, lack the criterion and the prefix of the whole model (a file of the bare model), or
hold buffers of older versions; what is written has the names and tensors of transformers 5.

Not here: the backbones (`checkpoints/huggingface_backbones.py`), how files are read and written
(`checkpoints/weight_files.py`), the configuration (`config/`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from minioneformer.checkpoints.huggingface_backbones import (
    COUNTER,
    THEIR_BACKBONE,
    backbone_entries,
)
from minioneformer.checkpoints.key_table import (
    Entry,
    in_projection,
    renamed,
    take_ours,
    to_theirs,
)
from minioneformer.config import OneFormerConfig, ResNetConfig, SwinConfig

UNUSED_NORM = f"{THEIR_BACKBONE}.swin.layernorm"

# In the order of application: names in memory of transformers 5 to names on disk.
IN_MEMORY = (
    (r"\.swin\.(?!layernorm\.)", "."),
    (r"\.relative_position_bias\.(?=relative_position_bias_table$)", "."),
    (r"\.attention\.(?=relative_position_bias_table$)", ".attention.self."),
    (r"\.attention\.q_proj\.", ".attention.self.query."),
    (r"\.attention\.k_proj\.", ".attention.self.key."),
    (r"\.attention\.v_proj\.", ".attention.self.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)


def huggingface_table(config: OneFormerConfig) -> tuple[Entry, ...]:
    """Our names and those on disk of `OneFormerForUniversalSegmentation`.

    Args:
        config: Of the model; `is_training` says whether the text branch is in the table.

    Returns:
        The entries, each tensor of ours in one.
    """
    return (
        *backbone_entries(config.backbone_config),
        *_pixel_decoder(config),
        *_queries(config),
        *_decoder(config),
        *(_text(config) if config.is_training else ()),
        Entry(("criterion.log_inverse_temperature",), ("criterion.logit_scale",)),
        Entry(("criterion.class_weights",), ("criterion.empty_weight",)),
    )


def from_huggingface(
    config: OneFormerConfig, weights: Mapping[str, Tensor], *, allow_unknown: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Give the weights of a file our names.

    Args:
        config: Of the model.
        weights: By names of transformers: on disk or in memory, of
            `OneFormerForUniversalSegmentation` or of `OneFormerModel`.
        allow_unknown: Whether tensors that nothing is known about are skipped too.

    Returns:
        Weights by our names, as far as the file has them; and why each other tensor was skipped,
        by its name on disk.

    Raises:
        ValueError: If two names stand for one tensor, nothing is known about a tensor and
            `allow_unknown` is false, or a fused tensor is there in part; they are named.
    """
    on_disk: dict[str, Tensor] = {}
    bare = not any(name.startswith("model.") for name in weights)
    for name, tensor in weights.items():
        new = _name_on_disk(name, bare)
        if new in on_disk:
            raise ValueError(f"two tensors of the file are the same, got {name!r} for {new!r}.")
        on_disk[new] = tensor
    return take_ours(
        huggingface_table(config),
        on_disk,
        lambda name: _skip_reason(config, name),
        allow_unknown=allow_unknown,
    )


def to_huggingface(config: OneFormerConfig, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give our weights the names that transformers writes and reads.

    Args:
        config: Of the model.
        weights: By our names, of model and criterion.

    Returns:
        By names on disk; with the tensors that transformers has and never uses.

    Raises:
        ValueError: If a tensor is missing, left over, or cannot be cut or joined; it is named.

    Fidelity:
        transformers 5 gives Swin a last norm that nothing applies, and misses it in files; it is
        written as ones and zeros.
    """
    result = to_theirs(huggingface_table(config), weights)
    backbone = config.backbone_config
    if isinstance(backbone, SwinConfig):
        like = result[f"{THEIR_BACKBONE}.hidden_states_norms.stage4.weight"]
        result[f"{UNUSED_NORM}.weight"] = torch.ones_like(like)
        result[f"{UNUSED_NORM}.bias"] = torch.zeros_like(like)
    if isinstance(backbone, ResNetConfig) and backbone.frozen_batch_norm:
        norms = [name for name in result if name.endswith(".running_mean")]
        for name in norms:
            result[name.replace("running_mean", COUNTER)] = torch.zeros((), dtype=torch.int64)
    return result


def _name_on_disk(name: str, bare: bool) -> str:
    if bare and not name.startswith("criterion."):
        name = f"model.{name}"
    if name.startswith(THEIR_BACKBONE):
        for pattern, replacement in IN_MEMORY:
            name = re.sub(pattern, replacement, name)
    return name


def _skip_reason(config: OneFormerConfig, name: str) -> str | None:
    if name.endswith("relative_position_index"):
        return "index of the bias table, computed here"
    if re.match(rf"{re.escape(THEIR_BACKBONE)}\.(swin\.)?layernorm\.", name):
        return "norm that the backbone never applies"
    if name.endswith(f".{COUNTER}") and name.startswith(THEIR_BACKBONE):
        return "counter that a frozen batch norm does not have"
    if name.startswith("model.text_mapper.") and not config.is_training:
        return "text branch, used in training only"
    return None


def _pixel_decoder(config: OneFormerConfig) -> list[Entry]:
    ours, theirs = "model.pixel_decoder", "model.pixel_level_module.decoder"
    entries = [Entry((f"{ours}.level_embedding",), (f"{theirs}.level_embed",))]
    for level in range(3):
        for part in ("0", "1"):
            name = f"input_projections.{level}.{part}"
            entries += renamed(f"{ours}.{name}", f"{theirs}.{name}")
    for layer in range(config.encoder_layers):
        mine, his = f"{ours}.encoder.{layer}", f"{theirs}.encoder.layers.{layer}"
        for part in ("sampling_offsets", "attention_weights", "value_proj", "output_proj"):
            entries += renamed(f"{mine}.attention.{part}", f"{his}.self_attn.{part}")
        entries += renamed(f"{mine}.attention_norm", f"{his}.self_attn_layer_norm")
        entries += renamed(f"{mine}.feed_forward.linear1", f"{his}.fc1")
        entries += renamed(f"{mine}.feed_forward.linear2", f"{his}.fc2")
        entries += renamed(f"{mine}.feed_forward_norm", f"{his}.final_layer_norm")
    for mine, his in (("lateral", "adapter_1"), ("output", "layer_1")):
        entries += renamed(f"{ours}.{mine}.0", f"{theirs}.{his}.0", ["weight"])
        entries += renamed(f"{ours}.{mine}.1", f"{theirs}.{his}.1")
    return entries + renamed(f"{ours}.mask_projection", f"{theirs}.mask_projection")


def _queries(config: OneFormerConfig) -> list[Entry]:
    ours, theirs = "model.query_formulation", "model.transformer_module.decoder"
    entries = [
        *renamed("model.task_mlp.mlp.layers.0", "model.task_encoder.task_mlp.layers.0.0"),
        *renamed("model.task_mlp.mlp.layers.1", "model.task_encoder.task_mlp.layers.1.0"),
        *renamed("model.query_positions", "model.transformer_module.queries_embedder", ["weight"]),
        *renamed(f"{ours}.input_projection", f"{theirs}.query_input_projection"),
        *renamed(f"{ours}.norm", f"{theirs}.query_transformer.decoder.norm"),
    ]
    for layer in range(config.query_dec_layers):
        mine = f"{ours}.layers.{layer}"
        his = f"{theirs}.query_transformer.decoder.layers.{layer}"
        entries += in_projection(f"{mine}.self_attention", f"{his}.self_attn")
        entries += in_projection(f"{mine}.cross_attention", f"{his}.multihead_attn")
        entries += renamed(f"{mine}.self_attention_norm", f"{his}.norm1")
        entries += renamed(f"{mine}.cross_attention_norm", f"{his}.norm2")
        entries += renamed(f"{mine}.feed_forward_norm", f"{his}.norm3")
        entries += renamed(f"{mine}.feed_forward.linear1", f"{his}.linear1")
        entries += renamed(f"{mine}.feed_forward.linear2", f"{his}.linear2")
    return entries


def _decoder(config: OneFormerConfig) -> list[Entry]:
    ours, theirs = "model.transformer_decoder", "model.transformer_module"
    heads = f"{ours}.heads"
    entries = [
        *renamed(f"{ours}.level_embedding", f"{theirs}.level_embed", ["weight"]),
        *renamed(f"{heads}.norm", f"{theirs}.decoder.decoder_norm"),
        *renamed(f"{heads}.class_head", f"{theirs}.decoder.class_embed"),
    ]
    for depth in range(3):
        his = f"{theirs}.decoder.mask_embed.layers.{depth}.0"
        entries += renamed(f"{heads}.mask_head.layers.{depth}", his)
    for layer in range(config.num_decoder_layers):
        mine, his = f"{ours}.layers.{layer}", f"{theirs}.decoder.layers.{layer}"
        entries += in_projection(f"{mine}.cross_attention", f"{his}.cross_attn.multihead_attn")
        entries += renamed(f"{mine}.cross_attention_norm", f"{his}.cross_attn.norm")
        inner = f"{his}.self_attn.self_attn"
        for old, new in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "out")):
            entries += renamed(f"{mine}.self_attention.{old}_proj", f"{inner}.{new}_proj")
        entries += renamed(f"{mine}.self_attention_norm", f"{his}.self_attn.norm")
        entries += renamed(f"{mine}.feed_forward.linear1", f"{his}.ffn.linear1")
        entries += renamed(f"{mine}.feed_forward.linear2", f"{his}.ffn.linear2")
        entries += renamed(f"{mine}.feed_forward_norm", f"{his}.ffn.norm")
    return entries


def _text(config: OneFormerConfig) -> list[Entry]:
    ours, theirs = "model.text_mapper", "model.text_mapper"
    encoder = f"{theirs}.text_encoder"
    entries = [
        *renamed(f"{ours}.encoder", encoder, ["positional_embedding"]),
        *renamed(f"{ours}.encoder.token_embedding", f"{encoder}.token_embedding", ["weight"]),
        *renamed(f"{ours}.encoder.final_norm", f"{encoder}.ln_final"),
    ]
    for layer in range(config.text_encoder_num_layers):
        mine, his = f"{ours}.encoder.layers.{layer}", f"{encoder}.transformer.layers.{layer}"
        fused_parts = ["in_proj_weight", "in_proj_bias"]
        entries += renamed(f"{mine}.attention", f"{his}.self_attn", fused_parts)
        entries += renamed(f"{mine}.attention.out_proj", f"{his}.self_attn.out_proj")
        entries += renamed(f"{mine}.norm1", f"{his}.layer_norm1")
        entries += renamed(f"{mine}.norm2", f"{his}.layer_norm2")
        entries += renamed(f"{mine}.mlp.fc1", f"{his}.mlp.fc1")
        entries += renamed(f"{mine}.mlp.fc2", f"{his}.mlp.fc2")
    for layer in range(config.text_encoder_proj_layers):
        his = f"{theirs}.text_projector.layers.{layer}.0"
        entries += renamed(f"{ours}.projector.layers.{layer}", his)
    if config.text_encoder_n_ctx > 0:
        entries += renamed(f"{ours}.text_context", f"{theirs}.prompt_ctx", ["weight"])
    return entries
