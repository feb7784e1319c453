"""Tables of relative positions in another size.

Mutants that must fail: corners aligned; another kernel; rows and columns swapped; heads mixed.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.checkpoints.relative_tables import resize_bias_maps, resize_window_table


def cubic(distance: float) -> float:
    """The interpolation kernel with a = -0.75."""
    a, d = -0.75, abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def slow_resize(map_: torch.Tensor, side: int) -> torch.Tensor:
    old = len(map_)
    result = torch.zeros(side, side)
    for row in range(side):
        for column in range(side):
            y, x = ((i + 0.5) * old / side - 0.5 for i in (row, column))
            for i in range(math.floor(y) - 1, math.floor(y) + 3):
                for j in range(math.floor(x) - 1, math.floor(x) + 3):
                    value = map_[min(max(i, 0), old - 1), min(max(j, 0), old - 1)]
                    result[row, column] += value * cubic(y - i) * cubic(x - j)
    return result


@pytest.mark.parametrize("old, new", [(5, 9), (9, 5), (13, 23), (1, 3)])
def test_maps_equal_a_bicubic_loop_with_pixel_centres(old, new, rng):
    maps = torch.randn(3, old, old, generator=rng)
    expected = torch.stack([slow_resize(map_, new) for map_ in maps])
    torch.testing.assert_close(resize_bias_maps(maps, new), expected, atol=1e-5, rtol=1e-5)


def test_rows_of_a_table_are_the_cells_of_a_map_row_by_row(rng):
    maps = torch.randn(2, 5, 5, generator=rng)
    table = torch.stack([maps[:, row, column] for row in range(5) for column in range(5)])
    expected = resize_bias_maps(maps, 7)
    found = resize_window_table(table, 49)
    assert found.shape == (49, 2)
    torch.testing.assert_close(found[3 * 7 + 1], expected[:, 3, 1])


@settings(max_examples=25, deadline=None)
@given(old=st.integers(1, 9), new=st.integers(1, 9), value=st.floats(-3, 3))
def test_a_constant_stays_a_constant(old, new, value):
    table = torch.full((old * old, 2), value)
    torch.testing.assert_close(
        resize_window_table(table, new * new), torch.full((new * new, 2), value)
    )


def test_the_same_size_is_the_same_table():
    table = torch.arange(18.0).reshape(9, 2)
    assert torch.equal(resize_window_table(table, 9), table)
    half = resize_window_table(table.half(), 25)
    assert half.dtype == torch.float16


def test_a_table_that_is_no_square_is_refused():
    with pytest.raises(ValueError, match=r"rows must make a square, got 8 and 9"):
        resize_window_table(torch.zeros(8, 2), 9)
    with pytest.raises(ValueError, match=r"got 9 and 10"):
        resize_window_table(torch.zeros(9, 2), 10)
    with pytest.raises(ValueError, match=r"got 0 and 9"):
        resize_window_table(torch.zeros(0, 2), 9)
    with pytest.raises(ValueError, match=r"got side=0"):
        resize_bias_maps(torch.zeros(2, 3, 3), 0)
