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

from minioneformer.config import OneFormerConfig, SwinConfig, check_fields
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
    "id2label": {0: "sky", 1: "cat"},
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
    "num_attention_heads": 8,
    "dropout": 0.3,
    "dim_feedforward": 24,
    "query_dec_layers": 2,
}
# `use_auxiliary_loss` decides which predictions the training loop supervises: nothing is built
# differently. `patch_size` has one legal value.
NOT_BUILT = {"use_auxiliary_loss", "patch_size"}


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
        ({"zzz": 1}, r"got 'zzz'. Known: backbone_config, id2label, num_queries"),
    ],
)
def test_unknown_names_are_refused_with_near_matches(values, message):
    with pytest.raises(ValueError, match=message):
        OneFormerConfig.from_dict(values)


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
        ({"id2label": {}}, r"must map 0 .. K-1 to names, got keys \[\]"),
        ({"id2label": {1: "sky", 2: "cat"}}, r"got keys \[1, 2\]"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        OneFormerConfig(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": (3, 6, 12, 0)}, r"must be > 0, got .*num_heads=\(3, 6, 12, 0\)"),
        ({"mlp_ratio": -1.0}, r"must be > 0, got .*mlp_ratio=-1.0"),
        ({"depths": (2, 2)}, r"four|4 entries each, got self.depths=\(2, 2\)"),
        ({"num_heads": (3, 6, 12)}, r"self.num_heads=\(3, 6, 12\)"),
        ({"num_heads": (3, 6, 12, 25)}, "divide 768 channels, got heads=25"),
        ({"patch_size": 8}, "patch_size must be 4, got self.patch_size=8"),
    ],
)
def test_a_backbone_that_does_not_fit_together_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SwinConfig(**change)


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
