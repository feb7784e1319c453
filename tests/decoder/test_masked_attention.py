"""Blocked cells.

Mutants that must fail: > for <; `<= 0`; threshold at 0.5; empty masks left blocked; opened when
*any* cell is blocked; opened by another image; corner-aligned resize; resize to (W, H); gradient
let through.
"""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minioneformer.decoder.masked_attention import blocked_outside_mask, resize_mask_features


def from_logits(logits: list[list[float]], size: tuple[int, int]) -> Tensor:
    """One channel per query, so that query n has exactly the n-th row of logits."""
    features = torch.tensor(logits).view(1, len(logits), *size)
    return blocked_outside_mask(torch.eye(len(logits))[None], features)


def test_the_example_of_the_docstring():
    blocked = from_logits([[-1.0, 2.0, -3.0], [-1.0, -2.0, -3.0]], (1, 3))
    assert blocked.tolist() == [[[True, False, True], [False, False, False]]]


def test_a_logit_of_zero_is_open_as_probability_one_half_is():
    assert from_logits([[0.0, -1e-6, 1e-6]], (3, 1)).tolist() == [[[False, True, False]]]


def test_one_open_cell_keeps_the_others_blocked():
    assert from_logits([[-1.0, -1.0, -1.0, 0.3]], (2, 2)).tolist() == [[[True] * 3 + [False]]]


@given(
    batch=st.integers(1, 3),
    queries=st.integers(0, 4),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    shift=st.floats(-4, 4),
)
@settings(max_examples=25, deadline=None)
def test_equals_a_loop_over_cells_and_no_row_is_fully_blocked(batch, queries, height, width, shift):
    rng = torch.Generator().manual_seed(height + 7 * width)
    embeddings = torch.randn(batch, queries, 3, generator=rng)
    features = torch.randn(batch, 3, height, width, generator=rng) + shift
    blocked = blocked_outside_mask(embeddings, features)
    assert blocked.shape == (batch, queries, height * width)
    for b in range(batch):
        for n in range(queries):
            row = [
                float(embeddings[b, n] @ features[b, :, cell // width, cell % width]) < 0
                for cell in range(height * width)
            ]
            if all(row):
                row = [False] * len(row)
            assert blocked[b, n].tolist() == row


@pytest.mark.parametrize("size", [(3, 2), (5, 3), (9, 6), (1, 1), (20, 31)])
def test_masks_from_resized_features_are_resized_masks(size):
    """The resize acts on cells, the product on channels: in either order the same masks."""
    features = torch.randn(2, 4, 17, 12, dtype=torch.float64)
    embeddings = torch.randn(2, 3, 4, dtype=torch.float64)
    logits = torch.einsum("bnc,bchw->bnhw", embeddings, features)
    resized = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    (small,) = resize_mask_features(features, [size])
    torch.testing.assert_close(torch.einsum("bnc,bchw->bnhw", embeddings, small), resized)
    expected = (resized.sigmoid() < 0.5).flatten(2)  # as the original writes it
    expected[expected.all(-1)] = False
    assert torch.equal(blocked_outside_mask(embeddings, small), expected)


def test_a_resize_to_half_averages_four_cells():
    features = torch.arange(24.0).view(1, 1, 4, 6)
    (half,) = resize_mask_features(features, [(2, 3)])
    expected = [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]  # (0 + 1 + 6 + 7) / 4 = 3.5
    assert half[0, 0].tolist() == expected


def test_decisions_have_no_gradient():
    features = torch.randn(1, 4, 6, 8, requires_grad=True)
    resized = resize_mask_features(features, [(3, 4), (2, 2)])
    assert [x.requires_grad for x in resized] == [False, False]
    assert [tuple(x.shape) for x in resized] == [(1, 4, 3, 4), (1, 4, 2, 2)]
    assert not blocked_outside_mask(torch.randn(1, 2, 4, requires_grad=True), features).is_leaf or (
        features.grad is None
    )
