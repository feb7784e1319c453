"""Eq. (2).

Mutants that must fail: a weight applied twice or not at all; mask and dice swapped; no division
by the number of masks, or a mean; 0 / 0 without masks; no-object weight 1, or on class 0; a plain
mean in the classification; labels or masks of the first target for all; suffixes shifted; the
last prediction for all; the contrastive loss unweighted; `* temperature`; no clamp; mask features
of the first image for all; no gradient without objects; half precision under autocast.
"""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minioneformer.config import OneFormerConfig
from minioneformer.losses import criterion as module
from minioneformer.losses.contrastive import query_text_contrastive_loss
from minioneformer.losses.criterion import Criterion
from minioneformer.losses.matcher import pad_targets
from minioneformer.losses.totals import LossTotals
from minioneformer.structures import MaskPrediction, TaskTarget

NUM_CLASSES = 3
TERMS = ("loss_class", "loss_mask", "loss_dice")


def target(
    labels: list[int], size: tuple[int, int] = (12, 20), masks: Tensor | None = None
) -> TaskTarget:
    masks = torch.empty(len(labels), *size).uniform_() < 0.4 if masks is None else masks
    return TaskTarget(task="panoptic", labels=torch.tensor(labels, dtype=torch.long), masks=masks)


def predictions(
    layers: int = 1, batch: int = 2, queries: int = 4, dtype: torch.dtype = torch.float32
) -> list[MaskPrediction]:
    features = torch.randn(batch, 6, 3, 5, dtype=dtype).requires_grad_()
    return [
        MaskPrediction(
            class_logits=torch.randn(batch, queries, NUM_CLASSES + 1, dtype=dtype).requires_grad_(),
            mask_embeddings=torch.randn(batch, queries, 6, dtype=dtype).requires_grad_(),
            mask_features=features,
        )
        for _ in range(layers)
    ]


def criterion(**options) -> Criterion:
    return Criterion(num_classes=NUM_CLASSES, **({"num_points": 40} | options))


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def test_equation_2_by_hand_on_a_tiny_case():
    """One image, two queries, one target that covers everything: any point gives the same."""
    prediction = MaskPrediction(
        # Query 0: p(class 1) = 1/2. Query 1: p(no object) = 1/4.
        class_logits=torch.tensor([[[1.0, 3.0, 1.0, 1.0], [3.0, 1.0, 8.0, 4.0]]]).log(),
        # Mask probabilities 3/4 and 1/4 everywhere.
        mask_embeddings=torch.tensor([[[1.0], [-1.0]]]),
        mask_features=torch.full((1, 1, 3, 5), math.log(3)),
    )
    everything = target([1], masks=torch.ones(1, 12, 20, dtype=torch.bool))
    fixed = criterion(num_points=7, oversample_ratio=1.0)
    with pytest.MonkeyPatch.context() as patch:  # points away from the border, where zeros begin
        patch.setattr(torch, "rand", lambda *size, device: torch.full(size, 0.5))
        losses = fixed([prediction], [everything])
    # Query 0 is matched (better class, better mask).
    class_loss = (1.0 * math.log(2) + 0.1 * math.log(4)) / 1.1
    dice = 1 - (2 * 7 * 0.75 + 1) / (7 * 0.75 + 7 + 1)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {
            "loss_class": 2 * class_loss,
            "loss_mask": 5 * math.log(4 / 3),
            "loss_dice": 5 * dice,
        },
        rel=1e-5,
    )


@pytest.fixture
def same_points(monkeypatch) -> None:
    """Every draw of points gives the same ones, whatever the number of rows."""
    fixed = torch.rand(1, 500, 2)
    monkeypatch.setattr(
        torch, "rand", lambda rows, count, two, **_: fixed[:, :count].expand(rows, -1, -1).clone()
    )


