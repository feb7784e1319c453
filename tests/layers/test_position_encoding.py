"""Sine position encoding.

Mutants that must fail: x before y; rows from 0; H - 1 for H; sine and cosine swapped; exponent
without the floor; C for C / 2 in the exponent; no factor 2 pi.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.layers.position_encoding import sine_position_encoding

CPU = torch.device("cpu")


def by_formula(size: tuple[int, int], dim: int) -> torch.Tensor:
    height, width = size
    half = dim // 2
    out = torch.empty(1, dim, height, width, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            y = (row + 1) / (height + 1e-6) * 2 * math.pi
            x = (column + 1) / (width + 1e-6) * 2 * math.pi
            for offset, angle in ((0, y), (half, x)):
                for n in range(half):
                    phase = angle / 10000 ** (2 * (n // 2) / half)
                    wave = math.sin if n % 2 == 0 else math.cos
                    out[0, offset + n, row, column] = wave(phase)
    return out


@pytest.mark.parametrize(
    ("size", "dim"), [((2, 3), 12), ((1, 1), 4), ((7, 5), 8), ((3, 1), 16), ((2, 5), 20)]
)
def test_equals_the_formula(size, dim):
    exact = sine_position_encoding(size, dim, CPU, torch.float64)
    torch.testing.assert_close(exact, by_formula(size, dim))
    single = sine_position_encoding(size, dim, CPU)
    torch.testing.assert_close(single.double(), by_formula(size, dim), atol=2e-6, rtol=0)


def test_a_hand_worked_example():
    code = sine_position_encoding((2, 3), 4, CPU, torch.float64)
    # Rows: y = pi, then 2 pi. Columns: x = 2 pi / 3, 4 pi / 3, 2 pi.
    first_row = torch.tensor([0.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(code[0, :2, 0, 1], first_row, atol=1e-5, rtol=0)
    first_column = torch.tensor([math.sqrt(3) / 2, -0.5], dtype=torch.float64)
    torch.testing.assert_close(code[0, 2:, 1, 0], first_column, atol=1e-5, rtol=0)


@given(height=st.integers(1, 9), width=st.integers(1, 9), quarter=st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_distinct_cells_have_distinct_codes(height, width, quarter):
    code = sine_position_encoding((height, width), 4 * quarter, CPU)[0].flatten(1)
    assert code.shape == (4 * quarter, height * width)
    distance = torch.cdist(code.T, code.T) + torch.eye(height * width) * 9
    assert float(distance.min()) > 0.1


def test_y_fills_the_first_half_and_x_the_second():
    code = sine_position_encoding((3, 5), 8, CPU)[0]
    assert torch.equal(code[:4], code[:4, :, :1].expand(-1, -1, 5))
    assert torch.equal(code[4:], code[4:, :1].expand(-1, 3, -1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_raised(dtype):
    code = sine_position_encoding((3, 5), 8, CPU, dtype)
    assert code.dtype == torch.float32
    torch.testing.assert_close(code.double(), by_formula((3, 5), 8), atol=2e-6, rtol=0)


@pytest.mark.parametrize("dim", [6, 1])
def test_channels_that_are_no_multiple_of_four_are_refused(dim):
    with pytest.raises(ValueError, match=f"got dim={dim}"):
        sine_position_encoding((2, 3), dim, CPU)
