"""The four stages.

Mutants that must fail: merging cells row by row; padding reflected; the normalised map handed on
to the next stage; drop path rates per stage; shift in even blocks.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from minioneformer.backbone.swin import PatchEmbed, PatchMerging, SwinTransformer
from minioneformer.config import SwinConfig

NAMES = ["res2", "res3", "res4", "res5"]


def tiny_swin(**changes) -> SwinTransformer:
    settings = {"embed_dim": 4, "depths": (2, 1, 3, 1), "num_heads": (1, 2, 2, 4), "window_size": 3}
    return SwinTransformer(**(settings | changes))


def shake(module: nn.Module) -> nn.Module:
    """Make every parameter matter: biases, norms and bias tables too."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


# --- parts


@torch.no_grad()
def test_begun_patches_are_completed_with_zeros_at_the_right_and_bottom():
    embed = PatchEmbed(num_channels=1, embed_dim=2)
    embed.norm = nn.Identity()
    embed.proj.weight.fill_(1.0)
    embed.proj.bias.zero_()
    sums = embed(torch.ones(1, 1, 5, 6))[..., 0]
    assert sums.tolist() == [[[16.0, 8.0], [4.0, 2.0]]]


@torch.no_grad()
def test_merging_reads_four_cells_column_by_column():
    merging = PatchMerging(dim=1)
    merging.norm = nn.Identity()
    merging.reduction.weight.copy_(torch.tensor([[1000.0, 100.0, 10.0, 1.0], [0, 0, 0, 1]]))
    x = torch.tensor([[1.0, 2.0, 5.0], [3.0, 4.0, 7.0], [8.0, 9.0, 6.0]])
    merged = merging(x.view(1, 3, 3, 1))
    assert merged[..., 0].tolist() == [[[1324.0, 5700.0], [8090.0, 6000.0]]]
    assert merged[..., 1].tolist() == [[[4.0, 0.0], [0.0, 0.0]]]


# --- the whole


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_strides_are_4_8_16_32_rounded_up_at_any_size(height: int, width: int):
    model = tiny_swin()
    features = model(torch.randn(2, 3, height, width))
    assert list(features) == NAMES
    for name, stride in zip(NAMES, (4, 8, 16, 32), strict=True):
        cells = (-(-height // stride), -(-width // stride))
        assert features[name].shape == (2, model.out_channels[name], *cells)


def test_the_docstrings_example_of_67_by_45_pixels():
    features = tiny_swin()(torch.randn(1, 3, 67, 45))
    assert [tuple(f.shape[-2:]) for f in features.values()] == [(17, 12), (9, 6), (5, 3), (3, 2)]


def test_channels_double_from_stage_to_stage():
    assert tiny_swin().out_channels == {"res2": 4, "res3": 8, "res4": 16, "res5": 32}


@torch.no_grad()
def test_each_map_is_normalised_over_its_channels():
    for features in tiny_swin().eval()(torch.randn(1, 3, 67, 45)).values():
        torch.testing.assert_close(features.mean(dim=1), torch.zeros_like(features[:, 0]))
        spread = features.var(dim=1, unbiased=False)
        torch.testing.assert_close(spread, torch.ones_like(spread), atol=2e-2, rtol=0)


@torch.no_grad()
def test_output_norms_do_not_touch_what_the_next_stage_sees():
    model, images = tiny_swin().eval(), torch.randn(1, 3, 35, 50)
    before = model(images)["res5"]
    for name in NAMES[:3]:
        nn.init.zeros_(model.norms[name].weight)
    assert model(images)["res2"].abs().max() == 0
    assert torch.equal(model(images)["res5"], before)


@torch.no_grad()
def test_batch_of_one_equals_batch_of_many():
    model, images = shake(tiny_swin()), torch.randn(3, 3, 37, 61)
    together = model(images)
    for i in range(3):
        for name, alone in model(images[i : i + 1]).items():
            torch.testing.assert_close(alone, together[name][i : i + 1])


def test_odd_blocks_shift_by_half_a_window_and_even_ones_do_not():
    model = tiny_swin(window_size=7)
    assert [[b.shift for b in s.blocks] for s in model.stages] == [[0, 3], [0], [0, 3, 0], [0]]


def test_drop_path_rises_linearly_over_all_blocks():
    model = tiny_swin(drop_path_rate=0.3)
    rates = [block.drop_path.rate for stage in model.stages for block in stage.blocks]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3])


