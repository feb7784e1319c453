"""Matching.

Mutants that must fail: `+ class_weight`; BCE or dice left out; a weight on the wrong term; softmax
over queries; log-probabilities; padding matched; targets in the order of the answer; costs of the
first layer or image for all; points of another image, or the same for all; labels or masks not
padded; gradient kept.
"""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minioneformer.losses import matcher as module
from minioneformer.losses.mask_losses import dice_loss, mask_cross_entropy
from minioneformer.losses.matcher import UNMATCHED, HungarianMatcher, pad_targets
from minioneformer.losses.point_sampling import sample_at_points
from minioneformer.structures import MaskPrediction, TaskTarget

NUM_CLASSES = 4
WEIGHTS = {"class_weight": 2.0, "mask_weight": 5.0, "dice_weight": 3.0}


def target(count: int, size: tuple[int, int] = (12, 20), seed: int = 0) -> TaskTarget:
    rng = torch.Generator().manual_seed(seed)
    return TaskTarget(
        task="panoptic",
        labels=torch.randint(NUM_CLASSES, (count,), generator=rng),
        masks=torch.rand(count, *size, generator=rng) < 0.4,
    )


def predictions(
    batch: int, queries: int, layers: int = 1, seed: int = 1, size: tuple[int, int] = (3, 5)
) -> list[MaskPrediction]:
    rng = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, 6, *size, generator=rng)
    return [
        MaskPrediction(
            class_logits=torch.randn(batch, queries, NUM_CLASSES + 1, generator=rng) * 2,
            mask_embeddings=torch.randn(batch, queries, 6, generator=rng),
            mask_features=features,
        )
        for _ in range(layers)
    ]


@pytest.fixture
def drawn(monkeypatch) -> list[Tensor]:
    """The points that the matcher draws."""
    points: list[Tensor] = []
    rand = torch.rand

    def spy(*size, **options):
        points.append(rand(*size, **options))
        return points[-1]

    monkeypatch.setattr(module.torch, "rand", spy)
    return points


def slow_costs(prediction: MaskPrediction, image: int, aim: TaskTarget, points: Tensor) -> Tensor:
    """One pair at a time, on masks that are multiplied out first."""
    masks = prediction.mask_logits[image]
    costs = torch.empty(len(masks), len(aim.labels))
    for n, mask in enumerate(masks):
        for m, label in enumerate(aim.labels.tolist()):
            logits = sample_at_points(mask[None, None], points[None])[0]  # (1, P)
            truth = sample_at_points(aim.masks[m][None, None].float(), points[None])[0]
            costs[n, m] = (
                -WEIGHTS["class_weight"] * prediction.class_logits[image, n].softmax(-1)[label]
                + WEIGHTS["mask_weight"] * mask_cross_entropy(logits, truth)[0]
                + WEIGHTS["dice_weight"] * dice_loss(logits, truth)[0]
            )
    return costs


def cheapest(costs: Tensor) -> dict[int, int]:
    """Query of each target, by trying all pairings."""
    num_queries, num_targets = costs.shape
    if num_targets <= num_queries:
        pairings = [
            dict(enumerate(queries))
            for queries in itertools.permutations(range(num_queries), num_targets)
        ]
    else:
        pairings = [
            {m: n for n, m in enumerate(targets)}
            for targets in itertools.permutations(range(num_targets), num_queries)
        ]
    return min(pairings, key=lambda pairs: sum(float(costs[n, m]) for m, n in pairs.items()))


@pytest.mark.parametrize("method", ["scipy", "hungarian"])
@pytest.mark.parametrize("counts", [(3, 1), (0, 2), (4, 4), (1, 0), (6, 2), (5, 6)], ids=str)
def test_equals_a_slow_matcher_with_masks_multiplied_out(counts, method, drawn):
    """Padded targets, images without any, and more targets than the four queries."""
    layers = predictions(batch=2, queries=4, layers=3)
    targets = [target(count, seed=image) for image, count in enumerate(counts)]
    matcher = HungarianMatcher(**WEIGHTS, num_points=50, method=method)
    drawn.clear()
    matches = matcher(layers, pad_targets(targets))
    (points,) = drawn  # one set per image, shared by all layers
    assert points.shape == (2, 50, 2)
    assert len(matches) == 3
    for prediction, match in zip(layers, matches, strict=True):
        assert match.shape == (2, max(counts))
        assert match.dtype == torch.long
        for image, aim in enumerate(targets):
            expected = cheapest(slow_costs(prediction, image, aim, points[image]))
            found = {m: n for m, n in enumerate(match[image].tolist()) if n != UNMATCHED}
            assert found == expected


def test_costs_equal_slow_costs():
    (prediction,) = predictions(batch=2, queries=5)
    targets = [target(2, seed=0), target(3, seed=1)]
    padded = pad_targets(targets)
    points = torch.rand(2, 30, 2)
    matcher = HungarianMatcher(**WEIGHTS, num_points=30)
    costs = matcher.cost(
        prediction,
        sample_at_points(prediction.mask_features, points),
        padded.labels,
        sample_at_points(padded.masks.float(), points),
    )
    assert costs.shape == (2, 5, 3)
    for image, aim in enumerate(targets):
        expected = slow_costs(prediction, image, aim, points[image])
        torch.testing.assert_close(
            costs[image, :, : len(aim.labels)], expected, atol=1e-4, rtol=1e-4
        )


