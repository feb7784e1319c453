"""Query-text contrastive loss.

Mutants that must fail: `* temperature`; one direction only, or twice; their mean; no
normalisation; normalisation of each query by itself; queries averaged before they are flattened;
the pairs reversed.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minioneformer.losses.contrastive import query_text_contrastive_loss


def by_loops(queries: Tensor, texts: Tensor, temperature: float) -> float:
    """Eq. (1), one image after the other."""
    batch = queries.shape[0]
    images = [row / row.norm() for row in queries.flatten(1)]
    captions = [row / row.norm() for row in texts.flatten(1)]
    total = 0.0
    for i in range(batch):
        for one, others in ((images[i], captions), (captions[i], images)):
            scores = [math.exp(float(one @ other) / temperature) for other in others]
            total -= math.log(scores[i] / sum(scores)) / batch
    return total


def queries_and_texts(batch: int, queries: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, batch, queries, 5, generator=rng, dtype=torch.float64))


@pytest.mark.parametrize("temperature", [0.5, 0.07, 3.0])
@pytest.mark.parametrize("batch", [2, 5])
def test_equals_equation_1_in_loops(batch, temperature):
    queries, texts = queries_and_texts(batch)
    loss = query_text_contrastive_loss(queries, texts, temperature)
    assert loss.item() == pytest.approx(by_loops(queries, texts, temperature))


def test_the_example_of_the_docstring():
    queries = torch.tensor([[[3.0, 0.0]], [[0.0, 0.2]]])  # orthogonal, of any length
    loss = query_text_contrastive_loss(queries, queries * 7, 0.5)
    assert loss.item() == pytest.approx(2 * math.log(1 + math.exp(-2)))
    assert loss.item() == pytest.approx(0.2539, abs=1e-4)


@given(batch=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_it_is_symmetric_and_neither_scale_nor_the_order_of_images_matters(batch, seed):
    queries, texts = queries_and_texts(batch, seed=seed)
    loss = query_text_contrastive_loss(queries, texts, 0.3)
    assert loss >= 0
    torch.testing.assert_close(query_text_contrastive_loss(texts, queries, 0.3), loss)
    scale = torch.rand(batch, 1, 1, dtype=torch.float64) + 0.5
    torch.testing.assert_close(query_text_contrastive_loss(queries * scale, texts, 0.3), loss)
    order = torch.randperm(batch)
    torch.testing.assert_close(query_text_contrastive_loss(queries[order], texts[order], 0.3), loss)


def test_images_are_compared_as_wholes():
    """A permutation of the queries within one image alone is another vector."""
    queries, texts = queries_and_texts(2)
    loss = query_text_contrastive_loss(queries, texts, 0.3)
    queries[0] = queries[0, [1, 2, 0]]
    assert abs(query_text_contrastive_loss(queries, texts, 0.3) - loss) > 1e-3


def test_one_image_has_nothing_to_be_told_apart_from():
    queries, texts = queries_and_texts(1)
    assert query_text_contrastive_loss(queries, texts, 0.07).item() == 0


def test_equal_images_cost_the_log_of_their_number_twice():
    queries = torch.ones(4, 3, 2)
    loss = query_text_contrastive_loss(queries, queries, 0.07)
    assert loss.item() == pytest.approx(2 * math.log(4))


def test_its_gradient_pulls_own_pairs_together():
    queries, texts = queries_and_texts(3)
    start = query_text_contrastive_loss(queries.requires_grad_(), texts, 0.5)
    start.backward()
    moved = queries.detach() - 0.05 * queries.grad
    assert query_text_contrastive_loss(moved, texts, 0.5) < start


def test_a_tensor_is_a_temperature_too_and_learns():
    queries, texts = queries_and_texts(3)
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    loss = query_text_contrastive_loss(queries, texts, temperature)
    torch.testing.assert_close(loss, query_text_contrastive_loss(queries, texts, 0.3))
    loss.backward()
    assert temperature.grad != 0


@pytest.mark.parametrize("temperature", [0.0, -0.1])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    queries, texts = queries_and_texts(2)
    with pytest.raises(ValueError, match=f"got temperature={temperature}"):
        query_text_contrastive_loss(queries, texts, temperature)