def test_training_repeats_under_a_seed_and_evaluation_never_varies():
    model, images = tiny_swin(drop_path_rate=0.5), torch.randn(4, 3, 33, 20)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(model(images)["res5"])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    model.eval()
    assert torch.equal(model(images)["res5"], model(images)["res5"])


def test_checkpointed_blocks_give_the_same_gradients_drop_path_included():
    images, gradients = torch.randn(3, 3, 21, 38), []
    for checkpoint_blocks in (False, True):
        torch.manual_seed(3)
        model = tiny_swin(drop_path_rate=0.5, checkpoint_blocks=checkpoint_blocks)
        sum(f.square().mean() for f in model(images).values()).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert all(g is not None for g in gradients[0].values())
    torch.testing.assert_close(gradients[1], gradients[0])


def test_linears_start_from_a_narrow_normal_and_biases_from_zero():
    model = tiny_swin(embed_dim=16)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.2)
            assert module.bias is None or (module.bias == 0).all()
        if isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
    table = model.stages[0].blocks[0].attention.relative_position_bias_table
    assert 0 < table.abs().max() < 0.2


def test_a_checkpoint_holds_the_named_parameters_and_nothing_cached():
    model = tiny_swin(depths=(1, 1, 1, 2))
    model(torch.randn(1, 3, 20, 33))
    block = ["norm1", "attention.qkv", "attention.proj", "norm2", "mlp.fc1", "mlp.fc2"]
    owners = ["patch_embed.proj", "patch_embed.norm", *(f"norms.{name}" for name in NAMES)]
    keys = {f"stages.{s}.downsample.reduction.weight" for s in range(3)}
    owners += [f"stages.{s}.downsample.norm" for s in range(3)]
    for s, b in [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1)]:
        owners += [f"stages.{s}.blocks.{b}.{part}" for part in block]
        keys.add(f"stages.{s}.blocks.{b}.attention.relative_position_bias_table")
    keys |= {f"{owner}.{kind}" for owner in owners for kind in ("weight", "bias")}
    assert set(model.state_dict()) == keys


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({}, 27_520_698),  # Swin-T
        (
            {"embed_dim": 192, "depths": (2, 2, 18, 2), "num_heads": (6, 12, 24, 48)}
            | {"window_size": 12},
            195_201_204,
        ),  # Swin-L
    ],
)
def test_the_published_sizes_have_the_published_number_of_parameters(settings, parameters):
    with torch.device("meta"):
        model = SwinTransformer(**settings)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_every_field_of_the_config_reaches_the_model():
    changed = {
        "embed_dim": 24, "depths": (1, 2, 1, 1), "num_heads": (2, 4, 8, 8), "window_size": 5,
        "mlp_ratio": 2.0, "qkv_bias": False, "drop_path_rate": 0.4, "num_channels": 1,
        "layer_norm_eps": 1e-3,
    }  # fmt: skip
    with torch.device("meta"):
        model = SwinTransformer.from_config(SwinConfig(**changed), checkpoint_blocks=True)
        twin = SwinTransformer(**changed, checkpoint_blocks=True)
    assert repr(model) == repr(twin)
    shapes, twin_shapes = ({k: v.shape for k, v in m.state_dict().items()} for m in (model, twin))
    assert shapes == twin_shapes
    assert all(stage.checkpoint_blocks for stage in model.stages)
    for name, value in changed.items():  # and each field changes something
        with torch.device("meta"):
            other = SwinTransformer(**(changed | {name: getattr(SwinConfig(), name)}))
        other_shapes = {k: v.shape for k, v in other.state_dict().items()}
        assert (repr(other), other_shapes) != (repr(twin), twin_shapes), (name, value)


def test_exporting_leaves_nothing_behind_that_a_later_forward_would_trip_over():
    model = tiny_swin(window_size=6, depths=(1, 2, 1, 1)).eval()  # a size no other test uses
    images = torch.randn(1, 3, 30, 45)
    exported = torch.export.export(model, (images,), strict=False).module()
    with torch.no_grad():
        expected, got = model(images), exported(images)
    torch.testing.assert_close(got, expected)


