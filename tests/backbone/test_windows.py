"""Windows and their masks.

Mutants that must fail: swap height and width in `partition` or `reverse`; key minus query in the
position index; shift regions from the unpadded map; -100 in the mask (subnormal weights).
"""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.backbone.windows import (
    pad_to_multiple,
    partition,
    relative_position_index,
    reverse,
    shifted_window_mask,
)

SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


def partition_with_loops(x: torch.Tensor, size: int) -> torch.Tensor:
    """Windows row by row, cells row by row, copied one at a time."""
    batch, height, width, channels = x.shape
    windows = []
    for image in x:
        for top, left in itertools.product(range(0, height, size), range(0, width, size)):
            cells = [image[top + i, left + j] for i in range(size) for j in range(size)]
            windows.append(torch.stack(cells))
    return torch.stack(windows)


def may_attend(one: tuple[int, int], other: tuple[int, int], shift: int) -> bool:
    """Whether the roll moved both cells of the padded map in the same way."""
    return all((a < shift) == (b < shift) for a, b in zip(one, other, strict=True))


def mask_with_loops(num_rows: int, num_columns: int, size: int, shift: int) -> torch.Tensor:
    """True where blocked, from where each cell was before the roll."""
    height, width = num_rows * size, num_columns * size
    windows = []
    for top, left in itertools.product(range(0, height, size), range(0, width, size)):
        cells = [
            ((top + i + shift) % height, (left + j + shift) % width)
            for i in range(size)
            for j in range(size)
        ]
        blocked = [[not may_attend(query, key, shift) for key in cells] for query in cells]
        windows.append(torch.tensor(blocked))
    return torch.stack(windows)


def test_a_two_by_four_map_has_the_windows_of_the_docstring():
    x = torch.arange(8).view(1, 2, 4, 1)
    assert partition(x, 2).squeeze(-1).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_partition_equals_loops_on_a_map_that_is_not_square():
    x = torch.randn(2, 6, 9, 4)
    torch.testing.assert_close(partition(x, 3), partition_with_loops(x, 3), rtol=0, atol=0)


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(0, 3),
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    size=st.integers(1, 5),
)
def test_reverse_undoes_partition_for_sizes_that_do_not_divide(
    batch: int, height: int, width: int, size: int
):
    x = torch.arange(batch * height * width * 2).view(batch, height, width, 2)
    padded = pad_to_multiple(x, size)
    _, padded_height, padded_width, _ = padded.shape
    assert padded_height - height < size > padded_width - width

    there = partition(padded, size)
    back = reverse(there, padded_height, padded_width, size)

    assert there.shape[0] == batch * (padded_height // size) * (padded_width // size)
    assert torch.equal(back, padded)
    assert torch.equal(back[:, :height, :width], x)


def test_padding_is_zero_and_at_the_right_and_bottom():
    x = torch.ones(1, 3, 5, 2)
    padded = pad_to_multiple(x, 4)
    assert padded.shape == (1, 4, 8, 2)
    assert padded[:, :3, :5].min() == 1
    assert padded.sum() == x.sum()


def test_a_map_that_fits_is_neither_padded_nor_copied():
    x = torch.randn(2, 4, 4, 3)
    assert pad_to_multiple(x, 2) is x
    assert partition(x, 4).data_ptr() == x.data_ptr()


@pytest.mark.parametrize("shape", [(1, 5, 4, 1), (1, 4, 5, 1)])
def test_a_map_that_does_not_fit_cannot_be_partitioned(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"got height=\d, width=\d, window_size=2"):
        partition(torch.zeros(shape), 2)


def test_position_indices_of_a_window_of_side_two():
    assert relative_position_index(2).tolist() == [
        [4, 3, 1, 0],
        [5, 4, 2, 1],
        [7, 6, 4, 3],
        [8, 7, 5, 4],
    ]


@pytest.mark.parametrize("size", [1, 3, 4])
def test_position_indices_equal_query_minus_key_in_loops(size: int):
    index = relative_position_index(size)
    cells = list(itertools.product(range(size), repeat=2))
    for (q, query), (k, key) in itertools.product(enumerate(cells), repeat=2):
        row, column = query[0] - key[0], query[1] - key[1]
        assert index[q, k] == (row + size - 1) * (2 * size - 1) + column + size - 1
    assert index.unique().tolist() == list(range((2 * size - 1) ** 2))


def test_one_window_of_side_two_shifted_by_one_keeps_every_cell_alone():
    expected = torch.full((1, 4, 4), -1000.0)
    expected[0].fill_diagonal_(0)
    assert torch.equal(shifted_window_mask(1, 1, 2, 1), expected)


@settings(max_examples=25, deadline=None)
@given(
    num_rows=st.integers(1, 4),
    num_columns=st.integers(1, 4),
    size=st.integers(1, 4),
    data=st.data(),
)
def test_the_mask_equals_brute_force_over_where_cells_came_from(
    num_rows: int, num_columns: int, size: int, data: st.DataObject
):
    shift = data.draw(st.integers(0, size - 1))
    mask = shifted_window_mask(num_rows, num_columns, size, shift)
    assert torch.equal(mask < 0, mask_with_loops(num_rows, num_columns, size, shift))


def test_only_the_last_row_and_column_of_windows_are_masked():
    mask = shifted_window_mask(3, 4, 5, 2).view(3, 4, 25, 25)
    assert (mask[:-1, :-1] == 0).all()
    assert (mask[-1].flatten(1) < 0).any(dim=1).all()
    assert (mask[:, -1].flatten(1) < 0).any(dim=1).all()


def test_no_blocked_cell_gets_a_subnormal_weight():
    logits = 8 * torch.randn(6, 9, 9) + shifted_window_mask(2, 3, 3, 1)
    weights = logits.softmax(dim=-1)
    assert (weights == 0).any()
    assert not ((weights > 0) & (weights < SMALLEST_NORMAL)).any()


def test_every_cell_may_attend_to_itself():
    diagonals = shifted_window_mask(2, 3, 4, 2).diagonal(dim1=1, dim2=2)
    assert (diagonals == 0).all()
