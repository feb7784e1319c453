"""Deformable encoder layer and its reference points.

Mutants that must fail: (y, x) points; corners instead of centres; column by column; positions
added to what is read; no positions; a residual left out; the two norms swapped; no dropout.
"""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minioneformer.pixel_decoder.encoder import EncoderLayer, reference_points

CPU = torch.device("cpu")
LEVELS = [(3, 5), (1, 2), (4, 1)]


def layer_with_random_weights(dropout: float = 0.0) -> EncoderLayer:
    layer = EncoderLayer(dim=6, num_heads=2, feed_forward_dim=5, dropout=dropout)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.5)
    return layer


def test_the_example_of_the_docstring():
    assert reference_points(((1, 2),), CPU).tolist() == [[0.25, 0.5], [0.75, 0.5]]


@given(levels=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_points_are_the_centres_row_by_row_and_level_by_level(levels):
    expected = [
        [(column + 0.5) / width, (row + 0.5) / height]
        for height, width in levels
        for row in range(height)
        for column in range(width)
    ]
    torch.testing.assert_close(reference_points(tuple(levels), CPU), torch.tensor(expected))


def normalise(x: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight + (
        norm.bias
    )


@torch.no_grad()
def test_the_layer_attends_with_positions_reads_without_and_normalises_after_each_residual():
    layer = layer_with_random_weights()
    tokens, positions = torch.randn(2, 21, 6), torch.randn(1, 21, 6)
    points = reference_points(tuple(LEVELS), CPU)
    attended = layer.attention(tokens + positions, points, tokens, LEVELS)
    middle = normalise(tokens + attended, layer.attention_norm)
    first, second = layer.feed_forward.linear1, layer.feed_forward.linear2
    expected = normalise(middle + second(F.relu(first(middle))), layer.feed_forward_norm)
    out = layer(tokens, positions, points, LEVELS)
    torch.testing.assert_close(out, expected)


def test_dropout_acts_in_training_only():
    layer = layer_with_random_weights(dropout=0.5)
    arguments = torch.randn(1, 21, 6), torch.zeros(1, 21, 6), reference_points(tuple(LEVELS), CPU)
    assert not torch.equal(layer(*arguments, LEVELS), layer(*arguments, LEVELS))
    layer.eval()
    assert torch.equal(layer(*arguments, LEVELS), layer(*arguments, LEVELS))


def test_dropout_comes_before_each_residual_and_on_hidden_channels():
    layer = layer_with_random_weights(dropout=1.0)  # nothing is ever added
    tokens = torch.randn(1, 21, 6)
    points = reference_points(tuple(LEVELS), CPU)
    out = layer(tokens, torch.zeros_like(tokens), points, LEVELS)
    torch.testing.assert_close(out, layer.feed_forward_norm(layer.attention_norm(tokens)))
    assert layer.feed_forward.dropout.p == 1.0


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="got dim=6, num_heads=5"):
        EncoderLayer(dim=6, num_heads=5, feed_forward_dim=5, dropout=0.0)
