"""The backbone of a recipe starts from the file that the recipe names.

Mutants that must fail: a file that is read and not used; the file of another backbone taken in
silence.
"""

import dataclasses

import pytest
import torch
from torchvision.models.resnet import Bottleneck, ResNet

from minioneformer.config import ResNetConfig
from minioneformer.data.toy_scene import CATEGORIES
from minioneformer.training.parts import build_pretrained
from minioneformer.training.recipes import toy


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small ResNet of torchvision, as if it were downloaded."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("imagenet") / "resnet.pth"
    torch.save(ResNet(Bottleneck, [1, 1, 1, 1], num_classes=3).state_dict(), path)
    return path


def recipe_with(weights, **backbone):
    model = dataclasses.replace(
        toy().model, backbone_config=ResNetConfig(depths=(1, 1, 1, 1), **backbone)
    )
    return dataclasses.replace(toy(), model=model, backbone_weights=str(weights))


def test_the_backbone_has_the_weights_of_the_file(weights):
    recipe = recipe_with(weights)
    pretrained = build_pretrained(recipe, CATEGORIES)
    theirs = torch.load(weights, weights_only=True)
    own = pretrained.model.backbone.state_dict()
    assert torch.equal(own["stem.conv.weight"], theirs["conv1.weight"])
    assert torch.equal(own["stages.3.blocks.0.conv3.weight"], theirs["layer4.0.conv3.weight"])
    assert pretrained.report is not None
    assert pretrained.report.complete
    random = build_pretrained(dataclasses.replace(recipe, backbone_weights=None), CATEGORIES)
    assert random.report is None
    assert not torch.equal(
        random.model.backbone.state_dict()["stem.conv.weight"], own["stem.conv.weight"]
    )  # noqa: E501


def test_the_file_of_another_backbone_is_refused_and_named(weights):
    with pytest.raises(ValueError, match="resnet.pth"):
        build_pretrained(recipe_with(weights, hidden_sizes=(64, 128, 256, 512)), CATEGORIES)
    swin = dataclasses.replace(toy(), backbone_weights=str(weights))
    with pytest.raises(ValueError, match="resnet.pth: no ImageNet weights of a swin"):
        build_pretrained(swin, CATEGORIES)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.pth"):
        build_pretrained(recipe_with(tmp_path / "absent.pth"), CATEGORIES)
