"""Bottleneck blocks and their frozen or live batch norms.

Mutants that must fail: the stride on a 1 x 1 convolution; no ReLU after the sum; frozen norms that
move or learn in training mode; running statistics moved twice by a recomputed block; eps 1e-3.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from minioneformer.backbone.resnet import Bottleneck, FrozenBatchNorm, ResNet
from minioneformer.config import ResNetConfig

NAMES = ["res2", "res3", "res4", "res5"]
TINY = {"embedding_size": 4, "hidden_sizes": (8, 8, 12, 16), "depths": (1, 2, 2, 1)}
STATISTICS = ["running_mean", "running_var"]


def tiny_resnet(**changes) -> ResNet:
    return ResNet(**(TINY | changes))


def shake(module: nn.Module) -> nn.Module:
    """Make every weight and every statistic matter."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            if not name.endswith("num_batches_tracked"):
                buffer.add_(0.3 * torch.rand_like(buffer))  # variances stay positive
    return module.eval()


def statistics(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


# --- frozen batch norm


def test_the_docstring_example_of_a_frozen_norm():
    norm = FrozenBatchNorm(1)
    values = {"running_mean": 1.0, "running_var": 4.0, "weight": 6.0, "bias": 5.0}
    norm.load_state_dict({name: torch.tensor([value]) for name, value in values.items()})
    assert norm(torch.full((1, 1, 1, 1), 3.0)).item() == pytest.approx(11, abs=1e-4)


def test_a_frozen_norm_equals_a_live_one_in_evaluation_whatever_its_mode():
    live, frozen = shake(nn.BatchNorm2d(5)), FrozenBatchNorm(5)
    with torch.no_grad():
        live.running_var.mul_(1e-4)  # small: eps counts
    state = live.state_dict()
    del state["num_batches_tracked"]
    frozen.load_state_dict(state)
    x = torch.randn(2, 5, 3, 7)
    for mode in (True, False):
        torch.testing.assert_close(frozen.train(mode)(x), live(x))


def test_a_frozen_norm_has_nothing_to_learn_and_keeps_no_map_for_the_backward_pass():
    frozen, kept = FrozenBatchNorm(5), []
    x = torch.randn(2, 5, 3, 7, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = frozen(x)
    y.sum().backward()
    assert x.grad is not None
    assert list(frozen.parameters()) == []
    assert max(t.numel() for t in kept) == 5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_frozen_norm_keeps_the_dtype_of_its_map(dtype: torch.dtype):
    assert FrozenBatchNorm(5)(torch.ones(1, 5, 2, 3, dtype=dtype)).dtype == dtype


# --- one block


def convolve_in_loops(x: torch.Tensor, conv: nn.Conv2d, stride: int) -> torch.Tensor:
    """One output number at a time, zeros around the map."""
    batch, _, height, width = x.shape
    out_dim, in_dim, side, _ = conv.weight.shape
    size = (math.ceil(height / stride), math.ceil(width / stride))
    out = torch.zeros(batch, out_dim, *size, dtype=x.dtype)
    places = [range(n) for n in (*out.shape, in_dim, side, side)]
    for b, o, row, column, i, down, right in itertools.product(*places):
        r, k = row * stride + down - side // 2, column * stride + right - side // 2
        if 0 <= r < height and 0 <= k < width:
            out[b, o, row, column] += x[b, i, r, k] * conv.weight[o, i, down, right]
    return out


def normalise_in_loops(x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
    out = x.clone()
    for c in range(x.shape[1]):
        deviation = math.sqrt(norm.running_var[c].item() + 1e-5)
        unit = (x[:, c] - norm.running_mean[c]) / deviation
        out[:, c] = unit * norm.weight[c] + norm.bias[c]
    return out


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize(("in_dim", "stride"), [(3, 1), (3, 2), (8, 2), (8, 1)])
@torch.no_grad()
def test_a_block_equals_loops_on_an_odd_map(in_dim: int, stride: int, frozen: bool):
    block = Bottleneck(in_dim=in_dim, dim=8, stride=stride, frozen_batch_norm=frozen).double()
    shake(block)
    x = torch.randn(1, in_dim, 5, 3, dtype=torch.double)
    y = normalise_in_loops(convolve_in_loops(x, block.conv1, 1), block.norm1).clamp(min=0)
    y = normalise_in_loops(convolve_in_loops(y, block.conv2, stride), block.norm2).clamp(min=0)
    y = normalise_in_loops(convolve_in_loops(y, block.conv3, 1), block.norm3)
    if (in_dim, stride) == (8, 1):
        assert block.shortcut is None
        y = y + x
    else:
        shortcut = convolve_in_loops(x, block.shortcut.conv, stride)
        y = y + normalise_in_loops(shortcut, block.shortcut.norm)
    torch.testing.assert_close(block(x), y.clamp(min=0))


# --- the whole


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 100), width=st.integers(1, 100))
def test_strides_are_4_8_16_32_rounded_up_at_any_size(height: int, width: int):
    model = tiny_resnet(frozen_batch_norm=True)
    features = model(torch.randn(2, 3, height, width))
    assert list(features) == NAMES
    for name, stride in zip(NAMES, (4, 8, 16, 32), strict=True):
        cells = (-(-height // stride), -(-width // stride))
        assert features[name].shape == (2, model.out_channels[name], *cells)


def test_the_docstrings_example_of_67_by_45_pixels():
    features = tiny_resnet().eval()(torch.randn(1, 3, 67, 45))
    assert [tuple(f.shape[-2:]) for f in features.values()] == [(17, 12), (9, 6), (5, 3), (3, 2)]
    assert all(f.min() >= 0 for f in features.values())


def test_each_stage_but_the_first_steps_down_in_the_3_by_3_of_its_first_block():
    strides = [
        [(b.conv1.stride, b.conv2.stride, b.conv3.stride) for b in stage.blocks]
        for stage in tiny_resnet().stages
    ]
    same, down = ((1, 1), (1, 1), (1, 1)), ((1, 1), (2, 2), (1, 1))
    assert strides == [[same], [down, same], [down, same], [down]]


@pytest.mark.parametrize("frozen", [True, False])
@torch.no_grad()
def test_batch_of_one_equals_batch_of_many_in_evaluation(frozen: bool):
    model, images = shake(tiny_resnet(frozen_batch_norm=frozen)), torch.randn(3, 3, 37, 61)
    together = model(images)
    for i in range(3):
        for name, alone in model(images[i : i + 1]).items():
            torch.testing.assert_close(alone, together[name][i : i + 1])


def test_frozen_norms_stay_as_they_are_through_a_training_step():
    model, images = shake(tiny_resnet(frozen_batch_norm=True)), torch.randn(2, 3, 65, 97)
    expected, before = model(images), statistics(model)
    features = model.train()(images)
    torch.testing.assert_close(features, expected, atol=0, rtol=0)
    sum(f.square().mean() for f in features.values()).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert len(before) == 4 * 23  # stem, three per block, one per shortcut
    torch.testing.assert_close(statistics(model), before, atol=0, rtol=0)
    assert all(isinstance(m, nn.Conv2d) for m in model.modules() if list(m.parameters(False)))


def test_live_norms_use_the_batch_in_training_and_remember_a_tenth_of_it():
    model, images = shake(tiny_resnet()), 3 + torch.randn(2, 3, 65, 97)
    expected, before = model(images), model.stem.norm.running_mean.clone()
    features = model.train()(images)
    assert not torch.allclose(features["res2"], expected["res2"], atol=1e-2)
    batch_mean = model.stem.conv(images).mean(dim=(0, 2, 3))
    moved = 0.9 * before + 0.1 * batch_mean
    torch.testing.assert_close(model.stem.norm.running_mean, moved, atol=1e-5, rtol=1e-4)
    assert all(norm.num_batches_tracked == 1 for norm in live_norms(model))


def live_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize("frozen", [True, False])
def test_gradients_reach_every_parameter_and_the_image(frozen: bool):
    model = shake(tiny_resnet(frozen_batch_norm=frozen)).train()
    images = torch.randn(2, 3, 66, 97, requires_grad=True)
    sum((f * torch.randn_like(f)).sum() for f in model(images).values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad.abs().max() == 0]
    assert (images.grad.abs().amax(dim=(0, 1)) > 0).float().mean() > 0.9


@pytest.mark.parametrize("frozen", [True, False])
def test_checkpointed_blocks_give_the_same_maps_gradients_and_statistics(frozen: bool):
    images, maps, gradients, moved = torch.randn(2, 3, 65, 97), [], [], []
    for checkpoint_blocks in (False, True):
        torch.manual_seed(3)
        model = tiny_resnet(frozen_batch_norm=frozen, checkpoint_blocks=checkpoint_blocks)
        shake(model).train()
        for _ in range(2):
            model.zero_grad()
            maps.append(model(images))
            moved.append(statistics(model))
            sum(f.square().mean() for f in maps[-1].values()).backward()
            moved.append(statistics(model))
        gradients.append({name: p.grad for name, p in model.named_parameters()})
        assert all(norm.momentum == 0.1 for norm in live_norms(model))
    torch.testing.assert_close(maps[2:], maps[:2])
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(moved[4:], moved[:4])
    assert all(norm.num_batches_tracked == 2 for norm in live_norms(model))


def test_live_norms_become_synchronised_ones_and_frozen_ones_do_not():
    for frozen, kind in [(False, nn.SyncBatchNorm), (True, FrozenBatchNorm)]:
        model = tiny_resnet(frozen_batch_norm=frozen)
        keys = set(model.state_dict())
        converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        assert set(converted.state_dict()) == keys
        assert sum(isinstance(module, kind) for module in converted.modules()) == 23
        assert live_norms(converted) == []


def test_convolutions_start_from_kaimings_normal_by_fan_out_and_norms_from_the_identity():
    model = ResNet(embedding_size=32, hidden_sizes=(64, 64, 96, 128), depths=(1, 1, 1, 2))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.bias is None
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.15)
    for norm in (*live_norms(model), FrozenBatchNorm(3)):
        assert norm.eps == 1e-5
        assert (norm.weight == 1).all()
        assert (norm.running_var == 1).all()
        assert (norm.bias == 0).all()
        assert (norm.running_mean == 0).all()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_checkpoint_holds_convolutions_and_norms_and_nothing_else(frozen: bool):
    convs, norms = ["stem.conv"], ["stem.norm"]
    for s, b in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0)]:
        block = f"stages.{s}.blocks.{b}"
        convs += [f"{block}.conv{i}" for i in (1, 2, 3)]
        norms += [f"{block}.norm{i}" for i in (1, 2, 3)]
        if b == 0:
            convs.append(f"{block}.shortcut.conv")
            norms.append(f"{block}.shortcut.norm")
    kinds = ["weight", "bias", *STATISTICS] + ([] if frozen else ["num_batches_tracked"])
    keys = {f"{conv}.weight" for conv in convs}
    keys |= {f"{norm}.{kind}" for norm in norms for kind in kinds}
    model = tiny_resnet(frozen_batch_norm=frozen, hidden_sizes=(8, 12, 16, 20))
    assert set(model.state_dict()) == keys


