"""Neighborhood attention against its definition.

Mutants that must fail: the bias transposed or reversed; no scale; padded cells blocked, or zero
after the projection; a chunk left out; gradients of blocked pairs; the sum over keys left out of
the gradient of the softmax; gradients of a key that overwrite each other.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minioneformer.backbone import neighborhood_attention as module
from minioneformer.backbone.neighborhood_attention import (
    NeighborhoodAttention,
    neighborhood_attention,
)

PUBLISHED_DILATIONS = (1, 2, 3, 4, 5, 7, 9, 10, 14, 18, 20, 28)


def axis_neighbors(length: int, kernel_size: int, dilation: int) -> tuple[Tensor, Tensor]:
    """Positions of the keys of each position, and their places in the bias table."""
    padded_length = max(length, kernel_size * dilation)
    positions, entries = [], []
    for i in range(length):
        residue, j = i % dilation, i // dilation
        class_length = math.ceil((padded_length - residue) / dilation)
        start = min(max(j - kernel_size // 2, 0), class_length - kernel_size)
        steps = range(start, start + kernel_size)
        positions.append([t * dilation + residue for t in steps])
        entries.append([t - j + kernel_size - 1 for t in steps])
    return torch.tensor(positions), torch.tensor(entries)


def by_definition(qkv: Tensor, bias: Tensor, dilation: int, padding: Tensor) -> Tensor:
    """Keys and values of each cell gathered for it alone."""
    _, height, width, _, _, depth = qkv.shape
    kernel_size = (bias.shape[-1] + 1) // 2
    smallest = kernel_size * dilation
    padded = padding.expand(
        len(qkv), max(height, smallest), max(width, smallest), *padding.shape
    ).clone()
    padded[:, :height, :width] = qkv
    rows, row_entries = (t[:, None, :, None] for t in axis_neighbors(height, kernel_size, dilation))
    columns, column_entries = (
        t[None, :, None, :] for t in axis_neighbors(width, kernel_size, dilation)
    )
    k, v = padded[:, :, :, 1:][:, rows, columns].unbind(dim=5)  # (B, H, W, k, k, heads, D)
    logits = torch.einsum("bhwnd,bhwyxnd->bnhwyx", qkv[:, :, :, 0], k) / math.sqrt(depth)
    logits = logits + bias[:, row_entries, column_entries]
    weights = logits.flatten(-2).softmax(dim=-1).view_as(logits)
    return torch.einsum("bnhwyx,bhwyxnd->bhwnd", weights, v)


def draw(
    height: int, width: int, kernel_size: int, *, batch: int = 2, heads: int = 2, depth: int = 3
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs in double precision that ask for gradients."""
    side = 2 * kernel_size - 1
    shapes = [(batch, height, width, 3, heads, depth), (heads, side, side), (3, heads, depth)]
    return tuple(torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes)


def assert_equal_to_definition(inputs: tuple[Tensor, Tensor, Tensor], dilation: int) -> None:
    qkv, bias, padding = inputs
    expected = by_definition(qkv, bias, dilation, padding)
    got = neighborhood_attention(qkv, bias, dilation=dilation, padding=padding)
    torch.testing.assert_close(got, expected, atol=1e-11, rtol=0)
    d_out = torch.randn_like(expected)
    expected_gradients = torch.autograd.grad(expected, inputs, d_out)
    gradients = torch.autograd.grad(got, inputs, d_out, materialize_grads=True)
    torch.testing.assert_close(gradients, expected_gradients, atol=1e-11, rtol=0)


# --- the function


@pytest.mark.parametrize("dilation", PUBLISHED_DILATIONS)
@pytest.mark.parametrize("kernel_size", [3, 7, 11])
def test_values_and_gradients_equal_the_definition(kernel_size: int, dilation: int):
    for height, width in [(23, 37), (41, 5), (1, 19)]:
        assert_equal_to_definition(draw(height, width, kernel_size), dilation)