def perfect(order: list[int]) -> tuple[MaskPrediction, TaskTarget]:
    """Query n predicts target `order[n]` exactly; -1 predicts nothing."""
    masks = torch.zeros(3, 6, 10, dtype=torch.bool)
    masks[0, :2], masks[1, 2:, :4], masks[2, 2:, 6:] = True, True, True
    aim = TaskTarget(task="panoptic", labels=torch.tensor([2, 2, 0]), masks=masks)
    class_logits = torch.zeros(1, len(order), NUM_CLASSES + 1)
    embeddings = torch.zeros(1, len(order), 4)
    for query, wanted in enumerate(order):
        label = NUM_CLASSES if wanted < 0 else int(aim.labels[wanted])
        class_logits[0, query, label] = 9.0
        embeddings[0, query, wanted] = 1.0
    features = torch.cat([masks.float() * 40 - 20, torch.full((1, 6, 10), -20.0)])[None]
    return (
        MaskPrediction(
            class_logits=class_logits, mask_embeddings=embeddings, mask_features=features
        ),
        aim,
    )


@given(order=st.permutations([0, 1, 2, -1, -1]))
@settings(max_examples=25, deadline=None)
def test_perfect_queries_are_found_in_any_order(order):
    prediction, aim = perfect(order)
    (match,) = HungarianMatcher(num_points=40)([prediction], pad_targets([aim]))
    assert match.tolist() == [[order.index(0), order.index(1), order.index(2)]]


def test_permuting_targets_permutes_the_answer():
    layers = predictions(batch=1, queries=7, layers=2)
    aim = target(5)
    order = torch.tensor([3, 0, 4, 2, 1])
    permuted = TaskTarget(task=aim.task, labels=aim.labels[order], masks=aim.masks[order])
    matcher = HungarianMatcher(num_points=60)
    answers = []
    for one in (aim, permuted):
        torch.manual_seed(4)
        answers.append(torch.stack(matcher(layers, pad_targets([one]))))
    assert torch.equal(answers[0][..., order], answers[1])


def test_a_weight_of_zero_leaves_its_term_out():
    prediction, aim = perfect([1, 0, 2])  # classes of targets 0 and 1 are the same
    padded = pad_targets([aim])
    by_class = HungarianMatcher(mask_weight=0.0, dice_weight=0.0, num_points=40)
    (match,) = by_class([prediction], padded)
    assert sorted(match[0, :2].tolist()) == [0, 1] and match[0, 2] == 2
    prediction.class_logits.zero_()
    for weights in (
        {"class_weight": 0.0, "dice_weight": 0.0},
        {"class_weight": 0.0, "mask_weight": 0.0},
    ):
        (match,) = HungarianMatcher(**weights, num_points=40)([prediction], padded)
        assert match.tolist() == [[1, 0, 2]]


def test_no_targets_in_the_whole_batch_match_nothing():
    layers = predictions(batch=2, queries=4, layers=3)
    matches = HungarianMatcher(num_points=9)(layers, pad_targets([target(0), target(0)]))
    assert [tuple(match.shape) for match in matches] == [(2, 0)] * 3


def test_more_targets_than_queries_leave_some_unmatched():
    layers = predictions(batch=1, queries=2)
    (match,) = HungarianMatcher(num_points=9)(layers, pad_targets([target(5)]))
    assert sorted(match[0].tolist()) == [-1, -1, -1, 0, 1]


def test_no_gradient_is_kept():
    (prediction,) = predictions(batch=1, queries=4)
    prediction.mask_embeddings.requires_grad_()
    padded = pad_targets([target(2)])
    matcher = HungarianMatcher(num_points=9)
    (match,) = matcher([prediction], padded)
    assert not match.requires_grad


@pytest.mark.parametrize("part", ["class_logits", "mask_embeddings", "mask_features"])
def test_a_cost_that_is_not_finite_is_refused(part):
    (prediction,) = predictions(batch=2, queries=4)
    getattr(prediction, part)[1, 0] = torch.nan
    with pytest.raises(ValueError, match="costs must be finite, got "):
        HungarianMatcher(num_points=9)([prediction], pad_targets([target(2), target(3)]))


def test_a_matcher_without_points_is_refused():
    with pytest.raises(ValueError, match="got num_points=0"):
        HungarianMatcher(num_points=0)


def test_the_method_of_the_assignment_is_passed_on():
    matcher = HungarianMatcher(num_points=9, method="greedy")
    with pytest.raises(ValueError, match="got method='greedy'"):
        matcher(predictions(batch=1, queries=4), pad_targets([target(2)]))


def test_padding_stacks_labels_and_masks_and_says_what_is_valid():
    padded = pad_targets([target(1), target(0), target(3, seed=2)])
    assert padded.valid.tolist() == [[True, False, False], [False] * 3, [True] * 3]
    assert padded.labels[0].tolist() == [int(target(1).labels[0]), 0, 0]
    assert padded.labels[2].tolist() == target(3, seed=2).labels.tolist()
    assert torch.equal(padded.masks[2], target(3, seed=2).masks)
    assert torch.equal(padded.masks[0, :1], target(1).masks)
    assert not padded.masks[0, 1:].any() and not padded.masks[1].any()
    assert padded.masks.shape == (3, 3, 12, 20)


def test_padding_of_nothing_keeps_the_size():
    padded = pad_targets([target(0), target(0)])
    assert padded.masks.shape == (2, 0, 12, 20)
    assert padded.labels.dtype == torch.long


def test_targets_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"got 2 of \[\(12, 20\), \(12, 21\)\]"):
        pad_targets([target(1), target(0, size=(12, 21))])
    with pytest.raises(ValueError, match="got 0 of "):
        pad_targets([])
