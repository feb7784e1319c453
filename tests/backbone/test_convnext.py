"""The four stages of depthwise convolutions.

Mutants that must fail: approximate GELU; eps 1e-5; begun patches padded; the normalised map handed
on to the next stage; the layer scale after the sum; drop path rates per stage.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from minioneformer.backbone.convnext import ConvNeXt, ConvNeXtBlock, Downsample, PatchEmbed
from minioneformer.config import ConvNextConfig
from minioneformer.training.optimizer import parameter_groups

NAMES = ["res2", "res3", "res4", "res5"]
TINY = {"hidden_sizes": (4, 6, 8, 10), "depths": (2, 1, 3, 1), "layer_scale_init_value": 1.0}


def tiny_convnext(**changes) -> ConvNeXt:
    return ConvNeXt(**(TINY | changes))


def shake(module: nn.Module) -> nn.Module:
    """Make every parameter matter: biases, norms and layer scales too."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


# --- parts


def normalise_in_loops(cell: list[float], norm: nn.LayerNorm) -> list[float]:
    mean = sum(cell) / len(cell)
    variance = sum((value - mean) ** 2 for value in cell) / len(cell)
    unit = [(value - mean) / math.sqrt(variance + 1e-6) for value in cell]
    gains, shifts = norm.weight.tolist(), norm.bias.tolist()
    return [value * gain + shift for value, gain, shift in zip(unit, gains, shifts, strict=True)]


def linear_in_loops(cell: list[float], linear: nn.Linear) -> list[float]:
    return [
        shift + sum(weight * value for weight, value in zip(row, cell, strict=True))
        for row, shift in zip(linear.weight.tolist(), linear.bias.tolist(), strict=True)
    ]


def block_in_loops(block: ConvNeXtBlock, x: torch.Tensor) -> torch.Tensor:
    """One cell at a time, in plain numbers."""
    out = x.clone()
    batch, height, width, dim = x.shape
    for b, row, column in itertools.product(range(batch), range(height), range(width)):
        cell = block.dwconv.bias.tolist()
        for c, down, right in itertools.product(range(dim), range(-3, 4), range(-3, 4)):
            r, k = row + down, column + right
            if 0 <= r < height and 0 <= k < width:
                weight = block.dwconv.weight[c, 0, down + 3, right + 3]
                cell[c] += (weight * x[b, r, k, c]).item()
        hidden = linear_in_loops(normalise_in_loops(cell, block.norm), block.fc1)
        hidden = [value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in hidden]
        for c, value in enumerate(linear_in_loops(hidden, block.fc2)):
            out[b, row, column, c] += value * block.layer_scale[c].item()
    return out


@torch.no_grad()
def test_a_block_equals_loops_on_an_odd_map():
    block = ConvNeXtBlock(dim=3, layer_scale_init_value=0.5).double()
    shake(block)
    x = 0.05 * torch.randn(2, 5, 3, 3, dtype=torch.double)  # small: eps counts
    torch.testing.assert_close(block(x), block_in_loops(block, x), atol=1e-10, rtol=0)


@torch.no_grad()
def test_patches_that_the_image_does_not_fill_are_left_out():
    embed = PatchEmbed(num_channels=1, dim=2)
    embed.norm = nn.Identity()
    embed.proj.weight.fill_(1.0)
    embed.proj.bias.zero_()
    sums = embed(torch.ones(1, 1, 7, 9))[..., 0]
    assert sums.tolist() == [[[16.0, 16.0]]]


@torch.no_grad()
def test_a_step_down_reads_two_by_two_cells_and_leaves_out_the_odd_ones():
    downsample = Downsample(dim=1, out_dim=1)
    downsample.norm = nn.Identity()
    downsample.proj.weight.copy_(torch.tensor([[[[1000.0, 100.0], [10.0, 1.0]]]]))
    downsample.proj.bias.fill_(0.5)
    x = torch.tensor(
        [[1.0, 2.0, 9.0], [3.0, 4.0, 9.0], [5.0, 6.0, 9.0], [7.0, 8.0, 9.0], [9.0] * 3]
    )
    joined = downsample(x.view(1, 5, 3, 1))
    assert joined[..., 0].tolist() == [[[1234.5], [5678.5]]]


