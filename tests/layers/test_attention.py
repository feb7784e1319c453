"""Multi-head attention.

Mutants that must fail: no division by sqrt(d); division by sqrt(C); blocked_mask read as allowed;
heads split or merged as (c heads); keys for values; queries for keys; dropout left on in eval;
the bound of Xavier without the fused matrix.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from minioneformer.layers.attention import MultiHeadAttention


def by_loops(
    attention: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor, blocked: Tensor
) -> Tensor:
    """One query, one head, one key at a time."""
    dim = query.shape[-1]
    head_dim = dim // attention.num_heads
    q, k, v = (
        attention.query_proj(query),
        attention.key_proj(key),
        attention.value_proj(value),
    )
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        kb = b if k.shape[0] > 1 else 0
        vb = b if v.shape[0] > 1 else 0
        for i in range(q.shape[1]):
            for head in range(attention.num_heads):
                channels = slice(head * head_dim, (head + 1) * head_dim)
                allowed = [j for j in range(k.shape[1]) if not blocked[b, i, j]]
                scores = [
                    math.exp(float(q[b, i, channels] @ k[kb, j, channels]) / math.sqrt(head_dim))
                    for j in allowed
                ]
                for score, j in zip(scores, allowed, strict=True):
                    out[b, i, channels] += score / sum(scores) * v[vb, j, channels]
    return attention.out_proj(out)


def identity_attention(dim: int) -> MultiHeadAttention:
    attention = MultiHeadAttention(dim=dim, num_heads=1)
    with torch.no_grad():
        for linear in attention.children():
            linear.weight.copy_(torch.eye(dim))
            linear.bias.zero_()
    return attention


def randomised(attention: MultiHeadAttention) -> MultiHeadAttention:
    """Biases start at zero, which would hide a mistake with them."""
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.normal_(0, 0.7)
    return attention


@torch.no_grad()
@pytest.mark.parametrize(("key_batch", "value_batch"), [(2, 2), (1, 1), (2, 1)])
def test_equals_loops_over_queries_heads_and_keys(key_batch, value_batch, rng):
    attention = randomised(MultiHeadAttention(dim=6, num_heads=3))
    query = torch.randn(2, 3, 6, generator=rng)
    key = torch.randn(key_batch, 5, 6, generator=rng)
    value = torch.randn(value_batch, 5, 6, generator=rng)
    blocked = torch.rand(2, 3, 5, generator=rng) < 0.4
    blocked[..., 2] = False
    expected = by_loops(attention, query, key, value, blocked)
    torch.testing.assert_close(attention(query, key, value, blocked), expected)
    nothing_blocked = torch.zeros_like(blocked)
    expected = by_loops(attention, query, key, value, nothing_blocked)
    torch.testing.assert_close(attention(query, key, value), expected)


def test_a_hand_worked_example():
    # d = 4: scores 0 and 2 log 3, halved to 0 and log 3, so the weights are 1/4 and 3/4.
    attention = identity_attention(4)
    query = torch.tensor([[[1.0, 0, 0, 0]]])
    key = torch.tensor([[[0.0, 0, 0, 0], [2 * math.log(3), 0, 0, 0]]])
    value = torch.tensor([[[0.0, 8, 0, 4], [4.0, 0, 0, 4]]])
    torch.testing.assert_close(attention(query, key, value), torch.tensor([[[3.0, 2.0, 0.0, 4.0]]]))


def test_true_in_the_mask_means_blocked():
    attention = identity_attention(2)
    query, key = torch.randn(1, 1, 2), torch.randn(1, 3, 2)
    value = torch.tensor([[[1.0, 2], [3.0, 4], [5.0, 6]]])
    only_the_second = torch.tensor([[[True, False, True]]])
    torch.testing.assert_close(attention(query, key, value, only_the_second), value[:, 1:2])


@torch.no_grad()
@given(
    num_queries=st.integers(0, 3),
    num_keys=st.integers(1, 5),
    num_heads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_the_order_of_keys_is_of_no_concern_and_that_of_queries_passes_through(
    num_queries, num_keys, num_heads, seed
):
    rng = torch.Generator().manual_seed(seed)
    attention = MultiHeadAttention(dim=2 * num_heads, num_heads=num_heads)
    query = torch.randn(2, num_queries, 2 * num_heads, generator=rng)
    key, value = torch.randn(2, 2, num_keys, 2 * num_heads, generator=rng)
    blocked = torch.rand(2, num_queries, num_keys, generator=rng) < 0.5
    blocked[..., 0] = False
    out = attention(query, key, value, blocked)
    order = torch.randperm(num_keys, generator=rng)
    shuffled = attention(query, key[:, order], value[:, order], blocked[..., order])
    torch.testing.assert_close(shuffled, out)
    order = torch.randperm(num_queries, generator=rng)
    torch.testing.assert_close(
        attention(query[:, order], key, value, blocked[:, order]), out[:, order]
    )


@torch.no_grad()
def test_what_is_blocked_cannot_be_read():
    attention = MultiHeadAttention(dim=6, num_heads=2)
    query, key, value = torch.randn(1, 2, 6), torch.randn(1, 4, 6), torch.randn(1, 4, 6)
    blocked = torch.tensor([[[False, True, False, True]] * 2])
    out = attention(query, key, value, blocked)
    key[:, [1, 3]] += 50
    value[:, [1, 3]] -= 50
    assert torch.equal(attention(query, key, value, blocked), out)


@torch.no_grad()
def test_equals_the_attention_of_torch_with_fused_weights(rng):
    ours = randomised(MultiHeadAttention(dim=6, num_heads=2))
    theirs = nn.MultiheadAttention(6, 2, batch_first=True)
    projections = ours.query_proj, ours.key_proj, ours.value_proj
    theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
    theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
    theirs.out_proj.load_state_dict(ours.out_proj.state_dict())
    query, key = torch.randn(2, 3, 6, generator=rng), torch.randn(2, 5, 6, generator=rng)
    expected, _ = theirs(query, key, key)
    torch.testing.assert_close(ours(query, key, key), expected)


def test_dropout_acts_on_weights_in_training_only():
    attention = identity_attention(1)
    attention.dropout = 0.5
    query, key = torch.zeros(1, 400, 1), torch.zeros(1, 2, 1)
    value = torch.tensor([[[1.0], [10.0]]])
    # Two weights of 1/2, each dropped or doubled.
    assert set(attention.train()(query, key, value).flatten().tolist()) == {0.0, 1.0, 10.0, 11.0}
    assert set(attention.eval()(query, key, value).flatten().tolist()) == {5.5}


def test_weights_start_within_the_bound_of_the_fused_matrix():
    attention = MultiHeadAttention(dim=40, num_heads=4)
    for proj in (attention.query_proj, attention.key_proj, attention.value_proj):
        assert 0.95 < float(proj.weight.detach().abs().max()) / math.sqrt(6 / 160) <= 1
        assert not proj.bias.any()
    assert 0.95 < float(attention.out_proj.weight.detach().abs().max()) / math.sqrt(6 / 80) <= 1
    assert not attention.out_proj.bias.any()


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="got dim=6, num_heads=4"):
        MultiHeadAttention(dim=6, num_heads=4)