@pytest.mark.parametrize(("size", "dilation"), [((90, 67), 1), ((45, 90), 2), ((131, 12), 5)])
def test_maps_of_many_tiles_equal_the_definition(size: tuple[int, int], dilation: int):
    assert_equal_to_definition(draw(*size, 7, batch=1, heads=1, depth=2), dilation)


def test_gradients_equal_finite_differences():
    qkv, bias, padding = draw(5, 4, 3, batch=1, heads=1, depth=2)
    assert torch.autograd.gradcheck(
        lambda *inputs: neighborhood_attention(*inputs[:2], dilation=2, padding=inputs[2]),
        (qkv, bias, padding),
    )


def test_the_docstrings_example_of_one_cell():
    qkv = torch.tensor([0.0, 0.0, 6.0]).view(1, 1, 1, 3, 1, 1)
    padding = torch.tensor([0.0, 0.0, 2.0]).view(3, 1, 1)
    out = neighborhood_attention(qkv, torch.zeros(1, 5, 5), dilation=1, padding=padding)
    assert out.item() == pytest.approx(22 / 9)


@torch.no_grad()
def test_a_large_bias_picks_the_key_at_its_offset():
    # one row below and one step to the right, d = 2: the value of cell (i + 2, j + 2)
    qkv = torch.zeros(1, 9, 11, 3, 1, 1)
    qkv[..., 2, 0, 0] = torch.arange(99.0).view(9, 11)
    bias = torch.zeros(1, 5, 5)
    bias[0, 2 + 1, 2 + 1] = 500.0
    out = neighborhood_attention(qkv, bias, dilation=2)[0, :, :, 0, 0]
    torch.testing.assert_close(out[2:6, 2:8], qkv[0, 4:8, 4:10, 2, 0, 0])


def test_residue_classes_never_mix():
    qkv, bias, _ = draw(25, 22, 3, batch=1)
    out = neighborhood_attention(qkv, bias, dilation=4)
    (gradient,) = torch.autograd.grad(out[:, 1::4, 2::4].sum(), qkv)
    touched = gradient.abs().amax(dim=(0, 3, 4, 5)) > 0
    assert touched[1::4, 2::4].all()
    touched[1::4, 2::4] = False
    assert not touched.any()


@torch.no_grad()
def test_chunks_of_any_size_give_the_same(monkeypatch):
    qkv, bias, _ = (t.detach() for t in draw(33, 29, 3))
    expected = neighborhood_attention(qkv, bias, dilation=1)
    monkeypatch.setattr(module, "CPU_CHUNK_SIZE", 1)
    torch.testing.assert_close(neighborhood_attention(qkv, bias, dilation=1), expected)


