"""The configuration: what is in it is used, what is not is refused.

Mutants that must fail: a field not passed on (epsilon of the text encoder, dropout of the
queries); layers of the decoder not reduced by one; a list left a list; keys of `id2label` left
strings.
"""

import dataclasses
import json

import pytest
import torch
from torch import nn

from minioneformer.config import (
    BACKBONES,
    ConvNextConfig,
    DinatConfig,
    OneFormerConfig,
    ResNetConfig,
    SwinConfig,
    backbone_from_dict,
    check_fields,
)
from minioneformer.losses.criterion import Criterion
from minioneformer.model import OneFormer

TINY_SWIN = SwinConfig(
    embed_dim=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4), window_size=3, drop_path_rate=0.1
)
TINY = OneFormerConfig(
    backbone_config=TINY_SWIN,
    id2label={0: "sky", 1: "cat", 2: "dog"},
    num_queries=7,
    text_encoder_n_ctx=2,
    text_encoder_vocab_size=50,
    text_encoder_num_layers=1,
    text_encoder_width=64,
    text_encoder_context_length=9,
    task_seq_len=9,
    conv_dim=32,
    hidden_dim=32,
    mask_dim=12,
    encoder_feedforward_dim=16,
    dim_feedforward=20,
    encoder_layers=1,
    decoder_layers=3,
    query_dec_layers=1,
    num_attention_heads=4,
    is_training=True,
    train_num_points=50,
)

OTHER_SWIN = {
    "embed_dim": 16,
    "depths": (1, 2, 2, 1),
    "num_heads": (1, 2, 4, 4),
    "window_size": 5,
    "mlp_ratio": 2.0,
    "qkv_bias": False,
    "drop_path_rate": 0.2,
    "num_channels": 4,
    "layer_norm_eps": 1e-3,
}
OTHER = {
    "backbone_config": dataclasses.replace(TINY_SWIN, embed_dim=16),
    "num_queries": 8,
    "no_object_weight": 0.3,
    "class_weight": 3.0,
    "mask_weight": 3.0,
    "dice_weight": 3.0,
    "contrastive_weight": 3.0,
    "contrastive_temperature": 0.3,
    "train_num_points": 60,
    "oversample_ratio": 2.0,
    "importance_sample_ratio": 0.5,
    "init_std": 0.5,
    "layer_norm_eps": 1e-3,
    "is_training": False,
    "task_seq_len": 8,
    "text_encoder_width": 128,
    "text_encoder_context_length": 8,
    "text_encoder_num_layers": 2,
    "text_encoder_vocab_size": 60,
    "text_encoder_proj_layers": 3,
    "text_encoder_n_ctx": 0,
    "conv_dim": 64,
    "mask_dim": 16,
    "hidden_dim": 64,
    "encoder_feedforward_dim": 24,
    "encoder_layers": 2,
    "decoder_layers": 4,
    "use_task_norm": False,
    "task_seeds_queries": False,
    "task_as_query": False,
    "num_attention_heads": 8,
    "dropout": 0.3,
    "dim_feedforward": 24,
    "query_dec_layers": 2,
}
# These decide what is returned, or what the training loop supervises: nothing is built differently.
NOT_BUILT = {
    "use_auxiliary_loss",
    "output_auxiliary_logits",
    "output_hidden_states",
    "output_attentions",
    "return_dict",
    "ignore_value",  # carried along
    "patch_size",  # has one legal value
    "id2label",  # below
    "num_labels",  # below
}


def built(config: OneFormerConfig) -> dict[str, object]:
    """Every weight and every plain setting of the model and its criterion."""
    torch.manual_seed(0)
    facts: dict[str, object] = {}
    for root in (OneFormer.from_config(config), Criterion.from_config(config)):
        for name, module in root.named_modules():
            for key, value in vars(module).items():
                if isinstance(value, (int, float, bool, tuple)) or value is None:
                    facts[f"{type(root).__name__}.{name}.{key}"] = value
        for name, value in root.state_dict().items():
            facts[f"{type(root).__name__}.{name}"] = (tuple(value.shape), float(value.sum()))
    return facts


@pytest.fixture(scope="module")
def tiny_facts() -> dict[str, object]:
    return built(TINY)


def test_the_same_configuration_builds_the_same(tiny_facts):
    assert built(dataclasses.replace(TINY)) == tiny_facts


def fields_of(config_class: type) -> list[str]:
    return [f.name for f in dataclasses.fields(config_class) if f.name not in NOT_BUILT]


@pytest.mark.parametrize("name", fields_of(OneFormerConfig))
def test_every_field_changes_what_is_built(name, tiny_facts):
    change = {name: OTHER[name]}
    if name in ("conv_dim", "hidden_dim"):  # bound to each other
        change = {"conv_dim": 64, "hidden_dim": 64}
    assert getattr(TINY, name) != OTHER[name]
    assert built(dataclasses.replace(TINY, **change)) != tiny_facts


@pytest.mark.parametrize("name", fields_of(SwinConfig))
def test_every_field_of_the_backbone_changes_what_is_built(name, tiny_facts):
    swin = dataclasses.replace(TINY_SWIN, **{name: OTHER_SWIN[name]})
    assert built(dataclasses.replace(TINY, backbone_config=swin)) != tiny_facts


