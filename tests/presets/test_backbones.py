"""Sizes of the backbones.

Mutants that must fail: a depth, a width or a head more or less; dilations of another recipe; a
layer scale where the paper has none.
"""

import functools

import pytest
import torch

from minioneformer.config import DinatConfig, OneFormerConfig, ResNetConfig, SwinConfig
from minioneformer.model import OneFormer
from minioneformer.presets.backbones import BACKBONES, backbone_preset

# Millions of parameters with 150 classes, as transformers counts them: queries, backbone, whole
# model without its text branch.
PUBLISHED_SIZES = {
    "resnet50": (150, 23.51, 47.34),
    "swin_tiny": (150, 27.52, 50.74),
    "swin_small": (150, 48.84, 72.06),
    "swin_base": (150, 86.88, 110.22),
    "swin_large": (250, 195.20, 218.81),
    "convnext_tiny": (250, 27.82, 51.06),
    "convnext_small": (250, 49.46, 72.70),
    "convnext_base": (250, 87.57, 110.93),
    "convnext_large": (250, 196.23, 219.84),
    "convnext_xlarge": (250, 348.15, 372.01),
    "dinat_mini": (250, 19.47, 42.59),
    "dinat_tiny": (250, 27.39, 50.51),
    "dinat_small": (250, 49.95, 73.19),
    "dinat_base": (250, 88.75, 112.11),
    "dinat_large": (250, 199.61, 223.22),
}


@functools.cache
def sizes(backbone: str, num_queries: int, is_training: bool = False) -> tuple[int, int]:
    """Parameters of backbone and model, counted without memory."""
    config = OneFormerConfig(
        backbone_config=backbone_preset(backbone),
        num_labels=150,
        num_queries=num_queries,
        is_training=is_training,
    )
    with torch.device("meta"):
        model = OneFormer.from_config(config)
    return count(model.backbone), count(model)


def count(module: torch.nn.Module) -> int:
    """Batch norms that are frozen hold as many numbers as those that learn."""
    affine = {
        name: buffer
        for name, buffer in module.named_buffers()
        if name.endswith((".weight", ".bias"))
    }
    return sum(t.numel() for t in (*module.parameters(), *affine.values()))


@pytest.mark.parametrize("name", PUBLISHED_SIZES)
def test_parameters_are_those_of_the_published_tables(name):
    num_queries, backbone, total = PUBLISHED_SIZES[name]
    own_backbone, own_total = sizes(name, num_queries)
    # transformers has the temperature of a loss in the model, and a norm in Swin that nothing reads
    config = backbone_preset(name)
    unread = 1 + (2 * config.stage_dims[-1] if isinstance(config, SwinConfig) else 0)
    found = [round(number / 1e6, 2) for number in (own_backbone, own_total + unread)]
    assert found == [backbone, total]


@pytest.mark.parametrize(
    ("name", "num_queries", "is_training", "expected"),
    [
        ("swin_tiny", 150, False, 50_736_401),
        ("swin_tiny", 150, True, 68_279_313),
        ("swin_large", 250, False, 218_811_147),
        ("dinat_large", 250, False, 223_219_881),
    ],
)
def test_parameters_are_exact_where_they_are_known_exactly(
    name, num_queries, is_training, expected
):
    assert sizes(name, num_queries, is_training)[1] == expected


def test_dilations_fit_the_maps_they_were_made_for():
    """Kernel times dilation reaches across a map of the size of training, and little further."""
    by_side = {"dinat_large": (640, 896), "dinat_large_1280": (1280,)}
    for name, sides in by_side.items():
        config = backbone_preset(name)
        assert isinstance(config, DinatConfig)
        for stage, dilations in enumerate(config.stage_dilations):
            cells = max(sides) / 4 / 2**stage
            assert config.kernel_size * max(dilations) <= 1.2 * cells
    assert backbone_preset("dinat_large").stage_dilations[0] == (1, 20, 1)
    assert backbone_preset("dinat_large_1280").stage_dilations[1] == (1, 7, 1, 14)
    cityscapes = backbone_preset("dinat_large_cityscapes")
    assert (cityscapes.kernel_size, cityscapes.stage_dilations[2][:6]) == (7, (1, 2, 1, 3, 1, 4))
    assert backbone_preset("dinat_mini").stage_dilations[2] == (1, 2, 1, 2, 1, 2)


def test_published_recipes_regularise_as_stated():
    rates = {"swin": 0.3, "convnext": 0.4}
    for name, config in BACKBONES.items():
        family = name.split("_")[0]
        if family in rates:
            assert config.drop_path_rate == rates[family]
        if family == "convnext":
            assert config.layer_scale_init_value == 1.0
        if isinstance(config, ResNetConfig):
            assert config.frozen_batch_norm
    assert {config.layer_scale_init_value for name, config in BACKBONES.items() if "large" in name
            and isinstance(config, DinatConfig)} == {0.0}  # fmt: skip
    assert backbone_preset("dinat_large").drop_path_rate == 0.3


def test_an_unknown_backbone_is_refused_with_near_matches():
    with pytest.raises(ValueError, match=r"got name='swin_larg'.*swin_large"):
        backbone_preset("swin_larg")
    with pytest.raises(ValueError, match=r"got name='zzz'\. Known: resnet50, resnet101"):
        backbone_preset("zzz")
