"""One masked decoder layer.

Mutants that must fail: no mask; keys and values swapped; positions in the values; no positions in
either comparison; a residual left out; norms swapped.
"""

import torch
import torch.nn.functional as F

from minioneformer.decoder.decoder_layer import DecoderLayer


def random_layer() -> DecoderLayer:
    layer = DecoderLayer(dim=8, num_heads=2, feed_forward_dim=5)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.5)
    return layer


def inputs() -> tuple[torch.Tensor, ...]:
    """Queries, their positions, keys, values, blocked cells."""
    blocked = torch.rand(2, 3, 7) < 0.5
    blocked[..., 4] = False
    return torch.randn(2, 3, 8), torch.randn(3, 8), *torch.randn(2, 2, 7, 8), blocked


@torch.no_grad()
def test_cross_attention_then_self_attention_then_feed_forward():
    layer = random_layer()
    queries, positions, keys, values, blocked = inputs()
    x = queries
    read = layer.cross_attention(x + positions, keys, values, blocked)
    x = layer.cross_attention_norm(x + read)
    heard = layer.self_attention(x + positions, x + positions, x)
    x = layer.self_attention_norm(x + heard)
    first, second = layer.feed_forward.linear1, layer.feed_forward.linear2
    x = layer.feed_forward_norm(x + second(F.relu(first(x))))
    torch.testing.assert_close(layer(queries, positions, keys, values, blocked), x)


@torch.no_grad()
def test_a_cell_that_all_queries_are_kept_from_is_never_read():
    layer = random_layer()
    queries, positions, keys, values, blocked = inputs()
    blocked[..., 2] = True
    out = layer(queries, positions, keys, values, blocked)
    keys[:, 2], values[:, 2] = 9.0, -9.0
    assert torch.equal(layer(queries, positions, keys, values, blocked), out)
    keys[:, 4] += 1  # open to all
    assert not torch.allclose(layer(queries, positions, keys, values, blocked), out)


@torch.no_grad()
def test_permuting_queries_with_positions_and_masks_permutes_the_result():
    layer = random_layer()
    queries, positions, keys, values, blocked = inputs()
    out = layer(queries, positions, keys, values, blocked)
    order = [2, 0, 1]
    permuted = layer(queries[:, order], positions[order], keys, values, blocked[:, order])
    torch.testing.assert_close(permuted, out[:, order])


def test_there_is_no_dropout():
    layer = random_layer().train()
    arguments = inputs()
    assert torch.equal(layer(*arguments), layer(*arguments))