def test_logits_and_gathered_cells_stay_within_a_chunk(monkeypatch):
    monkeypatch.setattr(module, "CPU_CHUNK_SIZE", 2**15)
    sizes, gather = [], module._gather

    def recorded(*arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = gather(*arguments)
        sizes.append(max(k.numel() + v.numel(), q[..., 0].numel() * k.shape[-2]))
        return q, k, v

    monkeypatch.setattr(module, "_gather", recorded)
    qkv, bias, _ = draw(60, 47, 3, batch=3, heads=1)
    neighborhood_attention(qkv, bias, dilation=1).sum().backward()
    assert max(sizes) <= 2**15
    assert sum(sizes) > 20 * 2**15  # forward and backward


def test_the_backward_pass_keeps_no_more_than_the_inputs():
    kept = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    qkv, bias, _ = draw(40, 31, 11)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        neighborhood_attention(qkv, bias, dilation=1)
    assert sum(kept) <= qkv.numel() + bias.numel()


def test_the_form_for_compilers_has_the_same_values_and_gradients(monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert_equal_to_definition(draw(23, 37, 3), 2)
    assert_equal_to_definition(draw(9, 13, 7), 4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_double_and_keeps_its_dtype(dtype: torch.dtype):
    inputs = draw(14, 37, 7)
    expected = by_definition(inputs[0], inputs[1], 3, inputs[2])
    expected_gradients = torch.autograd.grad(expected.square().sum(), inputs)
    halves = [t.detach().to(dtype).requires_grad_() for t in inputs]
    halves[1] = inputs[1].detach().float().requires_grad_()  # a table stays float32 in autocast
    got = neighborhood_attention(*halves[:2], dilation=3, padding=halves[2])
    assert got.dtype == dtype
    gradients = torch.autograd.grad(got.double().square().sum(), halves)
    for half, exact in zip((got, *gradients), (expected, *expected_gradients), strict=True):
        error = (half.double() - exact).norm() / exact.norm()
        assert error < 2e-2
    assert gradients[1].dtype == torch.float32


def test_many_small_gradients_of_the_table_are_not_lost_in_half_precision(monkeypatch):
    monkeypatch.setattr(module, "CPU_CHUNK_SIZE", 1)  # one tile at a time
    qkv, bias, _ = draw(48, 61, 3, heads=1, depth=4)
    qkv, bias, d_out = qkv.bfloat16(), bias.float(), torch.rand(2, 48, 61, 1, 4).bfloat16()
    got = neighborhood_attention(qkv, bias, dilation=1)
    (gradient,) = torch.autograd.grad(got, bias, d_out)
    exact = neighborhood_attention(qkv.double(), bias, dilation=1)
    (expected,) = torch.autograd.grad(exact, bias, d_out.double())
    assert (gradient - expected).norm() < 6e-3 * expected.norm()


def test_wrong_sizes_are_refused():
    qkv, bias, padding = draw(9, 8, 3)
    with pytest.raises(ValueError, match="needs padding, got height=9, width=8"):
        neighborhood_attention(qkv, bias, dilation=3)
    with pytest.raises(ValueError, match="at least 1 step, got dilation=0"):
        neighborhood_attention(qkv, bias, dilation=0, padding=padding)
    with pytest.raises(ValueError, match="for an odd k, got side=7"):
        neighborhood_attention(qkv, torch.zeros(2, 7, 7).double(), dilation=1, padding=padding)


def test_a_second_derivative_is_refused_rather_than_wrong():
    qkv, bias, _ = draw(4, 5, 3)
    out = neighborhood_attention(qkv, bias, dilation=1)
    (gradient,) = torch.autograd.grad(out.square().sum(), qkv, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


# --- the module


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("size", [(14, 23), (6, 23), (5, 3)])
def test_the_map_is_padded_with_zeros_before_the_projection(size: tuple[int, int], qkv_bias: bool):
    attention = NeighborhoodAttention(
        dim=6, num_heads=2, kernel_size=3, dilation=3, qkv_bias=qkv_bias
    ).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn_like(parameter))
    x = torch.randn(2, *size, 6, dtype=torch.float64)
    missing = [max(9 - side, 0) for side in size]
    padded = F.pad(x, (0, 0, 0, missing[1], 0, missing[0]))
    qkv = attention.qkv(padded).unflatten(-1, (3, 2, 3))
    # with all padding inside the map, none is left to the oracle
    nothing = torch.full((3, 2, 3), math.nan, dtype=torch.float64)
    attended = by_definition(qkv, attention.relative_position_bias, 3, nothing)
    expected = attention.proj(attended[:, : size[0], : size[1]].flatten(-2))
    torch.testing.assert_close(attention(x), expected)


def test_gradients_reach_every_parameter_in_training():
    attention = NeighborhoodAttention(dim=6, num_heads=2, kernel_size=3, dilation=4)
    attention(torch.randn(1, 12, 15, 6)).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in attention.parameters())
    assert (attention.relative_position_bias.grad != 0).all()


def test_wrong_constructor_values_are_refused():
    with pytest.raises(ValueError, match="got dim=6, num_heads=4"):
        NeighborhoodAttention(dim=6, num_heads=4, kernel_size=3)
    with pytest.raises(ValueError, match="odd and positive, got kernel_size=4"):
        NeighborhoodAttention(dim=6, num_heads=2, kernel_size=4)
    with pytest.raises(ValueError, match="at least 1 step, got dilation=0"):
        NeighborhoodAttention(dim=6, num_heads=2, kernel_size=3, dilation=0)
