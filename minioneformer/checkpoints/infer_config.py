"""The configuration of a model whose file holds nothing but weights.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Sizes are read from the shapes of tensors and depths from their names. What leaves no trace in
weights has the value of the published models; dilations have several, so they must be given.

Not here: configurations in files (`config/`), the published models (`presets/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from torch import Tensor

from minioneformer.checkpoints.infer_backbone import (
    OFFICIAL,
    OURS,
    BackboneNames,
    Dilations,
    Shapes,
    count_numbers,
    infer_backbone,
)
from minioneformer.config import OneFormerConfig

Layout: TypeAlias = Literal["ours", "official", "huggingface"]

SIGNS: Mapping[Layout, tuple[str, ...]] = {
    "ours": ("model.pixel_decoder.",),
    "official": ("sem_seg_head.",),
    # Files of the bare model lack the prefix.
    "huggingface": ("model.pixel_level_module.", "pixel_level_module."),
}
LEVELS_TIMES_POINTS = 12  # of the deformable attention: a head weighs so many samples
HEADS, ENCODER_HIDDEN = 8, 1024  # of the published models; without encoder nothing shows them
TEXT_CONTEXT = 16  # of the published models; without text branch nothing shows it


@dataclass(frozen=True, kw_only=True)
class _Names:
    """Where a layout has what is looked at; numbers of layers follow the beginnings."""

    classes: str = "sem_seg_head.predictor.class_embed.weight"
    queries: str = "sem_seg_head.predictor.query_embed.weight"
    mask_features: str = "sem_seg_head.pixel_decoder.mask_features.weight"
    encoder: str = "sem_seg_head.pixel_decoder.transformer.encoder.layers."
    encoder_hidden: str = "linear1.weight"
    encoder_weights: str = "self_attn.attention_weights.weight"
    query_layers: str = "sem_seg_head.predictor.class_transformer.decoder.layers."
    query_hidden: str = "linear1.weight"
    decoder: str = "sem_seg_head.predictor.transformer_ffn_layers."
    task: str = "task_mlp.layers.0.weight"
    tokens: str = "text_encoder.token_embedding.weight"
    positions: str = "text_encoder.positional_embedding"
    text_layers: str = "text_encoder.transformer.resblocks."
    projector: str = "text_projector.layers."
    context: str = "prompt_ctx.weight"
    backbone: str = "backbone."
    backbone_names: BackboneNames = OFFICIAL


NAMES: Mapping[Layout, _Names] = {
    "official": _Names(),
    "ours": _Names(
        classes="model.transformer_decoder.heads.class_head.weight",
        queries="model.query_positions.weight",
        mask_features="model.pixel_decoder.mask_projection.weight",
        encoder="model.pixel_decoder.encoder.",
        encoder_hidden="feed_forward.linear1.weight",
        encoder_weights="attention.attention_weights.weight",
        query_layers="model.query_formulation.layers.",
        query_hidden="feed_forward.linear1.weight",
        decoder="model.transformer_decoder.layers.",
        task="model.task_mlp.mlp.layers.0.weight",
        tokens="model.text_mapper.encoder.token_embedding.weight",
        positions="model.text_mapper.encoder.positional_embedding",
        text_layers="model.text_mapper.encoder.layers.",
        projector="model.text_mapper.projector.layers.",
        context="model.text_mapper.text_context.weight",
        backbone="model.backbone.",
        backbone_names=OURS,
    ),
}


def layout_of(weights: Mapping[str, Tensor]) -> Layout:
    """Tell whose names weights have.

    Args:
        weights: Of a whole model.

    Returns:
        The layout.

    Raises:
        ValueError: If the names are of no layout.
    """
    for layout, signs in SIGNS.items():
        if any(name.startswith(signs) for name in weights):
            return layout
    raise ValueError(
        "these are no weights of a OneFormer, got the names "
        f"{', '.join(list(weights)[:3])} ...: need a whole model and not a backbone alone."
    )


def infer_config(
    weights: Mapping[str, Tensor], *, dilations: Dilations | None = None
) -> OneFormerConfig:
    """Read sizes and depths from weights.

    Args:
        weights: Of a whole model by original names or by ours.
        dilations: Of DiNAT: one step per block, by stage. Other backbones have none.

    Returns:
        The configuration; classes are named "LABEL_0", "LABEL_1" ..., and `is_training` says
        whether there is a text branch. What no weight shows is as published: drop path rates, a
        text head per 64 channels, and 8 heads where no deformable encoder shows them.

    Raises:
        ValueError: If the names are of another layout, tensors that give a size are missing or
            have other axes, the backbone is none of the four, or `dilations` are missing for a
            DiNAT or given for another backbone.
    """
    layout = layout_of(weights)
    if layout == "huggingface":
        raise ValueError(
            "weights of this layout come with a config.json, got names of transformers: read it "
            "from there."
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    try:
        return _infer(NAMES[layout], shapes, dilations)
    except KeyError as error:
        raise ValueError(
            f"a tensor that gives a size of the model is missing, got no {error.args[0]}."
        ) from error
    except IndexError as error:
        raise ValueError(
            "a tensor that gives a size has another number of axes than in a model: the file is "
            "not of a OneFormer."
        ) from error


def _infer(names: _Names, shapes: Shapes, dilations: Dilations | None) -> OneFormerConfig:
    mask_features, queries = shapes[names.mask_features], shapes[names.queries]
    encoder_layers = count_numbers(shapes, names.encoder)
    num_heads, encoder_hidden = HEADS, ENCODER_HIDDEN
    if encoder_layers:
        samples = shapes[f"{names.encoder}0.{names.encoder_weights}"][0]
        num_heads = samples // LEVELS_TIMES_POINTS
        encoder_hidden = shapes[f"{names.encoder}0.{names.encoder_hidden}"][0]
    backbone = {
        name.removeprefix(names.backbone): shape
        for name, shape in shapes.items()
        if name.startswith(names.backbone)
    }
    return OneFormerConfig(
        backbone_config=infer_backbone(backbone, names.backbone_names, dilations),
        num_labels=shapes[names.classes][0] - 1,
        num_queries=queries[0],
        hidden_dim=queries[1],
        conv_dim=mask_features[1],
        mask_dim=mask_features[0],
        encoder_layers=encoder_layers,
        encoder_feedforward_dim=encoder_hidden,
        num_attention_heads=num_heads,
        query_dec_layers=count_numbers(shapes, names.query_layers),
        dim_feedforward=shapes[f"{names.query_layers}0.{names.query_hidden}"][0],
        decoder_layers=count_numbers(shapes, names.decoder) + 1,
        task_seq_len=shapes[names.task][1],
        **_text_fields(names, shapes),
    )


def _text_fields(names: _Names, shapes: Shapes) -> dict[str, Any]:
    if names.tokens not in shapes:
        # a model with few queries has no room for the published number of context rows
        return {"text_encoder_n_ctx": min(TEXT_CONTEXT, shapes[names.queries][0] - 1)}
    tokens = shapes[names.tokens]
    return {
        "is_training": True,
        "text_encoder_vocab_size": tokens[0],
        "text_encoder_width": tokens[1],
        "text_encoder_context_length": shapes[names.positions][0],
        "text_encoder_num_layers": count_numbers(shapes, names.text_layers),
        "text_encoder_proj_layers": count_numbers(shapes, names.projector),
        "text_encoder_n_ctx": shapes[names.context][0] if names.context in shapes else 0,
    }
