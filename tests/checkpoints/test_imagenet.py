"""Backbones from the files of ImageNet classifiers.

Mutants that must fail: a step down of the wrong stage; the cells of patch merging in another order;
a name that two layouts share in the wrong place; batch statistics left out; output norms loaded
from the norm of the classifier.
"""

import dataclasses
import re

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from safetensors.torch import save_file
from torch import nn

from minioneformer.backbone.build import build_backbone
from minioneformer.checkpoints.imagenet import load_backbone
from minioneformer.checkpoints.relative_tables import resize_bias_maps, resize_window_table
from minioneformer.config import ConvNextConfig, DinatConfig, ResNetConfig, SwinConfig
from minioneformer.presets.backbones import backbone_preset

TINY = {
    "swin": SwinConfig(embed_dim=8, depths=(2, 1, 2, 1), num_heads=(1, 2, 4, 8), window_size=3),
    "convnext": ConvNextConfig(hidden_sizes=(4, 8, 12, 16), depths=(1, 2, 1, 1)),
    "dinat": DinatConfig(
        embed_dim=8,
        depths=(1, 2, 1, 1),
        num_heads=(1, 2, 4, 8),
        kernel_size=3,
        dilations=((2,), (1, 2), (1,), (1,)),
        layer_scale_init_value=1.0,
    ),
    "resnet": ResNetConfig(
        embedding_size=4, hidden_sizes=(8, 12, 16, 20), depths=(1, 2, 1, 1), frozen_batch_norm=True
    ),
}
# What the authors of each backbone call a tensor of ours: replaced one after the other.
OFFICIAL = {
    "swin": [(r"^stages\.", "layers."), (r"\.attention\.", ".attn.")],
    "convnext": [
        (r"^patch_embed\.proj\.", "downsample_layers.0.0."),
        (r"^patch_embed\.norm\.", "downsample_layers.0.1."),
        (r"^stages\.(\d)\.downsample\.norm\.", r"downsample_layers.\1.0."),
        (r"^stages\.(\d)\.downsample\.proj\.", r"downsample_layers.\1.1."),
        (r"\.blocks\.", "."),
        (r"\.fc(\d)\.", r".pwconv\1."),
        (r"\.layer_scale$", ".gamma"),
    ],
    "dinat": [
        (r"^patch_embed\.conv1\.", "patch_embed.proj.0."),
        (r"^patch_embed\.conv2\.", "patch_embed.proj.1."),
        (r"^stages\.", "levels."),
        (r"\.attention\.relative_position_bias$", ".attn.rpb"),
        (r"\.attention\.", ".attn."),
        (r"\.attention_scale$", ".gamma1"),
        (r"\.mlp_scale$", ".gamma2"),
    ],
    "resnet": [  # of Detectron2: the file that the official recipes name
        (r"^stem\.conv\.", "stem.conv1."),
        (r"^stem\.norm\.", "stem.conv1.norm."),
        (r"^stages\.0\.blocks", "res2"),
        (r"^stages\.1\.blocks", "res3"),
        (r"^stages\.2\.blocks", "res4"),
        (r"^stages\.3\.blocks", "res5"),
        (r"\.norm(\d)\.", r".conv\1.norm."),
        (r"\.shortcut\.conv\.", ".shortcut."),
    ],
}  # fmt: skip


def perturbed(module: nn.Module, scale: float = 0.05) -> nn.Module:
    """Every tensor random, so that none can be swapped for another unnoticed."""
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if not tensor.is_floating_point() or "attn_mask" in name:
                continue
            if name.endswith(("gamma", "layer_scale", "_scale")):
                tensor.uniform_(0.5, 1.0)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            else:
                tensor.add_(scale * torch.randn_like(tensor))
    return module.eval()


def official_weights(family: str, backbone: nn.Module) -> dict[str, torch.Tensor]:
    weights = {}
    for name, tensor in backbone.state_dict().items():
        if name.startswith("norms."):
            continue
        for pattern, replacement in OFFICIAL[family]:
            name = re.sub(pattern, replacement, name)
        weights[name] = tensor.clone()
    assert len(weights) == sum(not name.startswith("norms.") for name in backbone.state_dict())
    return weights