def test_stage_lists_without_four_entries_are_refused():
    with pytest.raises(ValueError, match=r"got depths=\(2, 2\)"):
        SwinTransformer(depths=(2, 2))
    with pytest.raises(ValueError, match=r"num_heads=\(3, 6\)"):
        SwinTransformer(num_heads=(3, 6))


# --- parity


def our_weights(theirs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state of transformers' SwinBackbone under our names."""
    renames = [
        ("swin.embeddings.patch_embeddings.projection", "patch_embed.proj"),
        ("swin.embeddings.norm", "patch_embed.norm"),
        ("swin.encoder.layers.", "stages."),
        ("layernorm_before", "norm1"),
        ("layernorm_after", "norm2"),
        ("attention.o_proj", "attention.proj"),
        ("relative_position_bias.relative_position_bias_table", "relative_position_bias_table"),
        *((f"hidden_states_norms.stage{s + 1}", f"norms.{NAMES[s]}") for s in range(4)),
    ]
    ours: dict[str, torch.Tensor] = {}
    for key, value in theirs.items():
        if key.startswith("swin.layernorm.") or ".k_proj." in key or ".v_proj." in key:
            continue
        if ".q_proj." in key:
            rows = [theirs[key.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
            key, value = key.replace("q_proj", "qkv"), torch.cat(rows)
        for old, new in renames:
            key = key.replace(old, new)
        ours[key] = value
    return ours


@torch.no_grad()
def assert_equal_to_transformers(sizes: list[tuple[int, int]], **settings) -> None:
    transformers = pytest.importorskip("transformers")
    stages = ["stage1", "stage2", "stage3", "stage4"]
    config = transformers.SwinConfig(**settings, out_features=stages)
    theirs = shake(transformers.SwinBackbone(config))
    ours = SwinTransformer(**settings).eval()
    ours.load_state_dict(our_weights(theirs.state_dict()))
    for height, width in sizes:
        images = torch.randn(2, 3, height, width)
        expected = theirs(images).feature_maps
        for features, reference in zip(ours(images).values(), expected, strict=True):
            torch.testing.assert_close(features, reference, atol=1e-5, rtol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("window_size", [7, 12])
def test_features_equal_those_of_transformers(window_size: int):
    assert_equal_to_transformers(
        [(131, 150), (67, 45)],
        embed_dim=16,
        depths=(2, 2, 3, 2),
        num_heads=(1, 2, 4, 8),
        window_size=window_size,
    )


@pytest.mark.parity
def test_swin_tiny_equals_that_of_transformers():
    assert_equal_to_transformers([(131, 150)])


@pytest.mark.parity
@torch.no_grad()
def test_features_equal_those_of_timm_where_windows_divide_every_map():
    # elsewhere they differ: timm rolls before it pads, the official code after
    timm_swin = pytest.importorskip("timm.models.swin_transformer")
    settings = {"embed_dim": 8, "depths": (2, 2, 3, 1), "num_heads": (1, 2, 4, 8)}
    theirs = timm_swin.SwinTransformer(
        img_size=(96, 192), window_size=3, always_partition=True, **settings
    )
    shake(theirs)
    ours = SwinTransformer(**settings, window_size=3).eval()
    state = {}
    for key, value in theirs.state_dict().items():
        if key.startswith(("norm.", "head.")):
            continue
        key = key.replace("layers.", "stages.").replace(".attn.", ".attention.")
        if ".downsample." in key:  # theirs opens a stage, ours closes the one before
            stage = int(key.split(".")[1])
            key = key.replace(f"stages.{stage}", f"stages.{stage - 1}")
        state[key] = value
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert all(name.startswith("norms.") for name in missing)
    assert not [name for name in unexpected if "relative_position_index" not in name]

    images = torch.randn(2, 3, 96, 192)
    _, expected = theirs.forward_intermediates(images, norm=False)
    for (name, norm), reference in zip(ours.norms.items(), expected, strict=True):
        normalised = norm(reference.movedim(1, -1)).movedim(-1, 1)
        torch.testing.assert_close(ours(images)[name], normalised, atol=1e-5, rtol=1e-5)
