"""Text encoder: a loop over texts, tokens, heads and channels is the oracle.

Mutants that must fail here: no causal mask; GELU for QuickGELU; post-norm; q, k, v rows in another
order; feature at the last column instead of the end; no positional embedding.
"""

import math

import pytest
import torch

from minioneformer.text.text_encoder import TextEncoder

TOKENS = torch.tensor([[7, 1, 2, 8, 0], [7, 8, 3, 3, 3], [7, 4, 4, 5, 8]])  # 8 is the end


def small_encoder(**changes):
    sizes = {"vocab_size": 9, "context_length": 6, "width": 12, "num_layers": 2, "num_heads": 3}
    encoder = TextEncoder(**(sizes | changes)).double()
    with torch.no_grad():
        for parameter in encoder.parameters():  # biases and norms away from 0 and 1
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return encoder


def norm(x, layer):
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return [
        (v - mean) / math.sqrt(variance + layer.eps) * w + b
        for v, w, b in zip(x, layer.weight.tolist(), layer.bias.tolist(), strict=True)
    ]


def add(x, y):
    return [a + b for a, b in zip(x, y, strict=True)]


def linear(x, weight, bias):
    rows = zip(weight.tolist(), bias.tolist(), strict=True)
    return [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in rows]


def slow_attention(tokens, attention):
    width, heads = len(tokens[0]), attention.num_heads
    size = width // heads
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    q, k, v = (
        [linear(t, weight[i * width : (i + 1) * width], bias[i * width : (i + 1) * width])
         for t in tokens]
        for i in range(3)
    )  # fmt: skip
    out = []
    for i in range(len(tokens)):
        row = []
        for head in range(heads):
            channels = range(head * size, (head + 1) * size)
            scores = [
                math.exp(sum(q[i][c] * k[j][c] for c in channels) / math.sqrt(size))
                for j in range(i + 1)
            ]
            row += [sum(s * v[j][c] for j, s in enumerate(scores)) / sum(scores) for c in channels]
        out.append(linear(row, attention.out_proj.weight, attention.out_proj.bias))
    return out


def slow_encoder(encoder, ids):
    tokens = [
        (encoder.token_embedding.weight[i] + encoder.positional_embedding[p]).tolist()
        for p, i in enumerate(ids)
    ]
    for layer in encoder.layers:
        attended = slow_attention([norm(t, layer.norm1) for t in tokens], layer.attention)
        tokens = [
            [a + b for a, b in zip(*pair, strict=True)]
            for pair in zip(tokens, attended, strict=True)
        ]
        for position, token in enumerate(tokens):
            hidden = linear(norm(token, layer.norm2), layer.mlp.fc1.weight, layer.mlp.fc1.bias)
            hidden = [h / (1 + math.exp(-1.702 * h)) for h in hidden]
            out = linear(hidden, layer.mlp.fc2.weight, layer.mlp.fc2.bias)
            tokens[position] = add(token, out)
    return norm(tokens[ids.index(max(ids))], encoder.final_norm)


def test_equals_the_loops():
    encoder = small_encoder()
    expected = torch.tensor([slow_encoder(encoder, ids) for ids in TOKENS.tolist()]).double()
    torch.testing.assert_close(encoder(TOKENS), expected, rtol=1e-5, atol=1e-6)


def test_what_follows_the_end_is_never_read():
    encoder = small_encoder()
    changed = TOKENS.clone()
    changed[0, 4:], changed[1, 2:] = 5, 6
    assert torch.equal(encoder(changed), encoder(TOKENS))
    torch.testing.assert_close(encoder(TOKENS[:2, :4]), encoder(TOKENS)[:2])


def test_what_stands_before_the_end_is_read():
    encoder = small_encoder()
    for column in range(4):
        changed = TOKENS.clone()
        changed[2, column] = 0
        assert not torch.allclose(encoder(changed)[2], encoder(TOKENS)[2])


def test_the_first_of_two_ends_counts():
    encoder = small_encoder()
    two_ends = torch.tensor([[7, 1, 8, 2, 8]])
    torch.testing.assert_close(encoder(two_ends), encoder(two_ends[:, :3]))


def test_texts_do_not_see_each_other_and_an_empty_batch_is_empty():
    encoder = small_encoder()
    alone = torch.cat([encoder(row[None]) for row in TOKENS])
    torch.testing.assert_close(encoder(TOKENS), alone)
    assert encoder(TOKENS[:0]).shape == (0, 12)


def test_weights_start_as_published():
    encoder = TextEncoder(vocab_size=2000)
    layer = encoder.layers[3]
    for weight, std in [
        (encoder.token_embedding.weight, 0.02),
        (encoder.positional_embedding, 0.01),
        (layer.attention.in_proj_weight, 256**-0.5),
        (layer.attention.out_proj.weight, (256 * 12) ** -0.5),
        (layer.mlp.fc1.weight, 512**-0.5),
        (layer.mlp.fc2.weight, (256 * 12) ** -0.5),
    ]:
        assert weight.std().item() == pytest.approx(std, rel=0.03)
        assert abs(weight.mean().item()) < std / 20
    assert not layer.attention.in_proj_bias.any()
    assert not layer.attention.out_proj.bias.any()
    wide = TextEncoder(vocab_size=2000, init_std=1.0)
    assert wide.token_embedding.weight.std().item() == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize(("width", "heads"), [(256, 4), (96, 1), (32, 1), (160, 2)])
def test_there_is_one_head_per_64_channels_and_at_least_one(width, heads):
    encoder = TextEncoder(vocab_size=9, width=width, num_layers=1)
    assert encoder.layers[0].attention.num_heads == heads


@pytest.mark.parametrize(("width", "heads"), [(224, None), (12, 5), (12, 0)])
def test_heads_must_divide_the_width(width, heads):
    with pytest.raises(ValueError, match=f"num_heads must divide width, got width={width}"):
        TextEncoder(vocab_size=9, width=width, num_layers=1, num_heads=heads)


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match=r"6 tokens, got .*\(1, 7\).*context_length=6"):
        small_encoder()(torch.zeros(1, 7, dtype=torch.int64))
