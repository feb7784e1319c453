"""The four stages of DiNAT.

Mutants that must fail: an activation between the two convolutions of the embedding; drop path on
one branch only, or its rates per stage; one layer scale for both branches; the normalised map
handed on to the next stage; dilations in another order.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from minioneformer.backbone.dinat import ConvDownsample, ConvEmbed, DiNAT, DinatBlock
from minioneformer.config import DinatConfig

NAMES = ["res2", "res3", "res4", "res5"]
DEEP = {"depths": (3, 4, 18, 5), "mlp_ratio": 2.0}
LARGE = {"embed_dim": 192, "num_heads": (6, 12, 24, 48), "kernel_size": 11}


def tiny_dinat(**changes) -> DiNAT:
    settings = {
        "embed_dim": 4, "depths": (2, 1, 3, 1), "num_heads": (1, 2, 2, 4), "kernel_size": 3,
        "dilations": ((1, 4), (2,), (1, 2, 1), (1,)),
    }  # fmt: skip
    return DiNAT(**(settings | changes))


def shake(module: nn.Module) -> nn.Module:
    """Make every parameter matter: biases, norms and bias tables too."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


# --- parts


@torch.no_grad()
def test_the_embedding_is_linear_up_to_its_norm():
    embed = ConvEmbed(num_channels=3, embed_dim=6)
    embed.norm = nn.Identity()
    one, other = torch.randn(2, 1, 3, 13, 18)
    total = embed(one + other) + embed(torch.zeros_like(one))
    torch.testing.assert_close(total, embed(one) + embed(other))


@torch.no_grad()
def test_downsampling_convolves_with_one_cell_of_zeros_around_and_then_normalises():
    down = ConvDownsample(dim=1)
    down.reduction.weight.fill_(1.0)
    norm, down.norm = down.norm, nn.Identity()
    assert down(torch.ones(1, 5, 4, 1))[0, :, :, 0].tolist() == [[4, 6], [6, 9], [4, 6]]
    assert down.reduction.bias is None
    assert norm.normalized_shape == (2,)


def test_drop_path_drops_both_branches():
    block = DinatBlock(dim=4, num_heads=2, kernel_size=3, dilation=2, drop_path_rate=0.5)
    x = torch.randn(64, 3, 5, 4)
    with torch.no_grad():
        attended = block.attention(block.norm1(x))
        ways = []
        for first in (0.0, 2.0):
            middle = x + first * attended
            ways += [middle + second * block.mlp(block.norm2(middle)) for second in (0.0, 2.0)]
        out = block(x)
    taken = torch.stack([(out - way).abs().amax(dim=(1, 2, 3)) < 1e-6 for way in ways])
    assert (taken.sum(dim=0) == 1).all()
    assert taken.any(dim=1).all()


@torch.no_grad()
def test_each_branch_has_a_layer_scale_of_its_own():
    settings = {"dim": 4, "num_heads": 2, "kernel_size": 3, "dilation": 1}
    block = DinatBlock(**settings, layer_scale_init_value=1e-5)
    assert block.attention_scale.tolist() == block.mlp_scale.tolist() == [pytest.approx(1e-5)] * 4
    nn.init.normal_(block.attention_scale)
    nn.init.normal_(block.mlp_scale)
    x = torch.randn(2, 5, 6, 4)
    middle = x + block.attention_scale * block.attention(block.norm1(x))
    expected = middle + block.mlp_scale * block.mlp(block.norm2(middle))
    torch.testing.assert_close(block(x), expected)
    plain = DinatBlock(**settings)
    assert plain.attention_scale is None and plain.mlp_scale is None


# --- the whole


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_strides_are_4_8_16_32_rounded_up_at_any_size(height: int, width: int):
    model = tiny_dinat()
    features = model(torch.randn(2, 3, height, width))
    assert list(features) == NAMES
    for name, stride in zip(NAMES, (4, 8, 16, 32), strict=True):
        cells = (math.ceil(height / stride), math.ceil(width / stride))
        assert features[name].shape == (2, model.out_channels[name], *cells)


def test_the_docstrings_example_of_67_by_45_pixels():
    features = tiny_dinat()(torch.randn(1, 3, 67, 45))
    assert [tuple(f.shape[-2:]) for f in features.values()] == [(17, 12), (9, 6), (5, 3), (3, 2)]


