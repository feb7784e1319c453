"""Against files that transformers writes, for each backbone that it can build.

Mutants that must fail: query and key swapped; the unused norm not written; a name in memory taken
for an unknown one; the layer scales of DiNAT in another order.
"""

import json

import pytest
import torch

from minioneformer.checkpoints.huggingface import (
    from_huggingface,
    huggingface_table,
    to_huggingface,
)
from minioneformer.checkpoints.weight_files import read_weight_file, write_weight_file
from minioneformer.config import (
    ConvNextConfig,
    DinatConfig,
    OneFormerConfig,
    ResNetConfig,
    SwinConfig,
)
from minioneformer.losses.criterion import Criterion
from minioneformer.model import OneFormer

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

STEM = "model.pixel_level_module.encoder"
SMALL = {
    "num_labels": 5,
    "num_queries": 20,
    "text_encoder_n_ctx": 4,
    "text_encoder_vocab_size": 60,
    "text_encoder_num_layers": 2,
    "text_encoder_width": 64,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_feedforward_dim": 48,
    "dim_feedforward": 40,
    "hidden_dim": 64,
    "conv_dim": 64,
    "mask_dim": 64,
    "is_training": True,
}
BACKBONES = {
    "swin": SwinConfig(embed_dim=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4)),
    "swin_12_without_bias": SwinConfig(
        embed_dim=8, depths=(2, 1, 1, 1), num_heads=(1, 2, 2, 4), window_size=12, qkv_bias=False
    ),
    "convnext": ConvNextConfig(
        hidden_sizes=(8, 16, 24, 32), depths=(1, 2, 1, 1), layer_scale_init_value=1.0
    ),
    "convnext_without_scale": ConvNextConfig(
        hidden_sizes=(8, 16, 24, 32), depths=(1, 1, 1, 1), layer_scale_init_value=0.0
    ),
    "resnet": ResNetConfig(embedding_size=8, hidden_sizes=(16, 32, 48, 64), depths=(2, 1, 1, 2)),
    "resnet_frozen": ResNetConfig(
        embedding_size=16,
        hidden_sizes=(16, 32, 48, 64),
        depths=(1, 1, 2, 1),
        frozen_batch_norm=True,
    ),
    "dinat": DinatConfig(
        embed_dim=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4), kernel_size=3, qkv_bias=False
    ),
    "dinat_with_scale": DinatConfig(
        embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4), layer_scale_init_value=1e-5
    ),
}


@pytest.fixture(scope="module", params=BACKBONES.values(), ids=BACKBONES)
def saved(request, tmp_path_factory):
    """A random model of transformers: our configuration, the folder, the model."""
    transformers = pytest.importorskip("transformers")
    config = OneFormerConfig(backbone_config=request.param, **SMALL)
    with pytest.MonkeyPatch.context() as patch:
        theirs = build(transformers, config, patch)
        with torch.no_grad():
            for number, tensor in enumerate(theirs.state_dict().values()):
                # each tensor another one: equal ones would hide a mistaken name
                tensor.copy_(torch.randn(tensor.shape) if tensor.is_floating_point() else number)
        folder = tmp_path_factory.mktemp("model")
        theirs.save_pretrained(folder)
        yield config, folder, theirs


def build(transformers, config, patch, kind="OneFormerForUniversalSegmentation"):
    """Their model of our configuration; DiNAT without the package that it asks for."""
    from transformers.models.dinat import modeling_dinat

    patch.setattr(modeling_dinat, "requires_backends", lambda *_: None)
    their_config = transformers.OneFormerConfig.from_dict(config.to_dict())
    assert their_config.backbone_config.out_features == ["stage1", "stage2", "stage3", "stage4"]
    return getattr(transformers, kind)(their_config)