def slow_losses(
    weigh: Criterion, prediction: MaskPrediction, targets: list[TaskTarget], match: Tensor
) -> dict[str, float]:
    """One query, then one matched pair at a time."""
    numerator = denominator = mask_loss = dice_loss = 0.0
    masks = prediction.mask_logits
    for image, aim in enumerate(targets):
        target_of = {n: m for m, n in enumerate(match[image].tolist()) if n >= 0}
        for query in range(masks.shape[1]):
            label = int(aim.labels[target_of[query]]) if query in target_of else NUM_CLASSES
            weight = 0.1 if label == NUM_CLASSES else 1.0
            probability = prediction.class_logits[image, query].softmax(-1)[label]
            numerator -= weight * math.log(float(probability))
            denominator += weight
        for query, slot in target_of.items():
            logits = masks[image, query]
            points = module.choose_points(
                logits[None], num_points=40, oversample_ratio=3.0, importance_ratio=0.75
            )
            grid = 2 * points[:, None] - 1
            x = F.grid_sample(logits[None, None], grid, align_corners=False).flatten()
            truth = aim.masks[slot].float()
            g = F.grid_sample(truth[None, None], grid, align_corners=False).flatten()
            p = x.sigmoid()
            mask_loss -= float((g * p.log() + (1 - g) * (1 - p).log()).mean())
            dice_loss += float(1 - (2 * (p * g).sum() + 1) / (p.sum() + g.sum() + 1))
    count = max(sum(len(aim.labels) for aim in targets), 1)
    return {
        "loss_class": 2 * numerator / denominator,
        "loss_mask": 5 * mask_loss / count,
        "loss_dice": 5 * dice_loss / count,
    }


@torch.no_grad()
@pytest.mark.parametrize(
    "labels",
    [[[0, 2], [1]], [[], [1, 1, 0]], [[2], []], [[], []], [[0, 1, 2, 0, 1, 2], [1]]],
    ids=str,
)
def test_every_layer_equals_a_slow_criterion(labels, same_points):
    """Images without objects, and more objects than the four queries."""
    layers = predictions(layers=3)
    targets = [target(row) for row in labels]
    weigh = criterion()
    losses = weigh(layers, targets)
    matches = weigh.matcher(layers, pad_targets(targets))
    for index, suffix in ((0, "_0"), (1, "_1"), (2, "")):
        expected = slow_losses(weigh, layers[index], targets, matches[index])
        found = {name: losses[name + suffix].item() for name in TERMS}
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


WEIGHTS = ("class_weight", "mask_weight", "dice_weight", "contrastive_weight")


def all_losses(same_match: bool = True, **weights: float) -> dict[str, Tensor]:
    torch.manual_seed(7)
    layers = predictions(layers=2)
    targets = [target([0, 2]), target([1])]
    queries, texts = torch.randn(2, 2, 4, 6)
    weigh = criterion(**weights)
    weigh.matcher = criterion().matcher  # weights steer the matching too: keep it
    torch.manual_seed(8)
    return weigh(layers, targets, queries, texts)


@torch.no_grad()
@pytest.mark.parametrize("name", WEIGHTS)
def test_each_weight_multiplies_its_own_term_once(name):
    defaults = dict(zip(WEIGHTS, (2.0, 5.0, 5.0, 0.5), strict=True))
    plain, tripled = all_losses(), all_losses(**{name: 3 * defaults[name]})
    own = "loss_" + name.removesuffix("_weight")
    for term, loss in plain.items():
        factor = 3 if term.startswith(own) else 1
        assert tripled[term].item() == pytest.approx(factor * loss.item())
    unit = all_losses(**dict.fromkeys(WEIGHTS, 1.0))
    for term, loss in unit.items():
        weight = next(w for key, w in defaults.items() if key[:-7] in term)
        assert plain[term].item() == pytest.approx(weight * loss.item())


@torch.no_grad()
def test_ten_predictions_and_texts_give_31_losses():
    losses = criterion()(
        predictions(layers=10),
        [target([0, 2]), target([1])],
        *torch.randn(2, 2, 4, 6),
    )
    suffixes = ["", *(f"_{index}" for index in range(9))]
    assert set(losses) == {t + s for t in TERMS for s in suffixes} | {"loss_contrastive"}
    assert len(losses) == 31
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())


@torch.no_grad()
def test_the_contrastive_loss_is_left_out_without_texts_queries_or_weight():
    queries, texts = torch.randn(2, 2, 4, 6)
    arguments = predictions(), [target([0]), target([])]
    for weigh, more in (
        (criterion(), ()),
        (criterion(), (queries, None)),
        (criterion(), (None, texts)),
        (criterion(contrastive_weight=0.0), (queries, texts)),
    ):
        assert set(weigh(*arguments, *more)) == set(TERMS)


def test_the_temperature_starts_as_given_learns_and_is_clamped():
    queries, texts = torch.randn(2, 3, 4, 6)
    weigh = criterion(temperature=0.3)
    expected = 0.5 * query_text_contrastive_loss(queries, texts, 0.3)  # weighted
    torch.testing.assert_close(weigh.contrast(queries, texts), expected)
    torch.testing.assert_close(weigh.log_inverse_temperature.detach().exp(), torch.tensor(1 / 0.3))
    weigh.contrast(queries, texts).backward()
    assert weigh.log_inverse_temperature.grad.abs() > 0
    assert [name for name, _ in weigh.named_parameters()] == ["log_inverse_temperature"]
    with torch.no_grad():
        weigh.log_inverse_temperature.fill_(50.0)
    expected = 0.5 * query_text_contrastive_loss(queries, texts, 0.01)  # 1 / 100
    torch.testing.assert_close(weigh.contrast(queries, texts), expected)