def our_maps(config, path, images, *, layout="auto"):
    """Load a file; our maps with fresh output norms, and the report.

    What is not loaded is nan: nothing is initialised but the output norms.
    """
    with torch.device("meta"):
        backbone = build_backbone(config).eval()
    backbone.to_empty(device="cpu")
    with torch.no_grad():
        for name, tensor in backbone.state_dict().items():
            fresh = float(name.endswith("weight")) if name.startswith("norms.") else float("nan")
            tensor.fill_(fresh if tensor.is_floating_point() else 0)
    report = load_backbone(backbone, config, path, layout=layout)
    with torch.no_grad():
        return list(backbone(images).values()), report


def assert_equal_maps(ours, theirs, *, normalised_eps=None):
    """Within 1e-4 of the largest value; theirs are normalised as our fresh output norms do."""
    assert len(ours) == len(theirs) == 4
    for own, other in zip(ours, theirs, strict=True):
        assert own.shape == other.shape
        if normalised_eps is not None:
            last = rearrange(other, "b c h w -> b h w c")
            normed = F.layer_norm(last, last.shape[-1:], eps=normalised_eps)
            other = rearrange(normed, "b h w c -> b c h w")
        assert (own - other).abs().max() < 1e-4 * other.abs().max()


def save(path, model):
    torch.save(model.state_dict(), path)
    return path


# name in timm, our configuration and what differs from it, size of the image
TIMM_SWIN = [
    ("swin_tiny_patch4_window7_224", "swin_tiny", {"window_size": 3}, (192, 288)),
    (
        "swin_base_patch4_window12_384",
        "swin_base",
        {"window_size": 2, "depths": (2, 2, 6, 2)},  # all 18 blocks: with torchvision, below
        (128, 192),
    ),
]


@pytest.mark.parity
@pytest.mark.parametrize("name, preset, changes, size", TIMM_SWIN, ids=["tiny", "base"])
def test_swin_of_timm_gives_the_same_maps(name, preset, changes, size, tmp_path, rng):
    """Sizes that windows divide in every stage, at the last more than one: theirs shrinks else."""
    timm = pytest.importorskip("timm")
    theirs = perturbed(timm.create_model(name, img_size=size, num_classes=3, **changes))
    config = dataclasses.replace(backbone_preset(preset), **changes)
    images = torch.randn(1, 3, *size, generator=rng)
    with torch.no_grad():
        x, maps = theirs.patch_embed(images), []
        for layer in theirs.layers:
            x = layer(x)
            maps.append(rearrange(x, "b h w c -> b c h w"))
    ours, report = our_maps(config, save(tmp_path / "swin.pth", theirs), images)
    assert_equal_maps(ours, maps, normalised_eps=1e-5)
    assert report.layout == "timm"
    assert set(report.tensors.skipped) == {
        "norm.weight",
        "norm.bias",
        "head.fc.weight",
        "head.fc.bias",
    }
    assert not report.resized


@pytest.mark.parity
@pytest.mark.parametrize("name, preset", [("swin_t", "swin_tiny"), ("swin_b", "swin_base")])
def test_swin_of_torchvision_gives_the_same_maps(name, preset, tmp_path, rng):
    """An odd size, but no begun patch, which theirs would not see."""
    models = pytest.importorskip("torchvision.models")
    theirs = perturbed(models.get_model(name, num_classes=3))
    config = dataclasses.replace(backbone_preset(preset), window_size=7)
    images = torch.randn(1, 3, 228, 260, generator=rng)
    with torch.no_grad():
        x, maps = images, []
        for number, stage in enumerate(theirs.features):
            x = stage(x)
            if number % 2 == 1:
                maps.append(rearrange(x, "b h w c -> b c h w"))
    ours, report = our_maps(config, save(tmp_path / "swin.pth", theirs), images)
    assert_equal_maps(ours, maps, normalised_eps=1e-5)
    assert report.layout == "torchvision"
    assert sum("relative_position_index" in name for name in report.tensors.skipped) == sum(
        config.depths
    )


@pytest.mark.parity
@pytest.mark.parametrize("name", ["convnext_tiny", "convnext_atto"])
def test_convnext_of_timm_gives_the_same_maps(name, tmp_path, rng):
    """The small one has 1 x 1 convolutions where we have linear layers."""
    timm = pytest.importorskip("timm")
    theirs = perturbed(timm.create_model(name, num_classes=3))
    config = (
        backbone_preset(name)
        if name == "convnext_tiny"
        else ConvNextConfig(hidden_sizes=(40, 80, 160, 320), depths=(2, 2, 6, 2))
    )
    images = torch.randn(2, 3, 96, 160, generator=rng)
    with torch.no_grad():
        x, maps = theirs.stem(images), []
        for stage in theirs.stages:
            x = stage(x)
            maps.append(x)
    path = tmp_path / "convnext.safetensors"
    save_file(theirs.state_dict(), path)
    ours, report = our_maps(config, path, images)
    assert_equal_maps(ours, maps, normalised_eps=1e-6)
    assert report.layout == "timm"