def test_a_layer_scale_starts_as_told_and_zero_leaves_it_out():
    assert ConvNextConfig().layer_scale_init_value == 1e-6
    assert ConvNeXtBlock(dim=3, layer_scale_init_value=0.25).layer_scale.tolist() == [0.25] * 3
    without, with_one = (ConvNeXtBlock(dim=3, layer_scale_init_value=v) for v in (0.0, 1.0))
    assert without.layer_scale is None
    with_one.load_state_dict(without.state_dict(), strict=False)
    x = torch.randn(2, 5, 3, 3)
    assert torch.equal(without(x), with_one(x))


@torch.no_grad()
def test_drop_path_skips_a_whole_block_for_some_samples_in_training_only():
    block = shake(ConvNeXtBlock(dim=3, layer_scale_init_value=1.0, drop_path_rate=0.5))
    x = torch.randn(40, 4, 3, 3)
    branch = block(x) - x
    dropped = (block.train()(x) == x).flatten(1).all(dim=1)
    assert 5 < dropped.sum() < 35
    torch.manual_seed(1)
    change = block(x) - x
    kept = change.flatten(1).any(dim=1)
    torch.testing.assert_close(change[kept], 2 * branch[kept], atol=1e-4, rtol=1e-4)


# --- the whole


@settings(max_examples=25, deadline=None)
@given(height=st.integers(32, 110), width=st.integers(32, 110))
def test_strides_are_4_8_16_32_rounded_down_from_32_pixels_on(height: int, width: int):
    model = tiny_convnext()
    features = model(torch.randn(2, 3, height, width))
    assert list(features) == NAMES
    for name, stride in zip(NAMES, (4, 8, 16, 32), strict=True):
        cells = (height // stride, width // stride)
        assert features[name].shape == (2, model.out_channels[name], *cells)


def test_the_docstrings_example_of_67_by_45_pixels():
    features = tiny_convnext()(torch.randn(1, 3, 67, 45))
    assert [tuple(f.shape[-2:]) for f in features.values()] == [(16, 11), (8, 5), (4, 2), (2, 1)]
    assert tiny_convnext().out_channels == {"res2": 4, "res3": 6, "res4": 8, "res5": 10}


@torch.no_grad()
def test_pixels_that_fill_no_patch_are_not_read():
    model, images = shake(tiny_convnext()), torch.randn(1, 3, 67, 45)
    before = model(images)
    images[:, :, 64:], images[:, :, :, 44:] = 9.0, 9.0
    torch.testing.assert_close(model(images), before, atol=0, rtol=0)
    images[:, :, 63, 43] = 9.0
    assert not torch.equal(model(images)["res2"], before["res2"])


@torch.no_grad()
def test_each_map_is_normalised_over_its_channels():
    for features in tiny_convnext().eval()(torch.randn(1, 3, 67, 45)).values():
        torch.testing.assert_close(features.mean(dim=1), torch.zeros_like(features[:, 0]))
        spread = features.var(dim=1, unbiased=False)
        torch.testing.assert_close(spread, torch.ones_like(spread), atol=2e-2, rtol=0)


@torch.no_grad()
def test_output_norms_do_not_touch_what_the_next_stage_sees():
    model, images = tiny_convnext().eval(), torch.randn(1, 3, 35, 50)
    before = model(images)["res5"]
    for name in NAMES[:3]:
        nn.init.zeros_(model.norms[name].weight)
    assert model(images)["res2"].abs().max() == 0
    assert torch.equal(model(images)["res5"], before)


@torch.no_grad()
def test_batch_of_one_equals_batch_of_many():
    model, images = shake(tiny_convnext()), torch.randn(3, 3, 37, 61)
    together = model(images)
    for i in range(3):
        for name, alone in model(images[i : i + 1]).items():
            torch.testing.assert_close(alone, together[name][i : i + 1])


def test_drop_path_rises_linearly_over_all_blocks():
    model = tiny_convnext(drop_path_rate=0.3)
    rates = [block.drop_path.rate for stage in model.stages for block in stage.blocks]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3])


def test_training_repeats_under_a_seed_and_evaluation_never_varies():
    model, images = shake(tiny_convnext(drop_path_rate=0.5)).train(), torch.randn(4, 3, 33, 40)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(model(images)["res5"])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    model.eval()
    assert torch.equal(model(images)["res5"], model(images)["res5"])


def test_checkpointed_blocks_give_the_same_maps_and_gradients_drop_path_included():
    images, maps, gradients = torch.randn(3, 3, 41, 38), [], []
    for checkpoint_blocks in (False, True):
        torch.manual_seed(3)
        model = tiny_convnext(drop_path_rate=0.5, checkpoint_blocks=checkpoint_blocks)
        shake(model).train()
        maps.append(model(images))
        sum(f.square().mean() for f in maps[-1].values()).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    torch.testing.assert_close(maps[1], maps[0])
    assert all(g is not None for g in gradients[0].values())
    torch.testing.assert_close(gradients[1], gradients[0])