@torch.no_grad()
def test_each_map_is_normalised_and_the_next_stage_sees_it_before():
    model, images = tiny_dinat().eval(), torch.randn(1, 3, 67, 45)
    before = model(images)
    for features in before.values():
        torch.testing.assert_close(features.mean(dim=1), torch.zeros_like(features[:, 0]))
    for name in NAMES[:3]:
        nn.init.zeros_(model.norms[name].weight)
    after = model(images)
    assert after["res2"].abs().max() == 0
    assert torch.equal(after["res5"], before["res5"])


@torch.no_grad()
def test_batch_of_one_equals_batch_of_many():
    model, images = shake(tiny_dinat()), torch.randn(3, 3, 37, 61)
    together = model(images)
    for i in range(3):
        for name, alone in model(images[i : i + 1]).items():
            torch.testing.assert_close(alone, together[name][i : i + 1])


def test_blocks_have_their_dilations_and_rising_rates_of_drop_path():
    model = tiny_dinat(drop_path_rate=0.3)
    blocks = [block for stage in model.stages for block in stage.blocks]
    assert [block.attention.dilation for block in blocks] == [1, 4, 2, 1, 2, 1, 1]
    rates = [block.drop_path.rate for block in blocks]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3])
    plain = tiny_dinat(dilations=None)
    assert {b.attention.dilation for s in plain.stages for b in s.blocks} == {1}


def test_checkpointed_blocks_give_the_same_gradients_and_reach_every_parameter():
    images, gradients = torch.randn(3, 3, 90, 61), []
    for checkpoint_blocks in (False, True):
        torch.manual_seed(3)
        model = tiny_dinat(
            drop_path_rate=0.5, layer_scale_init_value=0.5, checkpoint_blocks=checkpoint_blocks
        )
        shake(model).train()
        sum(f.square().mean() for f in model(images).values()).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert all(g is not None and g.abs().max() > 0 for g in gradients[0].values())
    torch.testing.assert_close(gradients[1], gradients[0])


def test_training_under_autocast_stays_near_float32():
    model, images = shake(tiny_dinat(embed_dim=8)), torch.randn(1, 3, 41, 66)
    expected = model(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = model(images)
    for name in NAMES:
        torch.testing.assert_close(features[name].float(), expected[name], atol=0.15, rtol=0)
    sum(f.float().square().mean() for f in features.values()).backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


def test_linears_and_bias_tables_start_from_a_narrow_normal():
    model = tiny_dinat(embed_dim=16)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.2)
            assert module.bias is None or (module.bias == 0).all()
    tables = [b.attention.relative_position_bias for s in model.stages for b in s.blocks]
    assert torch.cat([t.flatten() for t in tables]).std().item() == pytest.approx(0.02, rel=0.2)


def test_a_checkpoint_holds_the_named_parameters_and_nothing_cached():
    model = tiny_dinat(depths=(1, 1, 1, 2), dilations=None, layer_scale_init_value=1e-5)
    model(torch.randn(1, 3, 20, 33))
    block = ["norm1", "attention.qkv", "attention.proj", "norm2", "mlp.fc1", "mlp.fc2"]
    owners = [f"patch_embed.{part}" for part in ("conv1", "conv2", "norm")]
    owners += [f"norms.{name}" for name in NAMES]
    owners += [f"stages.{s}.downsample.norm" for s in range(3)]
    keys = {f"stages.{s}.downsample.reduction.weight" for s in range(3)}
    for s, b in [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1)]:
        name = f"stages.{s}.blocks.{b}"
        owners += [f"{name}.{part}" for part in block]
        keys |= {f"{name}.{scale}" for scale in ("attention_scale", "mlp_scale")}
        keys.add(f"{name}.attention.relative_position_bias")
    keys |= {f"{owner}.{kind}" for owner in owners for kind in ("weight", "bias")}
    assert set(model.state_dict()) == keys