@pytest.mark.parametrize(
    ("third_depth", "frozen", "parameters"),
    [
        (6, False, 23_508_032),  # ResNet-50
        (6, True, 23_454_912),  # 53 120 of them are constants then
        (23, False, 42_500_160),  # ResNet-101
    ],
)
def test_the_published_sizes_have_the_published_number_of_parameters(
    third_depth: int, frozen: bool, parameters: int
):
    with torch.device("meta"):
        model = ResNet(depths=(3, 4, third_depth, 3), frozen_batch_norm=frozen)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_every_field_of_the_config_reaches_the_model():
    changed = {
        "embedding_size": 12, "hidden_sizes": (8, 12, 16, 20), "depths": (1, 2, 1, 1),
        "frozen_batch_norm": True, "num_channels": 1,
    }  # fmt: skip
    with torch.device("meta"):
        model = ResNet.from_config(ResNetConfig(**changed), checkpoint_blocks=True)
        twin = ResNet(**changed, checkpoint_blocks=True)
    assert repr(model) == repr(twin)
    assert all(stage.checkpoint_blocks for stage in model.stages)
    for name, value in changed.items():  # and each field changes something
        with torch.device("meta"):
            other = ResNet(**(changed | {name: getattr(ResNetConfig(), name)}))
        assert repr(other) != repr(twin), (name, value)
    with torch.device("meta"):
        assert repr(ResNet.from_config(ResNetConfig())) == repr(ResNet())


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"got hidden_sizes=\(8, 8\)"):
        tiny_resnet(hidden_sizes=(8, 8))
    with pytest.raises(ValueError, match=r"depths=\(1, 1, 1\)"):
        tiny_resnet(depths=(1, 1, 1))
    with pytest.raises(ValueError, match=r"multiples of 4, got hidden_sizes=\(8, 8, 10, 16\)"):
        tiny_resnet(hidden_sizes=(8, 8, 10, 16))
    with pytest.raises(ValueError, match=r"got depths=\(1, 0, 1, 1\)"):
        tiny_resnet(depths=(1, 0, 1, 1))


