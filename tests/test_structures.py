"""The one structure that computes.

Mutants that must fail: height and width swapped; the mean over channels for their sum; the
features of another image.
"""

import dataclasses

import pytest
import torch

from minioneformer.structures import MaskPrediction


def prediction(batch: int, queries: int, size: tuple[int, int]) -> MaskPrediction:
    return MaskPrediction(
        class_logits=torch.randn(batch, queries, 4),
        mask_embeddings=torch.randn(batch, queries, 6),
        mask_features=torch.randn(batch, 6, *size),
    )


@pytest.mark.parametrize(("batch", "queries"), [(2, 3), (1, 0), (3, 1)])
def test_mask_logits_are_dot_products_of_queries_and_cells(batch, queries):
    factored = prediction(batch, queries, (3, 5))
    logits = factored.mask_logits
    assert logits.shape == (batch, queries, 3, 5)
    for b in range(batch):
        for n in range(queries):
            for row in range(3):
                for column in range(5):
                    cell = factored.mask_features[b, :, row, column]
                    expected = sum(factored.mask_embeddings[b, n] * cell)
                    torch.testing.assert_close(logits[b, n, row, column], expected)


def test_a_hand_worked_example():
    factored = MaskPrediction(
        class_logits=torch.zeros(1, 1, 2),
        mask_embeddings=torch.tensor([[[2.0, -1.0]]]),
        mask_features=torch.tensor([[[[1.0, 0.0, 3.0]], [[0.0, 5.0, 1.0]]]]),
    )
    assert factored.mask_logits.tolist() == [[[[2.0, -5.0, 5.0]]]]


def test_a_prediction_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError, match="class_logits"):
        prediction(1, 2, (3, 5)).class_logits = torch.zeros(1, 2, 4)
