"""Wrong answers that learners give, and the hint that each gets."""

import math

import pytest
import torch
import torch.nn.functional as F

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.task_queries import (
    check_look_and_read,
    check_repeat_and_stack,
    check_task_token,
)
from minioneformer.layers.attention import MultiHeadAttention
from minioneformer.text.task_mlp import TaskMLP


def token_of(ids, weight1, bias1, weight2, bias2):
    """The library, with the weights of a case."""
    mlp = TaskMLP(context_length=ids.shape[1], hidden_dim=len(bias1))
    values = (weight1, bias1, weight2, bias2)
    with torch.no_grad():
        for parameter, value in zip(mlp.parameters(), values, strict=True):
            parameter.copy_(value)
        return mlp(ids)


def look(queries, positions, content, code):
    """The library, with identities for matrices."""
    attention = MultiHeadAttention(dim=queries.shape[1], num_heads=1)
    with torch.no_grad():
        for linear in attention.children():
            linear.weight.copy_(torch.eye(queries.shape[1]))
        keys, values = ((m.flatten(1).T)[None] for m in (code + content, code))
        return attention((queries + positions)[None], keys, values)[0]


def stack(token, positions, refine):
    copies = token[:, None].repeat(1, len(positions) - 1, 1)
    return torch.cat([refine(copies, positions[:-1]), token[:, None]], dim=1)


def test_right_answers_pass(capsys):
    check_task_token(token_of)
    check_look_and_read(look)
    check_repeat_and_stack(stack)
    assert capsys.readouterr().out.count("right in all") == 3


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda ids, a, b, c, d: F.relu(ids @ a.T + b) @ c.T + d, "with ids.float"),
        (
            lambda ids, a, b, c, d: F.relu(F.relu(ids.float() @ a.T + b) @ c.T + d),
            "there is none after the second",
        ),
        (lambda ids, a, b, c, d: (ids.float() @ a.T + b) @ c.T + d, "stands between the two"),
        (
            lambda ids, a, b, c, d: F.relu(ids.float() @ a.mT + b) @ c + d,
            r"a layer is x @ weight\.T",
        ),
        (
            lambda ids, a, b, c, d: token_of(ids / ids.max(), a, b, c, d),
            "the ids as they are",
        ),
    ],
)
def test_wrong_task_tokens_are_noticed(wrong, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_task_token(wrong)


def attend(asking, keys, values, scale=None, axis=-1):
    scores = asking @ keys.T * (1 / math.sqrt(keys.shape[1]) if scale is None else scale)
    return scores.softmax(axis) @ values


def cells(x):
    return x.flatten(1).T


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (  # content in the values, as one would expect
            lambda q, p, m, c: attend(q + p, cells(c + m), cells(c + m)),
            "the content decides where a query looks, not what it reads",
        ),
        (
            lambda q, p, m, c: attend(q + p, cells(c + m), cells(c), scale=1.0),
            "divided by the square root of C",
        ),
        (lambda q, p, m, c: attend(q + p, cells(c), cells(c)), "dot products with code . content"),
        (lambda q, p, m, c: attend(q, cells(c + m), cells(c)), "sum of itself and its position"),
        (  # column by column would not matter, but only one of the two maps does
            lambda q, p, m, c: attend(q + p, cells(c + m), cells(c.mT)),
            r"flatten\(1\).T is",
        ),
        (
            lambda q, p, m, c: attend(q + p, (c + m).reshape(-1, len(c)), c.reshape(-1, len(c))),
            "a row for each cell",
        ),
        (
            lambda q, p, m, c: attend(q + p, cells(c + m), cells(c), scale=0.5),
            r"the root is that of queries\.shape\[1\]",
        ),
        (
            lambda q, p, m, c: attend(q + p, cells(c + m), cells(c), axis=0),
            "shares of a query add up to 1",
        ),
    ],
)
def test_wrong_looks_are_noticed(wrong, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_look_and_read(wrong)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (  # N copies
            lambda t, p, r: torch.cat([r(t[:, None].repeat(1, len(p), 1), p), t[:, None]], dim=1),
            "N - 1 copies and the token",
        ),
        (  # queries first
            lambda t, p, r: stack(t, p, r).transpose(0, 1),
            "the axis of the images comes first",
        ),
        (  # token first
            lambda t, p, r: stack(t, p, r)[:, [-1, *range(len(p) - 1)]],
            "comes last, and it is not refined",
        ),
        (  # copies of two images mixed
            lambda t, p, r: torch.cat(
                [r(t.repeat(len(p) - 1, 1).view(len(t), len(p) - 1, -1), p[:-1]), t[:, None]], 1
            ),
            "If tokens of two images mix",
        ),
        (
            lambda t, p, r: torch.cat([r(t[:, None].repeat(1, len(p) - 1, 1), p), t[:, None]], 1),
            "refine got copies .* one position for each copy",
        ),
        (  # everything refined
            lambda t, p, r: r(t[:, None].repeat(1, len(p), 1), p),
            "comes last, and it is not refined",
        ),
        (  # the wrong positions
            lambda t, p, r: stack(t, p.roll(-1, 0), r),
            "the last position is the token's",
        ),
    ],
)
def test_wrong_stacks_are_noticed(wrong, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_repeat_and_stack(wrong)