def test_an_exported_program_gives_the_same_maps_at_an_odd_size():
    model, images = shake(tiny_resnet(frozen_batch_norm=True)), torch.randn(1, 3, 39, 45)
    exported = torch.export.export(model, (images,), strict=False).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(images), model(images))


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


def assert_equal_maps(
    ours: list[ResNet], state: dict[str, torch.Tensor], images: torch.Tensor, expected
) -> None:
    """Load live and frozen models alike, and compare with the largest value of each map."""
    for model in ours:
        keys = model.state_dict()
        left_out = {key for key in state if key not in keys}
        assert all(key.endswith("num_batches_tracked") for key in left_out)
        model.load_state_dict({key: state[key] for key in keys})
        for features, reference in zip(model.eval()(images).values(), expected, strict=True):
            tolerance = 1e-5 * reference.abs().max().item()
            torch.testing.assert_close(features, reference, atol=tolerance, rtol=0)


@pytest.mark.parity
@pytest.mark.parametrize("embedding_size", [16, 32])  # with 32 the first stage has no shortcut
@torch.no_grad()
def test_features_equal_those_of_transformers_at_an_odd_size(embedding_size: int):
    transformers = pytest.importorskip("transformers")
    sizes = {"embedding_size": embedding_size, "hidden_sizes": [32, 48, 64, 64]}
    sizes |= {"depths": [2, 1, 3, 1]}
    stages = ["stage1", "stage2", "stage3", "stage4"]
    theirs = shake(
        transformers.ResNetBackbone(transformers.ResNetConfig(**sizes, out_features=stages))
    )
    renames = [
        ("embedder.embedder.convolution", "stem.conv"),
        ("embedder.embedder.normalization", "stem.norm"),
        ("encoder.stages", "stages"),
        (".layers.", ".blocks."),
        ("shortcut.convolution", "shortcut.conv"),
        ("shortcut.normalization", "shortcut.norm"),
        *((f"layer.{i}.convolution", f"conv{i + 1}") for i in range(3)),
        *((f"layer.{i}.normalization", f"norm{i + 1}") for i in range(3)),
    ]
    images = torch.randn(2, 3, 131, 75)
    assert_equal_maps(
        [ResNet(**sizes, frozen_batch_norm=frozen) for frozen in (False, True)],
        renamed(theirs.state_dict(), renames),
        images,
        theirs(images).feature_maps,
    )


