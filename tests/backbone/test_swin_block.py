"""Window attention and the block around it.

Mutants that must fail: key minus query in the bias; `qkv` rows in another order; padding before
the norm, or masked; rolling in the wrong direction; no roll back; drop path on one branch only.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from minioneformer.backbone.swin_block import SwinBlock, WindowAttention
from minioneformer.backbone.windows import relative_position_index, shifted_window_mask


def shake(module: nn.Module) -> nn.Module:
    """Make every parameter matter: biases and norms too."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.eval()


def window_attention_with_loops(block: SwinBlock, x: torch.Tensor) -> torch.Tensor:
    """One query cell at a time, by where cells are on the unrolled, padded map of one image."""
    attention, size, shift = block.attention, block.window_size, block.shift
    height, width, channels = x.shape
    heads, depth = attention.num_heads, channels // attention.num_heads
    padded_height, padded_width = (-(-side // size) * size for side in (height, width))
    cells = list(itertools.product(range(padded_height), range(padded_width)))
    zero = torch.zeros(channels)
    qkv = {(i, j): attention.qkv(x[i, j] if i < height and j < width else zero) for i, j in cells}

    def window(cell: tuple[int, int]) -> tuple[int, ...]:
        sides = (padded_height, padded_width)
        windows = [(a - shift) % side // size for a, side in zip(cell, sides, strict=True)]
        return (*windows, *(a < shift for a in cell))  # the cells that wrapped around stay apart

    out = torch.zeros(height, width, channels)
    for i, j in itertools.product(range(height), range(width)):
        keys = [cell for cell in cells if window(cell) == window((i, j))]
        for head in range(heads):
            rows = slice(head * depth, (head + 1) * depth)
            query = qkv[i, j][:channels][rows]
            logits = []
            for a, b in keys:
                key = qkv[a, b][channels : 2 * channels][rows]
                entry = (i - a + size - 1) * (2 * size - 1) + j - b + size - 1
                bias = attention.relative_position_bias_table[entry, head]
                logits.append(query @ key / math.sqrt(depth) + bias)
            weights = torch.stack(logits).softmax(dim=0)
            values = torch.stack([qkv[cell][2 * channels :][rows] for cell in keys])
            out[i, j, rows] = weights @ values
    return attention.proj(out)


@pytest.fixture
def averaging() -> WindowAttention:
    """One channel, one head, window of side 2; logits are the bias alone, values the cells."""
    attention = WindowAttention(dim=1, num_heads=1, window_size=2)
    with torch.no_grad():
        attention.qkv.weight.copy_(torch.tensor([[0.0], [0.0], [1.0]]))
        attention.qkv.bias.zero_()
        attention.proj.weight.fill_(1.0)
        attention.proj.bias.zero_()
        attention.relative_position_bias_table.zero_()
    return attention


@torch.no_grad()
def test_a_bias_of_log_three_for_the_cell_itself_gives_it_half_of_the_weight(
    averaging: WindowAttention,
):
    averaging.relative_position_bias_table[4] = math.log(3)
    out = averaging(torch.tensor([[[0.0], [6.0], [12.0], [18.0]]]))
    # e.g. the first: (3 * 0 + 6 + 12 + 18) / 6
    torch.testing.assert_close(out.flatten(), torch.tensor([6.0, 8.0, 10.0, 12.0]))


@torch.no_grad()
def test_bias_entry_three_is_the_key_to_the_right_of_the_query(averaging: WindowAttention):
    averaging.relative_position_bias_table[3] = math.log(3)
    out = averaging(torch.tensor([[[0.0], [6.0], [12.0], [18.0]]]))
    # left cells see 3 times of their right neighbour, right cells see the plain mean of 9
    torch.testing.assert_close(out.flatten(), torch.tensor([8.0, 9.0, 12.0, 9.0]))


@torch.no_grad()
def test_a_shift_mask_belongs_to_its_window_in_every_image(averaging: WindowAttention):
    mask = torch.zeros(2, 4, 4)
    mask[1, :, 2:] = -1000.0  # in the second window of each image only the first two cells are seen
    cells = torch.tensor([0.0, 6.0, 12.0, 18.0]).view(1, 4, 1)
    out = averaging(torch.cat([cells, cells, cells + 100, cells + 100]), mask)
    expected = torch.tensor([9.0, 3.0, 109.0, 103.0])
    torch.testing.assert_close(out.squeeze(-1), expected[:, None].expand(4, 4))


@torch.no_grad()
def test_without_shift_a_map_of_one_window_is_plain_attention_with_a_bias():
    block = shake(SwinBlock(dim=6, num_heads=2, window_size=5, shift=0))
    x = torch.randn(3, 5, 5, 6)
    attention = block.attention
    q, k, v = attention.qkv(x.flatten(1, 2)).view(3, 25, 3, 2, 3).permute(2, 0, 3, 1, 4)
    bias = attention.relative_position_bias_table[relative_position_index(5)].permute(2, 0, 1)
    weights = (q @ k.mT / math.sqrt(3) + bias).softmax(dim=-1)
    expected = attention.proj((weights @ v).transpose(1, 2).reshape(3, 5, 5, 6))
    torch.testing.assert_close(block.attend_in_windows(x), expected)


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(5, 7), (2, 4), (6, 3)])
@pytest.mark.parametrize("shift", [0, 1])
def test_window_attention_equals_loops_on_odd_maps(height: int, width: int, shift: int):
    block = shake(SwinBlock(dim=4, num_heads=2, window_size=3, shift=shift))
    x = torch.randn(2, height, width, 4)
    expected = torch.stack([window_attention_with_loops(block, image) for image in x])
    torch.testing.assert_close(block.attend_in_windows(x), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_block_adds_attention_then_mlp_each_after_its_norm():
    block = shake(SwinBlock(dim=4, num_heads=1, window_size=2, shift=1, mlp_ratio=1.5))
    x = torch.randn(1, 3, 5, 4)
    y = x + block.attend_in_windows(block.norm1(x))
    hidden = block.mlp.fc1(block.norm2(y))
    exact_gelu = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(block(x), y + block.mlp.fc2(exact_gelu))
    assert block.mlp.fc1.out_features == 6


@torch.no_grad()
def test_padding_takes_part_in_attention_as_zeros_after_the_norm():
    block = shake(SwinBlock(dim=4, num_heads=2, window_size=4, shift=0))
    x = torch.randn(1, 3, 2, 4)
    by_hand = block.attend_in_windows(F.pad(x, (0, 0, 0, 2, 0, 1)))[:, :3, :2]
    torch.testing.assert_close(block.attend_in_windows(x), by_hand)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    size=st.integers(1, 5),
    shifted=st.booleans(),
)
def test_any_map_keeps_its_size_and_batch_of_one_equals_batch_of_many(
    height: int, width: int, size: int, shifted: bool
):
    block = SwinBlock(dim=4, num_heads=2, window_size=size, shift=size // 2 * shifted).eval()
    x = torch.randn(3, height, width, 4)
    with torch.no_grad():
        y = block(x)
        alone = torch.cat([block(image[None]) for image in x])
    assert y.shape == x.shape
    torch.testing.assert_close(y, alone)


def test_drop_path_drops_both_branches():
    block = shake(SwinBlock(dim=4, num_heads=1, window_size=3, shift=0, drop_path_rate=0.999))
    x = torch.randn(2, 3, 5, 4)
    assert torch.equal(block.train()(x), x)
    assert not torch.equal(block.eval()(x), x)


def test_gradients_reach_every_parameter_through_the_shift():
    block = SwinBlock(dim=4, num_heads=2, window_size=2, shift=1)
    block(torch.randn(2, 3, 5, 4)).square().sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_what_inference_mode_has_built_serves_a_later_training_step():
    block = SwinBlock(dim=4, num_heads=1, window_size=11, shift=5)  # a size no other test uses
    x = torch.randn(1, 12, 13, 4)
    with torch.inference_mode():
        block(x)
    block(x).sum().backward()
    assert block.attention.relative_position_bias_table.grad is not None


def test_bfloat16_attention_stays_bfloat16_and_close():
    attention = WindowAttention(dim=8, num_heads=2, window_size=3).eval()
    windows, mask = torch.randn(4, 9, 8), shifted_window_mask(2, 1, 3, 1)
    with torch.no_grad():
        expected = attention(windows, mask)
        half = attention.bfloat16()(windows.bfloat16(), mask)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, atol=2e-2, rtol=0)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="got dim=6, num_heads=4"):
        WindowAttention(dim=6, num_heads=4, window_size=3)


def test_a_window_without_cells_is_refused():
    with pytest.raises(ValueError, match="got window_size=0"):
        WindowAttention(dim=4, num_heads=2, window_size=0)