def test_epsilon_reaches_every_layer_norm_outside_the_backbone():
    model = OneFormer.from_config(dataclasses.replace(TINY, layer_norm_eps=1e-3))
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            assert module.eps == (1e-5 if name.startswith("backbone.") else 1e-3), name


def test_dropout_reaches_pixel_decoder_and_query_formulation_only():
    model = OneFormer.from_config(dataclasses.replace(TINY, dropout=0.3))
    rates: dict[str, set[float]] = {}
    for name, module in model.named_modules():
        rate = module.p if isinstance(module, nn.Dropout) else getattr(module, "dropout", None)
        if isinstance(rate, float):
            rates.setdefault(name.split(".")[0], set()).add(rate)
    assert rates == {
        "pixel_decoder": {0.3},
        "query_formulation": {0.3},
        "transformer_decoder": {0.0},
    }


def test_the_published_field_counts_one_decoder_layer_too_many():
    model = OneFormer.from_config(dataclasses.replace(TINY, decoder_layers=4))
    assert len(model.transformer_decoder.layers) == 3
    assert OneFormerConfig().num_decoder_layers == 9


def test_derived_sizes():
    assert (TINY.num_classes, TINY.num_text, TINY.num_decoder_layers) == (3, 5, 2)
    assert TINY_SWIN.stage_dims == (8, 16, 32, 64)
    assert OneFormerConfig().num_text == 134


def test_a_round_trip_through_json_changes_nothing():
    values = json.loads(json.dumps(TINY.to_dict()))
    again = OneFormerConfig.from_dict(values)
    assert again == TINY
    assert again.backbone_config.depths == (1, 2, 1, 1)
    assert again.id2label == {0: "sky", 1: "cat", 2: "dog"}
    assert again.to_dict() == values
    assert (values["model_type"], values["backbone_config"]["model_type"]) == ("oneformer", "swin")


def test_what_is_not_given_is_the_default():
    assert OneFormerConfig.from_dict({}) == OneFormerConfig()
    some = OneFormerConfig.from_dict({"num_queries": 20, "backbone_config": {"window_size": 12}})
    assert some == OneFormerConfig(
        num_queries=20, backbone_config=dataclasses.replace(SwinConfig(), window_size=12)
    )


def test_a_configuration_can_be_a_key_and_cannot_be_changed():
    assert len({TINY, dataclasses.replace(TINY), OneFormerConfig()}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="num_queries"):
        TINY.num_queries = 9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_querys": 9}, r"OneFormerConfig field, got 'num_querys'. Near matches: num_queries"),
        ({"backbone_config": {"embed_dims": 8}}, r"SwinConfig field, got 'embed_dims'.*embed_dim"),
        ({"zzz": 1}, r"got 'zzz'. Known: backbone_config, id2label, num_labels"),
    ],
)
def test_unknown_names_are_refused_with_near_matches(values, message):
    with pytest.raises(ValueError, match=message):
        OneFormerConfig.from_dict(values)


@pytest.mark.parametrize("changes", [{"num_labels": 2}, {"id2label": {0: "a", 1: "b"}}])
def test_the_number_of_classes_changes_what_is_built(changes, tiny_facts):
    two = dataclasses.replace(TINY, **{"num_labels": None, "id2label": {}} | changes)
    assert built(two)["OneFormer.transformer_decoder.heads.class_head.weight"][0] == (3, 32)
    assert built(two) != tiny_facts


def test_names_and_number_of_the_classes_follow_from_each_other():
    assert OneFormerConfig().id2label == {0: "LABEL_0", 1: "LABEL_1"}
    three = OneFormerConfig(num_labels=3)
    assert (three.num_labels, three.num_classes, three.id2label[2]) == (3, 3, "LABEL_2")
    assert (TINY.num_labels, TINY.label2id) == (3, {"sky": 0, "cat": 1, "dog": 2})
    assert dataclasses.replace(TINY, num_queries=9).id2label == TINY.id2label


def test_other_published_names_of_two_fields():
    assert (TINY.hidden_size, TINY.num_hidden_layers) == (32, 3)


@pytest.mark.parametrize("backbone", BACKBONES.values())
def test_every_backbone_makes_the_round_trip(backbone):
    config = OneFormerConfig(backbone_config=backbone())
    values = json.loads(json.dumps(config.to_dict()))
    assert values["backbone_config"]["out_features"] == ["stage1", "stage2", "stage3", "stage4"]
    assert OneFormerConfig.from_dict(values) == config
    assert len(config.backbone_config.stage_dims) == 4


def test_a_dictionary_says_which_backbone():
    backbone = backbone_from_dict({"model_type": "dinat", "kernel_size": 5, "depths": [1, 1, 1, 1]})
    assert backbone == DinatConfig(kernel_size=5, depths=(1, 1, 1, 1))
    with pytest.raises(ValueError, match="DinatConfig field, got 'dilation'. .*dilations"):
        backbone_from_dict({"model_type": "dinat", "dilation": 5})


