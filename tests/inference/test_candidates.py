"""What class logits decide alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.inference.candidates import (
    check_catalogue,
    class_probs,
    instance_candidates,
    panoptic_candidates,
)
from minioneformer.structures import Category

CLASSES = [
    Category(name=f"class {i}", is_thing=i != 1, color=(i, i, i), dataset_id=i) for i in range(3)
]


def test_the_panoptic_example_of_the_docstring():
    logits = torch.tensor([[2.0, 0, 0], [0, 0, 2.0]])
    assert class_probs(logits)[0, 0] == pytest.approx(0.787, abs=1e-3)
    assert panoptic_candidates(logits, object_threshold=0.8).queries.tolist() == []
    kept = panoptic_candidates(logits, object_threshold=0.7)
    assert (kept.queries.tolist(), kept.labels.tolist()) == ([0], [0])


def test_the_threshold_must_be_exceeded():
    logits = torch.tensor([[0.0, 0, -1e9]])  # one half each
    logits[0, 0] += 1e-3
    score = float(class_probs(logits).max())
    assert len(panoptic_candidates(logits, object_threshold=score).queries) == 0
    assert len(panoptic_candidates(logits, object_threshold=score - 1e-6).queries) == 1


def test_the_instance_example_of_the_docstring():
    logits = torch.log(torch.tensor([[0.5, 0.4, 0.1]]))
    things = [CLASSES[0], CLASSES[2]]
    best = instance_candidates(logits, things, num_instances=2)
    assert best.queries.tolist() == [0, 0] and best.labels.tolist() == [0, 1]
    torch.testing.assert_close(best.scores, torch.tensor([0.5, 0.4]))
    assert len(instance_candidates(logits, things).queries) == 1  # as many as queries
    sure = instance_candidates(logits, things, num_instances=2, class_threshold=0.45)
    assert sure.labels.tolist() == [0]


def test_labels_of_instances_are_positions_in_the_catalogue_behind_stuff_too():
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.6, 0.1]]))
    best = instance_candidates(logits, CLASSES, num_instances=1)
    assert best.labels.tolist() == [2]  # the second thing, behind the stuff that is class 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 40))
def test_instances_are_the_best_pairs_less_stuff(seed, num_queries, num_instances):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_queries, 4, generator=rng).round()  # ties happen
    probs = logits.softmax(-1)
    pairs = [(-float(probs[q, k]), q, k) for q in range(num_queries) for k in range(3)]
    expected = [(q, k) for _, q, k in sorted(pairs)[:num_instances] if k != 1]
    best = instance_candidates(logits, CLASSES, num_instances=num_instances)
    assert list(zip(best.queries.tolist(), best.labels.tolist(), strict=True)) == expected


def test_half_precision_logits_are_compared_in_float32():
    logits = torch.tensor([[3.0, 0.0, 0.0, 0.0]], dtype=torch.bfloat16)
    assert class_probs(logits).dtype == torch.float32


def test_a_catalogue_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"got num_classes=4, len\(categories\)=3"):
        check_catalogue(torch.zeros(2, 5), CLASSES)
    with pytest.raises(ValueError, match="one entry per class of the model"):
        instance_candidates(torch.zeros(2, 5), CLASSES)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(value):
    logits = torch.zeros(2, 4)
    logits[1, 2] = value
    with pytest.raises(ValueError, match="must be finite, got broken=1 of 8 entries"):
        panoptic_candidates(logits, object_threshold=0.5)
    with pytest.raises(ValueError, match="must be finite, got broken=1"):
        instance_candidates(logits, CLASSES)