def our_shapes(config: OneFormerConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        modules = {
            "model": OneFormer.from_config(config),
            "criterion": Criterion.from_config(config),
        }
    return {
        f"{prefix}.{name}": tuple(tensor.shape)
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }


def assert_equal(ours, expected):
    assert set(ours) == set(expected)
    assert [name for name in ours if not torch.equal(ours[name], expected[name])] == []


def test_a_saved_model_is_read_completely_and_fits_ours(saved):
    config, folder, _ = saved
    ours, skipped = from_huggingface(config, read_weight_file(folder))
    assert {name: tuple(tensor.shape) for name, tensor in ours.items()} == our_shapes(config)
    reasons = set(skipped.values())
    if isinstance(config.backbone_config, SwinConfig):
        assert reasons == {"norm that the backbone never applies"}
        assert set(skipped) == {f"{STEM}.swin.layernorm.{part}" for part in ("weight", "bias")}
    elif config.backbone_config == BACKBONES["resnet_frozen"]:
        assert reasons == {"counter that a frozen batch norm does not have"}
    else:
        assert skipped == {}


def test_what_is_written_is_what_transformers_writes(saved):
    config, folder, _ = saved
    theirs = read_weight_file(folder)
    ours, skipped = from_huggingface(config, theirs)
    written = to_huggingface(config, ours)
    assert set(written) == set(theirs)
    assert {n: t.shape for n, t in written.items()} == {n: t.shape for n, t in theirs.items()}
    differing = {name for name in theirs if not torch.equal(written[name], theirs[name])}
    assert differing == set(skipped)  # nothing reads them; ours are ones and zeros


def test_names_in_memory_are_read_too(saved):
    config, folder, theirs = saved
    from_file, _ = from_huggingface(config, read_weight_file(folder))
    from_memory, _ = from_huggingface(config, theirs.state_dict())
    assert_equal(from_memory, from_file)


@pytest.mark.parametrize("shard_bytes", [10**9, 100_000])
def test_transformers_loads_what_we_write_without_a_word(saved, tmp_path, shard_bytes):
    config, folder, theirs = saved
    ours, _ = from_huggingface(config, read_weight_file(folder))
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    files = write_weight_file(
        tmp_path / "model.safetensors", to_huggingface(config, ours), shard_bytes
    )
    assert (len(files) == 1) == (shard_bytes == 10**9)
    loaded, info = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert {key: len(names) for key, names in info.items()} == dict.fromkeys(
        ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"), 0
    )
    again, _ = from_huggingface(config, loaded.state_dict())
    assert_equal(again, ours)


def test_a_file_of_the_bare_model_lacks_prefix_and_criterion(saved):
    config, folder, _ = saved
    whole = read_weight_file(folder)
    bare = {k.removeprefix("model."): v for k, v in whole.items() if k.startswith("model.")}
    from_bare, _ = from_huggingface(config, bare)
    expected, _ = from_huggingface(config, whole)
    del expected["criterion.log_inverse_temperature"], expected["criterion.class_weights"]
    assert_equal(from_bare, expected)


def test_a_text_branch_that_is_not_wanted_is_skipped(saved):
    config, folder, _ = saved
    plain = OneFormerConfig(
        backbone_config=config.backbone_config, **SMALL | {"is_training": False}
    )
    ours, skipped = from_huggingface(plain, read_weight_file(folder))
    assert set(ours) == set(our_shapes(plain))
    text = [n for n, reason in skipped.items() if reason == "text branch, used in training only"]
    assert len(text) == 2 + 2 + 2 * 12 + 2 * 2 + 1
    assert all(name.startswith("model.text_mapper.") for name in text)


def test_saving_the_bare_model_gives_such_a_file(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    config = OneFormerConfig(backbone_config=BACKBONES["swin"], **SMALL)
    build(transformers, config, monkeypatch, "OneFormerModel").save_pretrained(tmp_path)
    ours, _ = from_huggingface(config, read_weight_file(tmp_path))
    assert set(our_shapes(config)) - set(ours) == {
        "criterion.log_inverse_temperature",
        "criterion.class_weights",
    }


def published(name: str, *, is_training: bool) -> OneFormerConfig:
    """Depths of published models; widths do not change the names."""
    backbone = {
        "swin_tiny": SwinConfig(),
        "swin_large": SwinConfig(depths=(2, 2, 18, 2), window_size=12),
        "dinat_large": DinatConfig(depths=(3, 4, 18, 5), kernel_size=11),
    }[name]
    return OneFormerConfig(backbone_config=backbone, num_labels=150, is_training=is_training)


@pytest.mark.parametrize(
    ("name", "is_training", "count"),
    [
        ("swin_tiny", False, 600),
        ("swin_tiny", True, 681),
        ("swin_large", False, 804),
        ("swin_large", True, 885),
        ("dinat_large", False, 906),
    ],
)
def test_the_number_of_entries_is_the_published_one(name, is_training, count):
    """All that transformers holds in memory: for Swin two more than are ever used."""
    config = published(name, is_training=is_training)
    table = huggingface_table(config)
    names = {entry_name for entry in table for entry_name in entry.theirs}
    assert len(names) == count - (2 if name.startswith("swin") else 0)
    ours = {name: torch.empty(3, 2) for entry in table for name in entry.ours}
    assert len(to_huggingface(config, ours)) == count


def test_buffers_of_older_files_are_skipped():
    config = OneFormerConfig(backbone_config=BACKBONES["swin"], **SMALL)
    index = f"{STEM}.encoder.layers.0.blocks.0.attention.self.relative_position_index"
    norm = f"{STEM}.layernorm.weight"
    _, skipped = from_huggingface(config, {index: torch.zeros(49, 49), norm: torch.ones(64)})
    assert skipped == {
        index: "index of the bias table, computed here",
        norm: "norm that the backbone never applies",
    }


def test_a_tensor_that_is_there_under_two_names_is_refused():
    config = OneFormerConfig(backbone_config=BACKBONES["swin"], **SMALL)
    block = f"{STEM}.encoder.layers.0.blocks.0"
    weights = {
        f"{block}.mlp.fc1.bias": torch.zeros(32),
        f"{block}.intermediate.dense.bias": torch.zeros(32),
    }
    with pytest.raises(ValueError, match="two tensors of the file are the same, got .*dense"):
        from_huggingface(config, weights)


def test_what_nothing_is_known_about_is_refused_unless_allowed():
    config = OneFormerConfig(backbone_config=BACKBONES["swin"], **SMALL)
    weights = {"model.extra.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match="no place for 1 tensors, got model.extra.weight"):
        from_huggingface(config, weights)
    ours, skipped = from_huggingface(config, weights, allow_unknown=True)
    assert (ours, skipped) == ({}, {"model.extra.weight": "not part of the model"})
