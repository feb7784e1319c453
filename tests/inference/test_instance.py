"""Scored masks. Mutants that must fail: `> 0` to `>= 0`; quality over all pixels; no sorting."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.inference.candidates import instance_candidates
from minioneformer.inference.instance import instance_from_chunks, instance_inference
from minioneformer.structures import Category

CLASSES = [
    Category(name=f"class {i}", is_thing=i != 1, color=(i, i, i), dataset_id=i) for i in range(3)
]


def test_the_docstring_example():
    class_logits = torch.log(torch.tensor([[0.9, 0.1]]))
    mask_logits = torch.logit(torch.tensor([[[0.8, 0.6, 0.3]]]))
    result = instance_inference(class_logits, mask_logits, CLASSES[:1])
    assert result.masks.tolist() == [[[True, True, False]]]
    assert float(result.scores) == pytest.approx(0.63, abs=1e-5)


def test_a_logit_of_zero_is_outside():
    result = instance_inference(
        torch.tensor([[5.0, 0.0]]), torch.tensor([[[0.0, 1e-6]]]), CLASSES[:1]
    )
    assert result.masks.tolist() == [[[False, True]]]


def slow_instances(class_logits, mask_logits, num_instances):
    """The rules, one pair and one pixel at a time; sorted by score."""
    probs = class_logits.softmax(-1)
    pairs = sorted((-float(probs[q, k]), q, k) for q in range(len(probs)) for k in range(3))
    result = []
    for negative, q, k in pairs[:num_instances]:
        if not CLASSES[k].is_thing:
            continue
        inside = [float(v) for v in mask_logits[q].flatten() if v > 0]
        quality = sum(1 / (1 + math.exp(-v)) for v in inside) / (len(inside) + 1e-6)
        result.append((-negative * quality, q, k))
    return sorted(result, key=lambda entry: -entry[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20), st.integers(1, 5))
def test_it_agrees_with_loops_and_chunks_change_nothing(seed, num_instances, chunk):
    rng = torch.Generator().manual_seed(seed)
    class_logits = torch.randn(6, 4, generator=rng) * 2
    mask_logits = torch.randn(6, 7, 9, generator=rng) * 3 - 1
    mask_logits[0] = -5.0  # an empty mask
    expected = slow_instances(class_logits, mask_logits, num_instances)
    result = instance_inference(class_logits, mask_logits, CLASSES, num_instances=num_instances)
    assert result.scores.tolist() == pytest.approx([score for score, _, _ in expected], abs=1e-6)
    pairs = zip(result.queries.tolist(), result.labels.tolist(), strict=True)
    assert sorted(pairs) == sorted((q, k) for _, q, k in expected)
    assert torch.equal(result.masks, mask_logits[result.queries] > 0)

    candidates = instance_candidates(class_logits, CLASSES, num_instances=num_instances)
    chunks = mask_logits[candidates.queries.unique()].split(chunk)
    again = instance_from_chunks(candidates, chunks, (7, 9))
    torch.testing.assert_close(again.scores, result.scores)
    assert torch.equal(again.masks, mask_logits[again.queries] > 0)


def test_best_first_and_a_query_can_appear_twice():
    class_logits = torch.log(torch.tensor([[0.3, 0.1, 0.35, 0.25], [0.1, 0.1, 0.1, 0.7]]))
    mask_logits = torch.tensor([9.0, 9.0])[:, None, None].expand(2, 3, 5)
    result = instance_inference(class_logits, mask_logits, CLASSES, num_instances=3)
    assert result.queries.tolist()[:2] == [0, 0]
    assert result.labels.tolist()[:2] == [2, 0]
    assert result.scores.diff().max() <= 0


def test_an_empty_mask_has_score_zero():
    result = instance_inference(torch.zeros(1, 4), torch.full((1, 3, 5), -9.0), CLASSES)
    assert result.scores.tolist() == [0.0]


def test_nothing_but_stuff_gives_no_instance():
    class_logits = torch.tensor([[0.0, 20.0, 0.0, 0.0]])
    result = instance_inference(class_logits, torch.ones(1, 3, 5), CLASSES)
    assert result.masks.shape == (0, 3, 5)
    assert len(result.labels) == len(result.scores) == len(result.queries) == 0


def test_the_class_threshold_applies_before_the_quality():
    class_logits = torch.log(torch.tensor([[0.6, 0.1, 0.1, 0.2], [0.4, 0.1, 0.1, 0.4]]))
    mask_logits = torch.tensor([0.1, 9.0])[:, None, None].expand(2, 3, 5)
    result = instance_inference(class_logits, mask_logits, CLASSES, class_threshold=0.5)
    assert result.queries.tolist() == [0]
    assert float(result.scores) < 0.5