FROM_TORCHVISION = [
    ("layer1", "stages.0.blocks"),
    ("layer2", "stages.1.blocks"),
    ("layer3", "stages.2.blocks"),
    ("layer4", "stages.3.blocks"),
    ("downsample.0", "shortcut.conv"),
    ("downsample.1", "shortcut.norm"),
    ("bn", "norm"),
]


def from_torchvision(theirs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state of a ResNet of torchvision or timm under our names, less the classifier."""
    state = {key: value for key, value in theirs.items() if not key.startswith("fc.")}
    ours = renamed(state, FROM_TORCHVISION)
    in_stem = [key for key in ours if key.startswith(("conv1.", "norm1."))]
    return ours | {f"stem.{key.replace('1.', '.', 1)}": ours.pop(key) for key in in_stem}


@pytest.mark.parity
@torch.no_grad()
def test_resnet_50_equals_that_of_torchvision_at_an_odd_size():
    torchvision = pytest.importorskip("torchvision")
    theirs = shake(torchvision.models.resnet50(weights=None))
    images = torch.randn(1, 3, 75, 102)
    x, expected = theirs.maxpool(F.relu(theirs.bn1(theirs.conv1(images)))), []
    for layer in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        x = layer(x)
        expected.append(x)
    ours = [ResNet(frozen_batch_norm=True)]
    assert_equal_maps(ours, from_torchvision(theirs.state_dict()), images, expected)


@pytest.mark.parity
@torch.no_grad()
def test_resnet_50_equals_that_of_timm_at_an_odd_size():
    timm = pytest.importorskip("timm")
    theirs = shake(timm.create_model("resnet50", pretrained=False))
    images = torch.randn(1, 3, 75, 102)
    expected = theirs.forward_intermediates(images, indices=4, intermediates_only=True)
    assert_equal_maps([ResNet()], from_torchvision(theirs.state_dict()), images, expected)