@pytest.mark.parity
def test_convnext_of_torchvision_gives_the_same_maps(tmp_path, rng):
    models = pytest.importorskip("torchvision.models")
    theirs = perturbed(models.convnext_tiny(num_classes=3))
    images = torch.randn(2, 3, 96, 160, generator=rng)
    with torch.no_grad():
        x, maps = images, []
        for number, stage in enumerate(theirs.features):
            x = stage(x)
            if number % 2 == 1:
                maps.append(x)
    path = save(tmp_path / "convnext.pth", theirs)
    ours, report = our_maps(backbone_preset("convnext_tiny"), path, images)
    assert_equal_maps(ours, maps, normalised_eps=1e-6)
    assert report.layout == "torchvision"
    assert set(report.tensors.skipped.values()) == {"norm of the classifier", "classifier"}


@pytest.mark.parity
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("library", ["timm", "torchvision.models"])
def test_resnet_gives_the_same_maps(library, frozen, tmp_path, rng):
    module = pytest.importorskip(library)
    make = module.create_model if library == "timm" else module.get_model
    theirs = perturbed(make("resnet50", num_classes=3), scale=0.01)
    config = ResNetConfig(frozen_batch_norm=frozen)
    images = torch.randn(2, 3, 97, 135, generator=rng)
    with torch.no_grad():
        relu = theirs.act1 if library == "timm" else theirs.relu
        x, maps = theirs.maxpool(relu(theirs.bn1(theirs.conv1(images)))), []
        for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            x = stage(x)
            maps.append(x)
    ours, report = our_maps(config, save(tmp_path / "resnet.pth", theirs), images)
    assert_equal_maps(ours, maps)
    assert report.tensors.reinitialised == ()
    assert ("a counter that nothing reads" in report.tensors.skipped.values()) is frozen