@pytest.mark.parametrize(
    ("settings", "millions"),
    [
        ({}, 19.47),
        ({"depths": (3, 4, 18, 5)}, 27.39),
        (DEEP | {"embed_dim": 96, "num_heads": (3, 6, 12, 24)}, 49.95),
        (
            DEEP | {"embed_dim": 128, "num_heads": (4, 8, 16, 32), "layer_scale_init_value": 1e-5},
            88.75,
        ),
        (DEEP | LARGE, 199.61),
    ],
    ids=["Mini", "T", "S", "B", "L"],
)
def test_the_published_sizes_have_the_published_number_of_parameters(settings, millions):
    with torch.device("meta"):
        model = DiNAT(**settings)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions


def test_every_field_of_the_config_reaches_the_model():
    changed = {
        "embed_dim": 24, "depths": (1, 2, 1, 1), "num_heads": (4, 4, 8, 8), "kernel_size": 5,
        "dilations": ((3,), (1, 2), (2,), (1,)), "mlp_ratio": 2.0, "qkv_bias": False,
        "drop_path_rate": 0.4, "layer_scale_init_value": 1e-5, "num_channels": 1,
        "layer_norm_eps": 1e-3,
    }  # fmt: skip
    with torch.device("meta"):
        model = DiNAT.from_config(DinatConfig(**changed), checkpoint_blocks=True)
        twin = DiNAT(**changed, checkpoint_blocks=True)
        default, plain = DiNAT.from_config(DinatConfig()), DiNAT()

    def described(model: DiNAT) -> tuple[str, dict]:
        heads = [block.attention.num_heads for stage in model.stages for block in stage.blocks]
        return f"{model} {heads}", {k: v.shape for k, v in model.state_dict().items()}

    assert described(model) == described(twin)
    assert described(default) == described(plain)
    assert all(stage.checkpoint_blocks for stage in model.stages)
    for name in set(changed) - {"depths"}:  # and each field changes something
        with torch.device("meta"):
            other = DiNAT(**(changed | {name: getattr(DinatConfig(), name)}))
        assert described(other) != described(twin), name


def test_the_epsilon_of_the_config_is_that_of_the_blocks_alone():
    model = tiny_dinat(layer_norm_eps=1e-3)
    norms = {n: m.eps for n, m in model.named_modules() if isinstance(m, nn.LayerNorm)}
    assert {n for n, eps in norms.items() if eps == 1e-3} == {n for n in norms if "blocks" in n}


def test_exporting_leaves_nothing_behind_that_a_later_forward_would_trip_over():
    model = tiny_dinat(depths=(2, 1, 1, 1), dilations=((1, 3), (2,), (1,), (1,))).eval()
    images = torch.randn(1, 3, 30, 45)
    exported = torch.export.export(model, (images,), strict=False).module()
    with torch.no_grad():
        expected, got = model(images), exported(images)
    torch.testing.assert_close(got, expected)


def test_settings_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match=r"got depths=\(2, 2\)"):
        DiNAT(depths=(2, 2))
    with pytest.raises(ValueError, match=r"num_heads=\(3, 6\)"):
        DiNAT(num_heads=(3, 6))
    with pytest.raises(ValueError, match="one entry per block, got dilations="):
        tiny_dinat(dilations=((1, 4), (2,), (1, 2), (1,)))
    with pytest.raises(ValueError, match="embed_dim=5"):
        DiNAT(embed_dim=5)


# --- parity


