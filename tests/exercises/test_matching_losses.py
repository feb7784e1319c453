"""Wrong answers that learners give, and the hint that each gets."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.matching_losses import (
    check_best_assignment,
    check_class_loss,
    check_dice,
)
from minioneformer.losses.assignment import assign
from minioneformer.losses.mask_losses import dice_loss


def cheapest(cost):
    queries, targets = cost.shape
    choices = itertools.permutations(range(queries), targets)
    return list(min(choices, key=lambda c: sum(float(cost[n, m]) for m, n in enumerate(c))))


def class_loss(class_logits, labels, match, weight=0.1):
    no_object = class_logits.shape[1] - 1
    wanted = torch.full((len(class_logits),), no_object)
    for label, query in zip(labels, match, strict=True):
        wanted[query] = label
    weights = torch.ones(no_object + 1)
    weights[-1] = weight
    return F.cross_entropy(class_logits, wanted, weights)


def test_right_answers_pass(capsys):
    check_dice(dice_loss)
    check_best_assignment(cheapest)
    check_best_assignment(lambda cost: [int(n) for n in assign(cost.T.numpy())[1]])
    check_class_loss(class_loss)
    assert capsys.readouterr().out.count("right in all") == 4


def dice_of(probs, targets, *, twice=2, smooth=1, axis=1):
    overlap = (probs * targets).sum(axis)
    return 1 - (twice * overlap + smooth) / (probs.sum(axis) + targets.sum(axis) + smooth)


WRONG_DICE = {
    "overlap once": (lambda x, g: dice_of(x.sigmoid(), g, twice=1), "twice the overlap"),
    "nothing added": (lambda x, g: dice_of(x.sigmoid(), g, smooth=0), "1 on both sides"),
    "without the 1 -": (lambda x, g: 1 - dice_loss(x, g), r"1 - \(2 \* 1 \+ 1\)"),
    "the smaller for the product": (
        lambda x, g: (
            1 - (2 * torch.minimum(x.sigmoid(), g).sum(1) + 1) / (x.sigmoid().sum(1) + g.sum(1) + 1)
        ),
        "the overlap is a product",
    ),
    "decisions for probabilities": (lambda x, g: dice_of((x > 0).float(), g), "not rounded"),
    "a softmax for a sigmoid": (lambda x, g: dice_of(x.softmax(1), g), "take the sigmoid"),
    "one loss for all masks": (
        lambda x, g: dice_loss(x.reshape(1, -1), g.reshape(1, -1)).expand(len(x)),
        "each mask has a loss of its own",
    ),
    "sums over masks": (lambda x, g: dice_of(x.sigmoid(), g, axis=0), "Hint: 1 - "),
}


@pytest.mark.parametrize("name", WRONG_DICE)
def test_wrong_dice_is_noticed(name):
    wrong, hint = WRONG_DICE[name]
    with pytest.raises(ExerciseError, match=hint):
        check_dice(wrong)


def greedy(cost):
    cost, match = cost.clone(), [0] * cost.shape[1]
    for _ in match:
        query, target = divmod(int(cost.argmin()), cost.shape[1])
        match[target] = query
        cost[query], cost[:, target] = torch.inf, torch.inf
    return match


WRONG_ASSIGNMENTS = {
    "each target its favourite": (
        lambda cost: cost.argmin(0).tolist(),
        "no query may answer for two",
    ),
    "one pair after the other": (greedy, "compare sums over all targets"),
    "for each query a target": (
        lambda cost: [int(cost[n].argmin()) for n in range(len(cost))],
        "a list of 1 was expected, not of 3",
    ),
    "the dearest": (lambda cost: cheapest(-cost), "Hint: min"),
    "only the first queries": (lambda cost: cheapest(cost[: cost.shape[1]]), "Hint: min"),
}


@pytest.mark.parametrize("name", WRONG_ASSIGNMENTS)
def test_wrong_assignments_are_noticed(name):
    wrong, hint = WRONG_ASSIGNMENTS[name]
    with pytest.raises(ExerciseError, match=hint):
        check_best_assignment(wrong)


def matched_only(class_logits, labels, match):
    return F.cross_entropy(class_logits[match], torch.tensor(labels, dtype=torch.long))


def plain_mean(class_logits, labels, match):
    weights = torch.full((len(class_logits),), 0.1)
    weights[match] = 1.0
    return class_loss(class_logits, labels, match) * weights.sum() / len(class_logits)


def by_query(class_logits, labels, match):
    wanted = [labels[m] for m in match if m < len(labels)]
    return class_loss(class_logits, wanted, match[: len(wanted)])


WRONG_LOSSES = {
    "matched queries only": (matched_only, "Every other query should say 'no object'"),
    "no object as heavy as the others": (
        lambda *arguments: class_loss(*arguments, weight=1.0),
        "with weight 0.1",
    ),
    "divided by the number of queries": (plain_mean, "divide by the sum of the weights"),
    "queries in the order of the targets": (
        lambda logits, labels, match: class_loss(logits, labels, list(range(len(labels)))),
        "match.m. is the query of target m",
    ),
    "labels looked up by query": (by_query, "match.m. is the query|would be wrong"),
}


@pytest.mark.parametrize("name", WRONG_LOSSES)
def test_wrong_class_losses_are_noticed(name):
    wrong, hint = WRONG_LOSSES[name]
    with pytest.raises(ExerciseError, match=hint):
        check_class_loss(wrong)
