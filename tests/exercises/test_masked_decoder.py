"""Wrong answers that learners give, and the hint that each gets."""

import math

import pytest
import torch
import torch.nn.functional as F

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.masked_decoder import (
    check_blocked_cells,
    check_masked_attention,
    check_refine,
)
from minioneformer.layers.attention import MultiHeadAttention


def resize(logits, size):
    return F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]


def cells(logits, size):
    blocked = (resize(logits, size) < 0).flatten(1)
    return blocked & ~blocked.all(-1, keepdim=True)


def attend(query, key, value, blocked, axis=-1):
    scores = query @ key.T / math.sqrt(query.shape[-1])
    return scores.masked_fill(blocked, -torch.inf).softmax(axis) @ value


def refine(queries, layers, levels, predict):
    predictions = [predict(queries)]
    for index, layer in enumerate(layers):
        queries = layer(queries, levels[index % len(levels)], predictions[-1])
        predictions.append(predict(queries))
    return predictions


def test_right_answers_pass(capsys):
    check_blocked_cells(cells)
    check_masked_attention(attend)
    check_refine(refine)
    assert capsys.readouterr().out.count("right in all") == 3


@torch.no_grad()
def test_the_attention_of_the_package_passes():
    def packaged(query, key, value, blocked):
        attention = MultiHeadAttention(dim=query.shape[-1], num_heads=1)
        for linear in attention.children():
            linear.weight.copy_(torch.eye(query.shape[-1]))
        return attention(query[None], key[None], value[None], blocked[None])[0]

    check_masked_attention(packaged)


WRONG_CELLS = {
    "open cells instead of blocked ones": (lambda x, size: ~cells(x, size), "True means blocked"),
    "one half blocked": (lambda x, size: (resize(x, size) <= 0).flatten(1), "compare with < 0"),
    "compared, then resized": (
        lambda x, size: (resize((x < 0).float(), size) > 0.5).flatten(1),
        "resize the logits, then compare",
    ),
    "width first": (lambda x, size: cells(x, size[::-1]), "Sizes are"),
    "nearest cell": (
        lambda x, size: (F.interpolate(x[None], size)[0] < 0).flatten(1),
        "resize the logits",
    ),
    "never opened": (lambda x, size: (resize(x, size) < 0).flatten(1), "True everywhere is opened"),
    "opened for all queries if for one": (
        lambda x, size: (
            (resize(x, size) < 0).flatten(1) & ~(resize(x, size) < 0).flatten(1).all(-1).any()
        ),
        "other rows stay",
    ),
}


@pytest.mark.parametrize("name", WRONG_CELLS)
def test_wrong_cells_are_noticed(name):
    wrong, hint = WRONG_CELLS[name]
    with pytest.raises(ExerciseError, match=f"Hint: .*{hint}"):
        check_blocked_cells(wrong)


def multiplied_afterwards(query, key, value, blocked):
    return ((query @ key.T / math.sqrt(query.shape[-1])).softmax(-1) * ~blocked) @ value


WRONG_ATTENTION = {
    "no root": (
        lambda q, k, v, b: (q @ k.T).masked_fill(b, -torch.inf).softmax(-1) @ v,
        "root of the number of channels",
    ),
    "softmax over queries": (
        lambda q, k, v, b: attend(q, k, v, b, axis=0),
        "softmax over the cells",
    ),
    "open and blocked exchanged": (
        lambda q, k, v, b: attend(q, k, v, ~b & b.any()),
        "True means may not read",
    ),
    "weights set to zero afterwards": (multiplied_afterwards, "before the softmax"),
    "the mask of the first query for all": (
        lambda q, k, v, b: attend(q, k, v, b[:1]),
        "weights of the open cells sum to 1",
    ),
}


@pytest.mark.parametrize("name", WRONG_ATTENTION)
def test_wrong_attention_is_noticed(name):
    wrong, hint = WRONG_ATTENTION[name]
    with pytest.raises(ExerciseError, match=f"Hint: (.|\n)*{hint}"):
        check_masked_attention(wrong)


def only_after_layers(queries, layers, levels, predict):
    return refine(queries, layers, levels, predict)[1:]


def first_mask_throughout(queries, layers, levels, predict):
    mask = predict(queries)
    predictions = [mask]
    for index, layer in enumerate(layers):
        queries = layer(queries, levels[index % 3], mask)
        predictions.append(predict(queries))
    return predictions


def each_level_once(queries, layers, levels, predict):
    predictions = [predict(queries)]
    for index, layer in enumerate(layers):
        queries = layer(queries, levels[index], predictions[-1])
        predictions.append(predict(queries))
    return predictions


WRONG_LOOPS = {
    "no prediction from the first queries": (only_after_layers, r"L \+ 1 predictions"),
    "only the last prediction": (
        lambda *arguments: refine(*arguments)[-1:],
        "each layer gets the newest queries",
    ),
    "the first mask throughout": (first_mask_throughout, "the newest prediction"),
    "levels from fine to coarse": (
        lambda q, layers, levels, predict: refine(q, layers, levels[::-1], predict),
        "each layer gets",
    ),
    "no level for the fourth layer": (each_level_once, "the coarsest again"),
}


@pytest.mark.parametrize("name", WRONG_LOOPS)
def test_wrong_loops_are_noticed(name):
    wrong, hint = WRONG_LOOPS[name]
    with pytest.raises(ExerciseError, match=hint):
        check_refine(wrong)