def test_published_files_hold_more_than_a_model_needs():
    values = OneFormerConfig().to_dict() | {
        "architectures": ["OneFormerForUniversalSegmentation"],
        "transformers_version": "4.24.0",
        "num_classes": 150,
        "max_seq_len": 77,
        "flux": 3,
    }
    values["backbone_config"] |= {"encoder_stride": 32, "top_p": 1.0, "capacitor": 1}
    config, unknown = OneFormerConfig.from_published(values)
    assert config == OneFormerConfig()
    assert unknown == ["flux", "backbone_config.capacitor"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pre_norm": True}, "OneFormerConfig.pre_norm can only be False here, got True"),
        ({"enforce_input_proj": True}, "enforce_input_proj can only be False"),
        ({"strides": [2, 4, 8, 16]}, r"strides can only be \[4, 8, 16, 32\]"),
        ({"backbone_config": {"hidden_act": "relu"}}, "SwinConfig.hidden_act can only be 'gelu'"),
        ({"model_type": "mask2former"}, "must be 'oneformer', got 'mask2former'"),
        ({"backbone_config": {"model_type": "vit"}}, "one of swin, convnext, dinat, resnet"),
    ],
)
def test_values_that_the_code_does_not_know_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        OneFormerConfig.from_dict(values)


@pytest.mark.parametrize(
    ("backbone", "changes", "message"),
    [
        (SwinConfig, {"depths": (1, 2)}, r"4 entries in depths and num_heads, got {'depths'"),
        (SwinConfig, {"window_size": 0}, r"SwinConfig must be > 0, got {'window_size': 0}"),
        (SwinConfig, {"num_heads": (5, 6, 12, 24)}, "must divide 96 channels, got heads=5"),
        (SwinConfig, {"num_heads": (3, 6, 12, 0)}, r"must be > 0, got {'num_heads': 0}"),
        (SwinConfig, {"mlp_ratio": -1.0}, r"must be > 0, got {'mlp_ratio': -1.0}"),
        (SwinConfig, {"patch_size": 2}, "patch_size must be 4, got self.patch_size=2"),
        (ConvNextConfig, {"hidden_sizes": (8, 16)}, r"got {'hidden_sizes': \(8, 16\)}"),
        (ConvNextConfig, {"depths": (0, 1, 1, 1)}, r"must be > 0, got {'depths': 0}"),
        (ConvNextConfig, {"layer_scale_init_value": -1.0}, "init_value must be >= 0"),
        (ConvNextConfig, {"patch_size": 8}, "patch_size must be 4"),
        (DinatConfig, {"kernel_size": 4}, "kernel_size must be odd, got self.kernel_size=4"),
        (DinatConfig, {"dilations": ((1, 1), (1,), (1,), (1,))}, "one step >= 1 per block"),
        (DinatConfig, {"num_heads": (3, 4, 8, 16)}, "must divide 64 channels"),
        (DinatConfig, {"depths": (3, 4)}, "4 entries"),
        (DinatConfig, {"layer_scale_init_value": -1.0}, "init_value must be >= 0"),
        (DinatConfig, {"patch_size": 8}, "patch_size must be 4"),
        (ResNetConfig, {"hidden_sizes": (250, 512, 1024, 2048)}, "multiples of 4"),
        (ResNetConfig, {"depths": (3, 4, 6)}, "4 entries"),
        (ResNetConfig, {"embedding_size": 0}, "must be > 0"),
    ],
)
def test_backbones_that_do_not_fit_together_are_refused(backbone, changes, message):
    with pytest.raises(ValueError, match=message):
        backbone(**changes)


def test_known_names_pass():
    check_fields(SwinConfig, {"embed_dim": 1, "depths": 2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv_dim": 64}, "conv_dim=64, self.hidden_dim=256"),
        ({"num_attention_heads": 0}, "num_attention_heads must be >= 1, got value=0"),
        ({"text_encoder_width": 0}, "text_encoder_width must be >= 1, got value=0"),
        ({"encoder_layers": -1}, "encoder_layers=-1"),
        ({"num_attention_heads": 7}, "hidden_dim=256, self.num_attention_heads=7"),
        ({"text_encoder_n_ctx": 150}, "n_ctx=150, self.num_queries=150"),
        ({"text_encoder_n_ctx": -1}, "n_ctx=-1"),
        ({"decoder_layers": 0}, "decoder_layers=0"),
        ({"num_labels": 0}, r"must map 0 .. K-1 to names, got keys \[\]"),
        ({"num_labels": 3, "id2label": {0: "sky"}}, "self.num_labels=3, .*=1. Leave one"),
        ({"id2label": {1: "sky", 2: "cat"}}, r"got keys \[1, 2\]"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        OneFormerConfig(**change)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_defaults_are_the_published_ones():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.OneFormerConfig().to_dict()
    ours = OneFormerConfig().to_dict()
    swin, their_swin = ours.pop("backbone_config"), theirs["backbone_config"]
    ours["id2label"] = {int(key): name for key, name in ours["id2label"].items()}
    assert {name: theirs[name] for name in ours} == ours
    assert {name: their_swin[name] for name in swin} == swin