@pytest.mark.parametrize("labels", [[[], []], [[], [1]], [[0, 2], [1]]], ids=str)
def test_gradients_reach_every_part_of_every_prediction(labels):
    layers = predictions(layers=3)
    losses = criterion()(layers, [target(row) for row in labels])
    total(losses).backward()
    assert all(loss.isfinite() for loss in losses.values())
    for prediction in layers:
        for part in (
            prediction.class_logits,
            prediction.mask_embeddings,
            prediction.mask_features,
        ):
            assert part.grad is not None and part.grad.isfinite().all()
        assert prediction.class_logits.grad.any(-1).all()  # every query learns its class
        assert bool(prediction.mask_embeddings.grad.any()) == any(labels)


def test_no_objects_at_all_cost_classification_only():
    losses = criterion()(predictions(), [target([]), target([])])
    assert losses["loss_mask"] == losses["loss_dice"] == 0
    assert losses["loss_class"] > 0


def test_only_matched_masks_learn():
    (prediction,) = predictions(batch=1, queries=5)
    weigh, targets = criterion(), [target([0, 2])]
    losses = weigh([prediction], targets)
    (losses["loss_mask"] + losses["loss_dice"]).backward()
    assert int(prediction.mask_embeddings.grad[0].any(-1).sum()) == 2
    assert prediction.class_logits.grad is None


@torch.no_grad()
def test_a_batch_is_normalised_by_all_its_masks(same_points):
    """Two equal images cost as much as one: nothing is averaged over images alone."""
    (one,) = predictions(batch=1)
    twice = MaskPrediction(
        class_logits=one.class_logits.repeat(2, 1, 1),
        mask_embeddings=one.mask_embeddings.repeat(2, 1, 1),
        mask_features=one.mask_features.repeat(2, 1, 1, 1),
    )
    aim = target([0, 2])
    weigh = criterion()
    alone, together = weigh([one], [aim]), weigh([twice], [aim, aim])
    for name in TERMS:
        torch.testing.assert_close(together[name], alone[name])


@torch.no_grad()
def test_the_size_of_the_annotation_is_of_no_concern(same_points):
    """Points are relative: a mask and the same mask twice as large cost nearly the same."""
    (prediction,) = predictions(batch=1)
    half = torch.zeros(1, 24, 40, dtype=torch.bool)
    half[:, :, 10:30] = True
    large = half.repeat_interleave(2, -1).repeat_interleave(2, -2)
    weigh = criterion(num_points=400, oversample_ratio=1.0, importance_ratio=0.0)
    small_loss = weigh([prediction], [target([1], masks=half)])
    large_loss = weigh([prediction], [target([1], masks=large)])
    assert total(small_loss).item() == pytest.approx(total(large_loss).item(), rel=0.02)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_float32_whatever_surrounds_them(dtype):
    layers = predictions(layers=2)
    targets = [target([0, 2]), target([1])]
    queries, texts = torch.randn(2, 2, 4, 6)
    torch.manual_seed(3)
    expected = criterion()(layers, targets, queries, texts)
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype=dtype):
        losses = criterion()(layers, targets, queries, texts)
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        assert torch.equal(loss, expected[name])
    half = criterion()(predictions(dtype=dtype), targets, queries.to(dtype), texts.to(dtype))
    assert {loss.dtype for loss in half.values()} == {torch.float32}


def test_training_on_the_losses_alone_finds_the_target():
    """Free predictions descend to the right class and mask."""
    torch.manual_seed(2)
    masks = torch.zeros(2, 6, 10, dtype=torch.bool)
    masks[0, :3], masks[1, 3:, 5:] = True, True
    (prediction,) = predictions(batch=1, queries=4)
    parts = prediction.class_logits, prediction.mask_embeddings, prediction.mask_features
    optimizer = torch.optim.Adam(parts, lr=0.1)
    weigh, targets = criterion(), [target([2, 0], masks=masks)]
    for _ in range(150):
        optimizer.zero_grad()
        total(weigh([prediction], targets)).backward()
        optimizer.step()
    (match,) = weigh.matcher([prediction], pad_targets(targets))
    labels = prediction.class_logits[0].argmax(-1)
    assert labels[match[0]].tolist() == [2, 0]
    assert int((labels == NUM_CLASSES).sum()) == 2
    found = F.interpolate(prediction.mask_logits.detach(), (6, 10), mode="bilinear")[0, match[0]]
    assert float(((found > 0) == masks).float().mean()) > 0.9