def test_gradients_reach_every_parameter_and_the_image():
    model, images = shake(tiny_convnext()), torch.randn(2, 3, 64, 97, requires_grad=True)
    features = model(images)
    sum((f * torch.randn_like(f)).sum() for f in features.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad.abs().max() == 0]
    assert (images.grad[:, :, :, :96].abs().amax(dim=(0, 1)) > 0).all()
    assert images.grad[:, :, :, 96:].abs().max() == 0  # fills no patch


def test_convolutions_and_linears_start_from_a_narrow_normal_and_biases_from_zero():
    model = tiny_convnext(hidden_sizes=(24, 32, 40, 48))
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.2)
            assert (module.bias == 0).all()
        if isinstance(module, nn.LayerNorm):
            assert module.eps == 1e-6
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


def test_a_checkpoint_holds_the_named_parameters_and_nothing_else():
    model = tiny_convnext(depths=(1, 1, 1, 2))
    owners = ["patch_embed.proj", "patch_embed.norm", *(f"norms.{name}" for name in NAMES)]
    owners += [f"stages.{s}.downsample.{part}" for s in (1, 2, 3) for part in ("norm", "proj")]
    keys = set()
    for s, b in [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1)]:
        owners += [f"stages.{s}.blocks.{b}.{part}" for part in ("dwconv", "norm", "fc1", "fc2")]
        keys.add(f"stages.{s}.blocks.{b}.layer_scale")
    keys |= {f"{owner}.{kind}" for owner in owners for kind in ("weight", "bias")}
    assert set(model.state_dict()) == keys


@pytest.mark.parametrize(
    ("dim", "third_depth", "parameters"),
    [
        (96, 9, 27_821_472),  # ConvNeXt-T
        (96, 27, 49_456_032),  # S
        (128, 27, 87_568_256),  # B
        (192, 27, 196_233_024),  # L
        (256, 27, 348_151_552),  # XL
    ],
)
def test_the_published_sizes_have_the_published_number_of_parameters(dim, third_depth, parameters):
    with torch.device("meta"):
        model = ConvNeXt(
            hidden_sizes=(dim, 2 * dim, 4 * dim, 8 * dim), depths=(3, 3, third_depth, 3)
        )
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("decay_norms", [True, False])
def test_norms_decay_as_in_the_official_code_unless_told_otherwise(decay_norms):
    decay = {}
    for group in parameter_groups(tiny_convnext(), decay_convnext_norms=decay_norms):
        decay |= dict.fromkeys(group["names"], group["weight_decay"])
    norms = {name for name in decay if "norm" in name}
    assert {"patch_embed.norm.weight", "norms.res5.bias", "stages.1.downsample.norm.bias"} <= norms
    for name, value in decay.items():
        assert value == (0.05 if decay_norms or name not in norms else 0.0), name


def test_every_field_of_the_config_reaches_the_model():
    changed = {
        "hidden_sizes": (4, 6, 8, 10), "depths": (1, 2, 1, 1), "layer_scale_init_value": 0.0,
        "drop_path_rate": 0.4, "num_channels": 1,
    }  # fmt: skip
    model = ConvNeXt.from_config(ConvNextConfig(**changed), checkpoint_blocks=True)
    twin = ConvNeXt(**changed, checkpoint_blocks=True)
    assert repr(model) == repr(twin)
    shapes, twin_shapes = ({k: v.shape for k, v in m.state_dict().items()} for m in (model, twin))
    assert shapes == twin_shapes
    assert all(stage.checkpoint_blocks for stage in model.stages)
    scaled = ConvNeXt.from_config(ConvNextConfig(**(changed | {"layer_scale_init_value": 0.5})))
    assert scaled.stages[3].blocks[0].layer_scale.tolist() == [0.5] * 10
    with torch.device("meta"):
        assert repr(ConvNeXt.from_config(ConvNextConfig())) == repr(ConvNeXt())


def test_an_exported_program_gives_the_same_maps_at_an_odd_size():
    model, images = shake(tiny_convnext()), torch.randn(1, 3, 39, 45)
    exported = torch.export.export(model, (images,), strict=False).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(images), model(images))


