"""Wrong answers that learners give, and the hint that each gets."""

import pytest
import torch
import torch.nn.functional as F

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.text_contrastive import (
    check_causal_shares,
    check_contrastive_loss,
    check_read_at_end,
)
from minioneformer.losses.contrastive import query_text_contrastive_loss


def shares(scores):
    """PyTorch's causal attention, with the identity for values."""
    size = scores.shape[-1]
    identity = torch.eye(size).expand(scores.shape[0], -1, -1)
    return F.scaled_dot_product_attention(scores * size**0.5, identity, identity, is_causal=True)


def blocked(scores, value):
    return scores.masked_fill(torch.ones_like(scores).triu(1) > 0, value)


def read(features, ids):
    return torch.stack([f[i.tolist().index(i.max())] for f, i in zip(features, ids, strict=True)])


def similarities(queries, texts, temperature):
    images, texts = (F.normalize(x.flatten(1), dim=-1) for x in (queries, texts))
    return images @ texts.T / temperature


def directions(similarity):
    own = torch.arange(len(similarity))
    return F.cross_entropy(similarity, own), F.cross_entropy(similarity.T, own)


def test_right_answers_pass(capsys):
    check_causal_shares(shares)
    check_read_at_end(read)
    check_contrastive_loss(query_text_contrastive_loss)
    assert capsys.readouterr().out.count("right in all") == 3


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda s: s.softmax(-1), "a row is a reader"),
        (lambda s: s.softmax(-1).tril(), "before the softmax"),
        (lambda s: s.tril().softmax(-1), "before the softmax"),
        (lambda s: shares(s.mT).mT, "a row is a reader"),
        (lambda s: blocked(s, -20.0).softmax(-1), "gets -inf, no other number"),
        (
            lambda s: s.tril().masked_fill(s.tril() == 0, -torch.inf).softmax(-1),
            "0 is a score like any other",
        ),
        (lambda s: shares(s.flip(-1)).flip(-1), "a row is a reader"),
        (lambda s: shares(s.mT), "gets -inf|the tokens that are read"),
    ],
)
def test_wrong_shares_are_noticed(wrong, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_causal_shares(wrong)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda f, i: f[:, -1], "the end is at another position in each row"),
        (lambda f, i: f[:, i.argmax(1)], r"the result is \(R, C\)"),
        (lambda f, i: f.flatten(0, 1)[i.argmax()][None], "at another position in each row"),
        (
            lambda f, i: f[torch.arange(len(i)), (i != 0).sum(1) - 1],
            "counting the ids that are not 0",
        ),
        (lambda f, i: f[torch.arange(len(i)), (i == 8).int().argmax(1)], "the vocabulary says"),
        (
            lambda f, i: f.flip(1)[torch.arange(len(i)), i.flip(1).argmax(1)],
            "the first end counts",
        ),
    ],
)
def test_wrong_ends_are_noticed(wrong, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_read_at_end(wrong)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda q, x, t: sum(directions(similarities(q, x, 1 / t))), "divide by the temperature"),
        (lambda q, x, t: sum(directions(similarities(q, x, t))) / 2, "the sum of both directions"),
        (lambda q, x, t: directions(similarities(q, x, t))[0], "the sum of both directions"),
        (lambda q, x, t: sum(directions(q.flatten(1) @ x.flatten(1).T / t)), "vectors of length 1"),
        (
            lambda q, x, t: query_text_contrastive_loss(
                F.normalize(q, dim=-1), F.normalize(x, dim=-1), t
            ),
            "flatten the queries of an image first",
        ),
        (
            lambda q, x, t: 2 * directions(similarities(q, x, t))[0],
            "the second direction is the table transposed",
        ),
    ],
)
def test_wrong_losses_are_noticed(wrong, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_contrastive_loss(wrong)