def test_numbers_of_points_are_passed_on(monkeypatch):
    asked = []

    def spy(mask_logits: Tensor, **numbers: float) -> Tensor:
        asked.append(numbers)
        return torch.empty(len(mask_logits), 9, 2).uniform_()

    monkeypatch.setattr(module, "choose_points", spy)
    weigh = criterion(num_points=7, oversample_ratio=2.0, importance_ratio=0.5)
    weigh(predictions(), [target([0, 2]), target([1])])
    assert asked == [{"num_points": 7, "oversample_ratio": 2.0, "importance_ratio": 0.5}]
    assert weigh.matcher.num_points == 7


def test_from_config_takes_the_published_names():
    config = OneFormerConfig(
        id2label=dict(enumerate("abcde")),
        no_object_weight=0.2,
        class_weight=3.0,
        mask_weight=4.0,
        dice_weight=6.0,
        contrastive_weight=0.7,
        contrastive_temperature=0.2,
        train_num_points=99,
        oversample_ratio=2.0,
        importance_sample_ratio=0.5,
    )
    weigh = Criterion.from_config(config)
    torch.testing.assert_close(weigh.class_weights, torch.tensor([1.0] * 5 + [0.2]))
    assert weigh.contrastive_weight == 0.7
    assert weigh.log_inverse_temperature.item() == pytest.approx(math.log(5))
    for part in (weigh, weigh.matcher):
        assert (part.class_weight, part.mask_weight, part.dice_weight) == (3, 4, 6)
        assert part.num_points == 99
    assert (weigh.oversample_ratio, weigh.importance_ratio) == (2.0, 0.5)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match=f"got temperature={temperature}"):
        criterion(temperature=temperature)


def test_a_weight_that_could_make_zero_over_zero_is_refused():
    with pytest.raises(ValueError, match="got no_object_weight=0.0"):
        criterion(no_object_weight=0.0)


def test_a_criterion_without_points_is_refused():
    with pytest.raises(ValueError, match="got num_points=0"):
        criterion(num_points=0)


@pytest.mark.parametrize("labels", [[NUM_CLASSES], [0, -1]])
def test_labels_outside_the_classes_are_refused(labels):
    with pytest.raises(ValueError, match=r"labels must be in 0 .. 2, got smallest="):
        criterion()(predictions(batch=1), [target(labels)])


@pytest.mark.parametrize("labels", [[[0]], [[]], [[0], [1], [2]]])
def test_another_number_of_targets_than_images_is_refused(labels):
    with pytest.raises(ValueError, match="images=2, targets_for="):
        criterion()(predictions(), [target(row) for row in labels])


def test_a_prediction_that_is_not_finite_is_refused():
    (prediction,) = predictions()
    with torch.no_grad():
        prediction.class_logits[0, 1, 2] = torch.inf
    with pytest.raises(ValueError, match="costs must be finite"):
        criterion()([prediction], [target([0, 2]), target([1])])


def test_losses_are_divided_by_the_totals_that_are_given():
    """Of two parts with 3 and 7 masks, both divide by 5."""
    batch, targets = predictions(), [target([0, 1]), target([2])]
    weigh = criterion()
    torch.manual_seed(1)
    own, _ = weigh.supervise(batch, targets)
    counted = weigh.count([targets], 4)
    given = LossTotals(masks=5.0, class_weight=2 * counted.class_weight)
    torch.manual_seed(1)
    shared, _ = weigh.supervise(batch, targets, given)
    assert counted.masks == 3
    for name in own:
        share = 1 / 2 if "class" in name else 3 / 5
        torch.testing.assert_close(shared[name], own[name] * share, msg=name)


def test_hits_are_the_matched_queries_with_the_right_class():
    batch, targets = predictions(), [target([0, 0]), target([2])]
    weigh = criterion()
    logits = batch[-1].class_logits
    for label, hits in ((0, 2), (1, 0), (2, 1), (NUM_CLASSES, 0)):
        chosen = torch.zeros_like(logits)
        chosen[..., label] = 50.0
        sure = dataclasses.replace(batch[-1], class_logits=chosen)
        _, counted = weigh.supervise([*batch[:-1], sure], targets)
        assert counted.tolist() == [hits, 3]


def test_without_objects_nothing_is_matched():
    _, counted = criterion().supervise(predictions(), [target([]), target([])])
    assert counted.tolist() == [0, 0]
