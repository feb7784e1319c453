"""Votes of all queries. Mutants that must fail: no-object votes; softmax of masks; argmin."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.inference.semantic import (
    semantic_from_chunks,
    semantic_from_strips,
    semantic_from_votes,
    semantic_inference,
)


def test_the_docstring_example():
    class_logits = torch.log(torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]]))
    mask_logits = torch.logit(torch.tensor([0.9, 0.5]))[:, None, None]
    result = semantic_inference(class_logits, mask_logits, keep_scores=True)
    torch.testing.assert_close(result.scores.flatten(), torch.tensor([0.59, 0.67]))
    assert result.label_map.tolist() == [[1]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_it_agrees_with_loops_and_chunks_change_nothing(seed, chunk):
    rng = torch.Generator().manual_seed(seed)
    class_logits = torch.randn(6, 4, generator=rng) * 2
    mask_logits = torch.randn(6, 7, 9, generator=rng) * 3
    probs = class_logits.softmax(-1).tolist()
    scores = [
        [
            [
                sum(probs[q][k] / (1 + math.exp(-float(mask_logits[q, y, x]))) for q in range(6))
                for x in range(9)
            ]
            for y in range(7)
        ]
        for k in range(3)
    ]
    result = semantic_inference(class_logits, mask_logits, keep_scores=True)
    torch.testing.assert_close(result.scores, torch.tensor(scores))
    assert torch.equal(result.label_map, result.scores.argmax(0))
    chunked = semantic_from_chunks(class_logits, mask_logits.split(chunk), (7, 9), keep_scores=True)
    torch.testing.assert_close(chunked.scores, result.scores)


def test_queries_of_no_object_do_not_vote():
    class_logits = torch.tensor([[-50.0, -50, 50], [0.0, 2.0, 0.0]])
    mask_logits = torch.tensor([9.0, -9.0])[:, None, None].expand(2, 3, 5)
    assert semantic_inference(class_logits, mask_logits).label_map.unique().tolist() == [1]


def test_scores_are_kept_only_when_asked_for():
    assert semantic_inference(torch.zeros(2, 3), torch.zeros(2, 3, 5)).scores is None


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="class_logits must be finite"):
        semantic_inference(torch.full((2, 3), math.nan), torch.zeros(2, 3, 5))


@pytest.mark.parametrize("rows", [1, 3, 7])
@pytest.mark.parametrize("keep_scores", [False, True])
def test_strips_change_nothing(rng, rows, keep_scores):
    class_logits = torch.randn(6, 4, generator=rng)
    mask_logits = torch.randn(6, 7, 9, generator=rng) * 3
    whole = semantic_inference(class_logits, mask_logits, keep_scores=True)
    strips = mask_logits.split(rows, dim=1)
    result = semantic_from_strips(class_logits, strips, (7, 9), keep_scores=keep_scores)
    assert torch.equal(result.label_map, whole.label_map)
    if keep_scores:
        torch.testing.assert_close(result.scores, whole.scores)
    else:
        assert result.scores is None


def test_strips_refuse_logits_that_are_not_finite():
    with pytest.raises(ValueError, match="class_logits must be finite"):
        semantic_from_strips(torch.full((2, 3), math.nan), [torch.zeros(2, 3, 5)], (3, 5))


def test_the_winner_of_votes_is_that_of_the_docstring():
    votes = [torch.tensor([0.59, 0.67])[:, None, None]]
    result = semantic_from_votes(votes, (2, 1, 1), device=torch.device("cpu"))
    assert result.label_map.tolist() == [[1]]