@pytest.mark.parametrize("family", TINY)
def test_official_names_lead_to_every_tensor(family, tmp_path):
    config = TINY[family]
    original = perturbed(build_backbone(config))
    weights = official_weights(family, original)
    extras = {"norm.weight": torch.ones(4), "head.bias": torch.ones(3)}
    if family == "swin":
        extras["layers.0.blocks.1.attn_mask"] = torch.zeros(4, 9, 9)
        extras["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(9, 9).long()
    torch.save({"model": weights | extras}, tmp_path / "official.pth")

    fresh = build_backbone(config)
    norms = {k: v.clone() for k, v in fresh.state_dict().items() if k.startswith("norms.")}
    report = load_backbone(fresh, config, tmp_path / "official.pth")
    for name, tensor in fresh.state_dict().items():
        expected = norms[name] if name in norms else original.state_dict()[name]
        assert torch.equal(tensor, expected), name
    assert report.layout == ("detectron2" if family == "resnet" else "official")
    assert set(report.tensors.skipped) == set(extras)
    assert set(report.tensors.reinitialised) == set(norms)
    assert len(report.tensors.loaded) + len(norms) == len(fresh.state_dict())


def test_an_old_file_without_batch_counters_loads_into_live_norms(tmp_path):
    config = dataclasses.replace(TINY["resnet"], frozen_batch_norm=False)
    original = perturbed(build_backbone(config))
    weights = {
        name: tensor
        for name, tensor in official_weights("resnet", original).items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(weights, tmp_path / "resnet.pth")
    fresh = build_backbone(config)
    report = load_backbone(fresh, config, tmp_path / "resnet.pth", layout="detectron2")
    assert report.tensors.complete
    assert len(report.tensors.loaded) == len(weights)
    assert torch.equal(
        fresh.stages[1].blocks[0].norm2.running_var,
        original.stages[1].blocks[0].norm2.running_var,
    )


@pytest.mark.parametrize("family, field", [("swin", "window_size"), ("dinat", "kernel_size")])
def test_tables_of_another_window_are_resized_and_reported(family, field, tmp_path):
    config = TINY[family]
    original = perturbed(build_backbone(config))
    torch.save(official_weights(family, original), tmp_path / "small.pth")
    wider = dataclasses.replace(config, **{field: 5})
    backbone = build_backbone(wider)
    report = load_backbone(backbone, wider, tmp_path / "small.pth")

    own, old = backbone.stages[1].blocks[0].attention, original.stages[1].blocks[0].attention
    if family == "swin":
        expected = resize_window_table(old.relative_position_bias_table, 81)
        assert torch.equal(own.relative_position_bias_table, expected)
    else:
        expected = resize_bias_maps(old.relative_position_bias, 9)
        assert torch.equal(own.relative_position_bias, expected)
    assert len(report.resized) == sum(config.depths)
    name = f"stages.1.blocks.0.attention.relative_position_bias{'_table' * (family == 'swin')}"
    expected = {"swin": ((25, 2), (81, 2)), "dinat": ((2, 5, 5), (2, 9, 9))}[family]
    assert report.resized[name] == expected
    assert f"window ({sum(config.depths)}): " in report.summary()
    assert f"{expected[0]} -> {expected[1]}" in report.summary()


def test_the_report_reads_as_text(tmp_path):
    config = TINY["swin"]
    weights = official_weights("swin", build_backbone(config))
    torch.save(weights | {"head.weight": torch.ones(2, 2)}, tmp_path / "swin.pth")
    report = load_backbone(build_backbone(config), config, tmp_path / "swin.pth")
    layout, loaded, fresh, skipped = report.summary().splitlines()
    assert layout == "names of the layout official"
    assert loaded == f"loaded {len(weights)} of {len(weights) + 8} tensors"
    assert "(8): norms.res2.weight" in fresh
    assert skipped == "skipped, classifier (1): head.weight"


def swin_file(tmp_path, **changes):
    config = dataclasses.replace(TINY["swin"], **changes)
    path = tmp_path / "swin.pth"
    torch.save({"model": official_weights("swin", build_backbone(config))}, path)
    return path


def test_a_file_of_another_size_is_refused_and_nothing_is_loaded(tmp_path):
    config = TINY["swin"]
    backbone = build_backbone(config)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    deeper = swin_file(tmp_path, depths=(2, 1, 4, 1))
    with pytest.raises(
        ValueError, match=r"swin\.pth.* no place for \d+ tensors.*layers\.2\.blocks"
    ):
        load_backbone(backbone, config, deeper)
    shallower = swin_file(tmp_path, depths=(2, 1, 1, 1))
    with pytest.raises(ValueError, match=r"swin\.pth.*missing: stages\.2\.blocks\.1"):
        load_backbone(backbone, config, shallower)
    wider = swin_file(tmp_path, embed_dim=16)
    with pytest.raises(ValueError, match=r"of another shape: patch_embed\.proj\.weight \(16, 3"):
        load_backbone(backbone, config, wider)
    assert all(torch.equal(before[name], t) for name, t in backbone.state_dict().items())


def test_images_with_other_channels_are_refused(tmp_path):
    config = dataclasses.replace(TINY["swin"], num_channels=1)
    path = swin_file(tmp_path)
    with pytest.raises(ValueError, match=r"images of 3 channels, got config\.num_channels=1"):
        load_backbone(build_backbone(config), config, path)


def test_a_file_of_no_known_layout_is_refused(tmp_path):
    config = TINY["convnext"]
    with pytest.raises(
        ValueError, match=r"no ImageNet weights of a convnext.*got \d+ tensors: patch"
    ):
        load_backbone(build_backbone(config), config, swin_file(tmp_path))
    with pytest.raises(ValueError, match=r"layouts official, timm, torchvision, got layout='tf'"):
        load_backbone(build_backbone(config), config, swin_file(tmp_path), layout="tf")
    with pytest.raises(ValueError, match=r"in the layouts torchvision, got"):
        load_backbone(
            build_backbone(TINY["swin"]), TINY["swin"], swin_file(tmp_path), layout="torchvision"
        )


def test_a_missing_or_truncated_file_is_named(tmp_path):
    config = TINY["swin"]
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        load_backbone(build_backbone(config), config, tmp_path / "none.pth")
    path = swin_file(tmp_path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(ValueError, match=r"swin\.pth is truncated"):
        load_backbone(build_backbone(config), config, path)
    weights = official_weights("swin", build_backbone(config))
    weights["layers.0.blocks.0.attn.relative_position_bias_table"] = torch.zeros(24, 1)
    torch.save(weights, path)
    with pytest.raises(ValueError, match=r"swin\.pth: rows must make a square, got 24 and 25"):
        load_backbone(build_backbone(config), config, path)