def axis_neighbors(length: int, kernel_size: int, dilation: int) -> tuple[Tensor, Tensor]:
    """Positions of the keys of each position, and their places in the bias table."""
    starts = []
    for i in range(length):
        in_class = math.ceil((length - i % dilation) / dilation)
        starts.append(min(max(i // dilation - kernel_size // 2, 0), in_class - kernel_size))
    i = torch.arange(length)[:, None]
    steps = torch.tensor(starts)[:, None] + torch.arange(kernel_size)
    return steps * dilation + i % dilation, steps - i // dilation + kernel_size - 1


# subtle: transformers hands over (B, W, H, heads, D) where NATTEN wants (B, heads, H, W, D).


def scores(q: Tensor, k: Tensor, bias: Tensor, kernel_size: int, dilation: int) -> Tensor:
    """What NATTEN's removed natten2dqkrpb did; (B, heads, H, W, k * k)."""
    q, k = q.transpose(1, 2), k.transpose(1, 2)  # (B, H, W, heads, D)
    rows, of_rows = axis_neighbors(q.shape[1], kernel_size, dilation)
    columns, of_columns = axis_neighbors(q.shape[2], kernel_size, dilation)
    near = k[:, rows[:, None, :, None], columns[None, :, None, :]]
    logits = torch.einsum("bhwnd,bhwyxnd->bnhwyx", q, near)
    return (logits + bias[:, of_rows[:, None, :, None], of_columns[None, :, None, :]]).flatten(-2)


def average(weights: Tensor, v: Tensor, kernel_size: int, dilation: int) -> Tensor:
    """What NATTEN's removed natten2dav did; (B, heads, H, W, D)."""
    v = v.transpose(1, 2)
    rows, _ = axis_neighbors(v.shape[1], kernel_size, dilation)
    columns, _ = axis_neighbors(v.shape[2], kernel_size, dilation)
    near = v[:, rows[:, None, :, None], columns[None, :, None, :]]
    weights = weights.unflatten(-1, (kernel_size, kernel_size))
    return torch.einsum("bnhwyx,bhwyxnd->bnhwd", weights, near)


def our_weights(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of transformers' DinatBackbone under our names."""
    renames = [
        ("embeddings.patch_embeddings.projection.0", "patch_embed.conv1"),
        ("embeddings.patch_embeddings.projection.1", "patch_embed.conv2"),
        ("embeddings.norm", "patch_embed.norm"),
        ("encoder.levels.", "stages."),
        (".layers.", ".blocks."),
        ("layernorm_before", "norm1"),
        ("layernorm_after", "norm2"),
        ("attention.self.rpb", "attention.relative_position_bias"),
        ("attention.self.query", "attention.qkv"),
        ("attention.output.dense", "attention.proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
        *((f"hidden_states_norms.stage{s + 1}", f"norms.{NAMES[s]}") for s in range(4)),
    ]
    ours: dict[str, Tensor] = {}
    for key, value in theirs.items():
        if ".key." in key or ".value." in key:
            continue
        if ".query." in key:
            parts = ("query", "key", "value")
            value = torch.cat([theirs[key.replace("query", part)] for part in parts])
        if key.endswith("layer_scale_parameters"):
            owner = key.removesuffix("layer_scale_parameters")
            owner = owner.replace("encoder.levels.", "stages.").replace(".layers.", ".blocks.")
            ours |= {f"{owner}attention_scale": value[0], f"{owner}mlp_scale": value[1]}
            continue
        for old, new in renames:
            key = key.replace(old, new)
        ours[key] = value
    return ours


@pytest.mark.parity
@pytest.mark.parametrize("layer_scale", [0.0, 0.5])
@torch.no_grad()
def test_features_equal_those_of_transformers_with_its_axes_put_right(monkeypatch, layer_scale):
    pytest.importorskip("transformers")
    from transformers import DinatBackbone, DinatConfig
    from transformers.models.dinat import modeling_dinat

    monkeypatch.setattr(modeling_dinat, "requires_backends", lambda *_: None)
    monkeypatch.setattr(modeling_dinat, "natten2dqkrpb", scores)
    monkeypatch.setattr(modeling_dinat, "natten2dav", average)
    settings = {
        "embed_dim": 8, "depths": (2, 2, 3, 1), "num_heads": (1, 2, 4, 4), "kernel_size": 5,
        "dilations": ((1, 6), (2, 1), (1, 3, 1), (2,)), "mlp_ratio": 2.0,
        "layer_scale_init_value": layer_scale,
    }  # fmt: skip
    stages = ["stage1", "stage2", "stage3", "stage4"]
    config = DinatConfig(**settings, out_features=stages)
    theirs = shake(DinatBackbone(config))
    ours = DiNAT(**settings).eval()
    ours.load_state_dict(our_weights(theirs.state_dict()))
    for height, width in [(131, 150), (67, 45)]:
        images = torch.randn(2, 3, height, width)
        expected = theirs(images).feature_maps
        for features, reference in zip(ours(images).values(), expected, strict=True):
            torch.testing.assert_close(features, reference, atol=1e-5, rtol=1e-5)
