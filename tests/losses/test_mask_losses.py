"""Cross-entropy and dice of masks.

Mutants that must fail: overlap without the 2; smoothing 0 or 2, or only below; squares in the
denominator; sum for mean; P left out of the pairwise cost, or multiplied; softplus(-x); `+ x g`;
sigmoid left out; targets left out of the pairwise total.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minioneformer.losses.mask_losses import (
    dice_loss,
    mask_cross_entropy,
    pairwise_dice,
    pairwise_mask_cross_entropy,
)

SURE = 200.0  # a logit whose probability is 1


def cross_entropy_by_loops(logits: list[float], targets: list[float]) -> float:
    total = 0.0
    for x, g in zip(logits, targets, strict=True):
        p = 1 / (1 + math.exp(-x))
        total += -g * math.log(p) - (1 - g) * math.log(1 - p)
    return total / len(logits)


def dice_by_loops(logits: list[float], targets: list[float]) -> float:
    probs = [1 / (1 + math.exp(-x)) for x in logits]
    overlap = sum(p * g for p, g in zip(probs, targets, strict=True))
    return 1 - (2 * overlap + 1) / (sum(probs) + sum(targets) + 1)


def masks(rows: int, points: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and fractional targets."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, points, generator=rng, dtype=torch.float64) * 3
    return logits, torch.rand(rows, points, generator=rng, dtype=torch.float64)


LOSSES = [
    (mask_cross_entropy, pairwise_mask_cross_entropy, cross_entropy_by_loops),
    (dice_loss, pairwise_dice, dice_by_loops),
]
IDS = ["cross_entropy", "dice"]


@pytest.mark.parametrize(("loss", "pairwise", "by_loops"), LOSSES, ids=IDS)
def test_losses_and_costs_equal_loops_over_points(loss, pairwise, by_loops):
    logits, targets = masks(3, 7)
    expected = torch.tensor(
        [[by_loops(x, g) for g in targets.tolist()] for x in logits.tolist()], dtype=torch.float64
    )
    torch.testing.assert_close(loss(logits, targets), expected.diagonal())
    torch.testing.assert_close(pairwise(logits, targets), expected)


@given(
    rows=st.integers(0, 4),
    points=st.integers(1, 9),
    batch=st.integers(0, 3),
    seed=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
def test_the_diagonal_of_all_pairs_is_the_loss_of_each(rows, points, batch, seed):
    for loss, pairwise, _ in LOSSES:
        logits, targets = (x.view(batch, rows, points) for x in masks(batch * rows, points, seed))
        costs = pairwise(logits, targets)
        assert costs.shape == (batch, rows, rows)
        for image in range(batch):
            torch.testing.assert_close(costs[image].diagonal(), loss(logits[image], targets[image]))


def test_the_example_of_cross_entropy():
    targets = torch.tensor([[0.0, 1.0, 0.3]])
    assert mask_cross_entropy(torch.zeros(1, 3), targets).item() == pytest.approx(math.log(2))


def test_the_example_of_dice():
    logits = torch.tensor([[SURE, -SURE]])
    assert dice_loss(logits, torch.ones(1, 2)).item() == pytest.approx(0.25)


def test_a_perfect_prediction_costs_nothing_and_a_reversed_one_much():
    targets = torch.tensor([[1.0, 0.0, 1.0, 1.0, 0.0]])
    logits = (2 * targets - 1) * SURE
    assert mask_cross_entropy(logits, targets).item() == 0
    assert dice_loss(logits, targets).item() == pytest.approx(0)
    assert mask_cross_entropy(-logits, targets).item() == pytest.approx(SURE)
    assert dice_loss(-logits, targets).item() == pytest.approx(1 - 1 / 6)


def test_an_empty_mask_predicted_as_empty_costs_nothing():
    nothing = torch.zeros(1, 4)
    assert dice_loss(nothing - SURE, nothing).item() == 0
    assert mask_cross_entropy(nothing - SURE, nothing).item() == 0


@given(seed=st.integers(0, 99), scale=st.floats(0, 60))
@settings(max_examples=25, deadline=None)
def test_dice_is_in_0_to_1_and_cross_entropy_is_not_negative(seed, scale):
    logits, targets = masks(3, 5, seed)
    logits, targets = logits * scale, targets.round()
    for costs in (dice_loss(logits, targets), pairwise_dice(logits, targets)):
        assert ((costs >= 0) & (costs < 1)).all()
    assert (mask_cross_entropy(logits, targets) >= 0).all()
    assert (pairwise_mask_cross_entropy(logits, targets) > -1e-9).all()


@pytest.mark.parametrize(("loss", "pairwise", "_"), LOSSES, ids=IDS)
def test_the_order_and_number_of_points_are_of_no_concern_to_the_mean(loss, pairwise, _):
    logits, targets = masks(2, 6)
    order = torch.randperm(6)
    torch.testing.assert_close(loss(logits[:, order], targets[:, order]), loss(logits, targets))
    if loss is mask_cross_entropy:  # an average: twice the same points change nothing
        twice = logits.repeat(1, 2), targets.repeat(1, 2)
        torch.testing.assert_close(loss(*twice), loss(logits, targets))
        torch.testing.assert_close(pairwise(*twice), pairwise(logits, targets))


def test_no_masks_give_no_losses():
    empty = torch.zeros(0, 5)
    assert mask_cross_entropy(empty, empty).shape == dice_loss(empty, empty).shape == (0,)
    some = torch.zeros(3, 5)
    assert pairwise_dice(some, empty).shape == (3, 0)
    assert pairwise_mask_cross_entropy(empty, some).shape == (0, 3)


@pytest.mark.parametrize("loss", [mask_cross_entropy, dice_loss])
def test_gradients_are_exact(loss):
    logits, targets = masks(2, 5)
    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), targets))