@pytest.mark.parametrize(("height", "width"), [(31, 64), (64, 31)])
def test_images_with_an_empty_coarsest_map_are_refused(height: int, width: int):
    with pytest.raises(ValueError, match=rf"got height={height}, width={width}. Pad them"):
        tiny_convnext()(torch.zeros(1, 3, height, width))


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"got hidden_sizes=\(4, 6\)"):
        tiny_convnext(hidden_sizes=(4, 6))
    with pytest.raises(ValueError, match=r"depths=\(1, 1, 1\)"):
        tiny_convnext(depths=(1, 1, 1))
    with pytest.raises(ValueError, match=r"got layer_scale_init_value=-1.0"):
        tiny_convnext(layer_scale_init_value=-1.0)


# --- parity


def renamed(
    theirs: dict[str, torch.Tensor], renames: list[tuple[str, str]]
) -> dict[str, torch.Tensor]:
    ours = {}
    for key, value in theirs.items():
        for old, new in renames:
            key = key.replace(old, new)
        ours[key] = value
    return ours


def from_transformers(theirs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state of transformers' ConvNextBackbone under our names."""
    return renamed(
        theirs,
        [
            ("embeddings.patch_embeddings", "patch_embed.proj"),
            ("embeddings.layernorm", "patch_embed.norm"),
            ("encoder.stages", "stages"),
            ("downsampling_layer.0", "downsample.norm"),
            ("downsampling_layer.1", "downsample.proj"),
            (".layers.", ".blocks."),
            ("layer_scale_parameter", "layer_scale"),
            ("layernorm", "norm"),
            ("pwconv", "fc"),
            *((f"hidden_states_norms.stage{s + 1}", f"norms.{NAMES[s]}") for s in range(4)),
        ],
    )


@pytest.mark.parity
@torch.no_grad()
def test_features_equal_those_of_transformers_at_odd_sizes():
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_sizes": [16, 24, 40, 56], "depths": [2, 1, 3, 2]}
    stages = ["stage1", "stage2", "stage3", "stage4"]
    config = transformers.ConvNextConfig(**sizes, layer_scale_init_value=1.0, out_features=stages)
    theirs = shake(transformers.ConvNextBackbone(config))
    ours = ConvNeXt(**sizes, layer_scale_init_value=1.0).eval()
    ours.load_state_dict(from_transformers(theirs.state_dict()))
    for height, width in [(131, 150), (67, 45), (33, 94)]:
        images = torch.randn(2, 3, height, width)
        expected = theirs(images).feature_maps
        for features, reference in zip(ours(images).values(), expected, strict=True):
            tolerance = 1e-5 * reference.abs().max().item()
            torch.testing.assert_close(features, reference, atol=tolerance, rtol=0)


@pytest.mark.parity
def test_tuples_of_sizes_work_where_transformers_needs_lists():
    transformers = pytest.importorskip("transformers")
    config = transformers.ConvNextConfig(hidden_sizes=(4, 6, 8, 10), depths=(1, 1, 1, 1))
    with pytest.raises(TypeError):
        transformers.ConvNextBackbone(config)
    for kind in (tuple, list):
        assert list(tiny_convnext(hidden_sizes=kind((4, 6, 8, 10))).out_channels.values()) == [
            4, 6, 8, 10
        ]  # fmt: skip


@pytest.mark.parity
@torch.no_grad()
def test_features_equal_those_of_timm_at_an_odd_size():
    timm = pytest.importorskip("timm")
    theirs = shake(timm.create_model("convnext_tiny", pretrained=False, num_classes=0))
    ours = shake(ConvNeXt(layer_scale_init_value=1.0))
    state = renamed(
        {k: v for k, v in theirs.state_dict().items() if not k.startswith("head.")},
        [
            ("stem.0", "patch_embed.proj"),
            ("stem.1", "patch_embed.norm"),
            ("downsample.0", "downsample.norm"),
            ("downsample.1", "downsample.proj"),
            ("conv_dw", "dwconv"),
            ("mlp.", ""),
            ("gamma", "layer_scale"),
        ],
    )
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("norms.") for name in missing)

    images = torch.randn(1, 3, 75, 102)
    expected = theirs.forward_intermediates(images, intermediates_only=True)
    for (name, norm), reference in zip(ours.norms.items(), expected, strict=True):
        normalised = norm(reference.movedim(1, -1)).movedim(-1, 1)
        tolerance = 1e-5 * normalised.abs().max().item()
        torch.testing.assert_close(ours(images)[name], normalised, atol=tolerance, rtol=0)
