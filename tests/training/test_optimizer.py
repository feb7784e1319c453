"""Mutants that must fail: count norms as decayed, swap the multiplier, decay embeddings,
match "backbone" as a substring, count a shared parameter twice; decay the position bias tables."""

import dataclasses

import pytest
import torch
from torch import nn

from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.checkpoints.official import official_table
from minioneformer.presets.published import published_model
from minioneformer.training.optimizer import build_optimizer, parameter_groups


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.LayerNorm(5))
        self.backbone.register_parameter(
            "relative_position_bias_table", nn.Parameter(torch.zeros(7, 2))
        )
        self.queries = nn.Embedding(4, 5)
        self.no_backbone_here = nn.Linear(5, 3)
        self.norm = nn.GroupNorm(1, 5)
        self.logit_scale = nn.Parameter(torch.ones(()))


def by_name(groups):
    return {name: group for group in groups for name in group["names"]}


def test_the_groups_of_a_toy_model_by_hand():
    groups = parameter_groups(Toy(), base_lr=1e-3, backbone_multiplier=0.1, weight_decay=0.05)
    table = by_name(groups)
    expected = {
        "backbone.0.weight": (1e-4, 0.05),
        "backbone.0.bias": (1e-4, 0.05),
        "backbone.1.weight": (1e-4, 0.0),
        "backbone.1.bias": (1e-4, 0.0),
        "backbone.2.weight": (1e-4, 0.0),
        "backbone.2.bias": (1e-4, 0.0),
        "backbone.relative_position_bias_table": (1e-4, 0.0),
        "queries.weight": (1e-3, 0.0),
        "no_backbone_here.weight": (1e-3, 0.05),
        "no_backbone_here.bias": (1e-3, 0.05),
        "norm.weight": (1e-3, 0.0),
        "norm.bias": (1e-3, 0.0),
        "logit_scale": (1e-3, 0.05),
    }
    got = {n: (pytest.approx(g["lr"]), g["weight_decay"]) for n, g in table.items()}
    assert got == expected
    assert len(groups) == 4


def test_the_example_of_the_docstring():
    model = nn.ModuleDict({"backbone": nn.Linear(2, 3), "norm": nn.LayerNorm(3)})
    norm, backbone = parameter_groups(model)
    assert (norm["names"], norm["lr"], norm["weight_decay"]) == (
        ["norm.weight", "norm.bias"],
        1e-4,
        0.0,
    )
    assert (backbone["lr"], backbone["weight_decay"]) == (pytest.approx(1e-5), 0.05)


def test_swin_tiny_has_383_decayed_tensors_and_210_others_in_the_official_naming():
    """Counted with the temperature, which is the criterion's: 384."""
    config = dataclasses.replace(published_model("ade20k_swin_tiny").config, is_training=True)
    assert (config.num_classes, config.num_queries) == (150, 150)
    with torch.device("meta"):
        table = by_name(parameter_groups(TrainedModules.from_config(config)))
    decays = []
    for entry in official_table(config):  # three of our tensors may be one of theirs
        found = {table[name]["weight_decay"] for name in entry.ours if name in table}
        assert len(found) <= 1, entry
        decays += [found.pop()] * len(entry.theirs) if found else []
    assert {decay: decays.count(decay) for decay in decays} == {0.05: 383 + 1, 0.0: 210}


def test_every_trainable_parameter_is_in_exactly_one_group_and_keeps_its_name():
    model = Toy()
    groups = parameter_groups(model)
    named = dict(model.named_parameters())
    pairs = [(n, p) for g in groups for n, p in zip(g["names"], g["params"], strict=True)]
    assert len(pairs) == len(named)
    assert all(named[name] is parameter for name, parameter in pairs)


def test_frozen_parameters_are_left_out():
    model = Toy()
    model.backbone.requires_grad_(False)
    assert {n for n in by_name(parameter_groups(model)) if n.startswith("backbone")} == set()


def test_a_shared_parameter_counts_once():
    model = Toy()
    model.twin = nn.Linear(5, 3)
    model.twin.weight = model.no_backbone_here.weight
    names = list(by_name(parameter_groups(model)))
    assert "no_backbone_here.weight" in names
    assert "twin.weight" not in names and "twin.bias" in names


def test_groups_are_the_same_arithmetic_as_one_group_per_tensor():
    merged, single = Toy(), Toy()
    single.load_state_dict(merged.state_dict())
    optimizers = [build_optimizer(merged, base_lr=0.1)]
    table = by_name(parameter_groups(single, base_lr=0.1))
    optimizers.append(
        torch.optim.AdamW(
            [
                {"params": [p], "lr": table[n]["lr"], "weight_decay": table[n]["weight_decay"]}
                for n, p in single.named_parameters()
            ],
            fused=True,
        )
    )
    for step in range(3):
        for model, optimizer in zip((merged, single), optimizers, strict=True):
            for index, parameter in enumerate(model.parameters()):
                parameter.grad = torch.full_like(parameter, 0.1 * index - step)
            optimizer.step()
    for a, b in zip(merged.parameters(), single.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_first_adamw_step_by_hand():
    # Step 1: both running means are unbiased to the gradient, so the step is lr * sign(gradient),
    # after the weight shrank by lr * decay: 2 * (1 - 0.1 * 0.05) - 0.1 = 1.89.
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    optimizer = build_optimizer(model, base_lr=0.1)
    model.weight.grad = torch.full((1, 1), 3.0)
    optimizer.step()
    assert model.weight.item() == pytest.approx(1.89, abs=1e-6)


@pytest.mark.parametrize(
    "numbers",
    [{"base_lr": 0.0}, {"backbone_multiplier": -0.1}, {"weight_decay": -1.0}],
)
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(ValueError, match=f"{next(iter(numbers))}="):
        parameter_groups(Toy(), **numbers)


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing to train: no parameter of Toy"):
        build_optimizer(Toy().requires_grad_(False))
