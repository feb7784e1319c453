"""The configuration of a model is found again in its weights, under both names.

Mutants that must fail: layers and predictions of the decoder confused; the no-object class counted;
a missing text branch reported as trained.
"""

import dataclasses

import pytest
import torch

from minioneformer.checkpoints.infer_config import infer_config, layout_of
from minioneformer.checkpoints.key_table import to_theirs
from minioneformer.checkpoints.official import official_table, to_official
from minioneformer.config import (
    ConvNextConfig,
    DinatConfig,
    OneFormerConfig,
    ResNetConfig,
    SwinConfig,
)
from minioneformer.losses.criterion import Criterion
from minioneformer.model import OneFormer

BACKBONES = {
    "swin": SwinConfig(),
    "swin_large": SwinConfig(
        embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window_size=12
    ),
    "swin_odd": SwinConfig(
        embed_dim=24, depths=(1, 3, 1, 2), num_heads=(2, 3, 4, 6), mlp_ratio=2.5, qkv_bias=False
    ),
    "convnext": ConvNextConfig(layer_scale_init_value=1.0, drop_path_rate=0.4),
    "convnext_without_scale": ConvNextConfig(
        hidden_sizes=(8, 24, 32, 40),
        depths=(1, 2, 3, 1),
        layer_scale_init_value=0.0,
        drop_path_rate=0.4,
    ),
    "dinat": DinatConfig(
        kernel_size=11,
        drop_path_rate=0.3,
        dilations=((1, 20, 1), (1, 5, 1, 10), (1, 2, 1, 3, 1, 4), (1, 2, 1, 2, 1)),
    ),
    "dinat_with_scale": DinatConfig(
        depths=(1, 2, 1, 1),
        drop_path_rate=0.3,
        layer_scale_init_value=1e-5,
        qkv_bias=False,
        dilations=((1,), (1, 2), (1,), (1,)),
    ),
    "resnet": ResNetConfig(),
    "resnet_frozen": ResNetConfig(frozen_batch_norm=True, depths=(3, 4, 23, 3), embedding_size=32),
}


def meta_weights(config: OneFormerConfig) -> dict[str, torch.Tensor]:
    """Shapes of a model, by our names."""
    with torch.device("meta"):
        modules = {
            "model": OneFormer.from_config(config),
            "criterion": Criterion.from_config(config),
        }
    return {
        f"{prefix}.{name}": tensor
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }


@pytest.mark.parametrize("official", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
def test_the_configuration_is_found_again(backbone, official):
    config = OneFormerConfig(backbone_config=backbone, num_labels=133, is_training=True)
    weights = meta_weights(config)
    if official:
        weights = to_theirs(official_table(config), weights)
    assert layout_of(weights) == ("official" if official else "ours")
    dilations = getattr(backbone, "dilations", None)
    assert infer_config(weights, dilations=dilations) == config


@pytest.mark.parametrize(
    "changes",
    [
        {"num_queries": 250, "num_labels": 19},
        {"hidden_dim": 64, "conv_dim": 64, "num_attention_heads": 4, "mask_dim": 32},
        {"encoder_layers": 0},
        {"encoder_layers": 3, "encoder_feedforward_dim": 128, "dim_feedforward": 96},
        {"decoder_layers": 5, "query_dec_layers": 1, "task_seq_len": 50},
        {"text_encoder_n_ctx": 0, "text_encoder_num_layers": 2, "text_encoder_proj_layers": 3},
        {"text_encoder_width": 128, "text_encoder_vocab_size": 99},
        {"text_encoder_context_length": 20},
        {"is_training": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("official", [True, False])
def test_every_size_is_found_again(changes, official):
    base = {"num_labels": 5, "is_training": True}
    swin = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    config = OneFormerConfig(backbone_config=swin, **base | changes)
    weights = meta_weights(config)
    if official:
        weights = to_official(config, weights)
    assert infer_config(weights) == config


def test_dilations_must_be_said():
    config = OneFormerConfig(backbone_config=DinatConfig())
    weights = meta_weights(config)
    message = r"weights of DiNAT do not show its dilations, got .*None: pass one .* \(3, 4, 6, 5\)"
    with pytest.raises(ValueError, match=message):
        infer_config(weights)
    with pytest.raises(ValueError, match="dilations need one step >= 1 per block"):
        infer_config(weights, dilations=((1,), (1,), (1,), (1,)))


def test_only_dinat_has_dilations():
    weights = meta_weights(OneFormerConfig())
    with pytest.raises(ValueError, match=r"only DiNAT has dilations, got dilations=\(\(1,\),\)"):
        infer_config(weights, dilations=((1,),))


def test_a_configuration_can_be_narrowed_afterwards():
    config = infer_config(meta_weights(OneFormerConfig(is_training=True)))
    assert dataclasses.replace(config, is_training=False) == OneFormerConfig()


@pytest.mark.parametrize("name", ["pixel_level_module.x", "model.pixel_level_module.x"])
def test_files_of_transformers_have_their_configuration_beside_them(name):
    assert layout_of({name: torch.ones(1)}) == "huggingface"
    with pytest.raises(ValueError, match="come with a config.json, got names of transformers"):
        infer_config({name: torch.ones(1)})


def test_other_weights_are_refused():
    message = "no weights of a OneFormer, got the names layers.0.weight .*: need a whole model"
    with pytest.raises(ValueError, match=message):
        layout_of({"layers.0.weight": torch.ones(1)})
    with pytest.raises(ValueError, match=message):
        infer_config({"layers.0.weight": torch.ones(1)})


@pytest.mark.parametrize(
    "name",
    [
        "model.query_positions.weight",
        "model.transformer_decoder.heads.class_head.weight",
        "model.pixel_decoder.encoder.0.feed_forward.linear1.weight",
        "model.task_mlp.mlp.layers.0.weight",
        "model.text_mapper.encoder.positional_embedding",
    ],
)
def test_a_missing_tensor_is_named(name):
    weights = meta_weights(OneFormerConfig(is_training=True))
    del weights[name]
    with pytest.raises(ValueError, match=f"gives a size of the model is missing, got no {name}"):
        infer_config(weights)


def test_a_tensor_of_another_shape_is_an_error_of_one_line():
    weights = meta_weights(OneFormerConfig())
    weights["model.query_positions.weight"] = torch.ones(3)
    with pytest.raises(ValueError, match="a tensor that gives a size has another number of axes"):
        infer_config(weights)
