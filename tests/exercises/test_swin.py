"""Wrong answers that learners give, and the hint that each gets."""

import pytest
import torch
import torch.nn.functional as F

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.swin import check_cut_windows, check_position_index, check_same_region


def windows(x, size, missing=lambda side, size: -side % size, swapped=False):
    down, right = (missing(side, size) for side in x.shape)
    x = F.pad(x, (0, down, 0, right) if swapped else (0, right, 0, down))
    rows, columns = x.shape[0] // size, x.shape[1] // size
    return x.view(rows, size, columns, size).transpose(1, 2).reshape(-1, size * size)


def index(height, width, sign=1, stride=None):
    cells = torch.arange(height * width)
    row, column = cells // width, cells % width
    rows = sign * (row[:, None] - row[None, :]) + height - 1
    columns = sign * (column[:, None] - column[None, :]) + width - 1
    return rows * (stride or 2 * width - 1) + columns


def same_region(height, width, size, shift, sign=-1, rows=True, limit=None):
    limit = shift if limit is None else limit(size, shift)
    row = torch.arange(height).roll(sign * shift) < limit
    column = torch.arange(width).roll(sign * shift) < limit
    labels = windows(2 * row[:, None].long() * rows + column[None, :].long(), size)
    return labels[:, :, None] == labels[:, None, :]


def test_right_answers_pass(capsys):
    check_cut_windows(windows)
    check_position_index(index)
    check_same_region(same_region)
    assert capsys.readouterr().out.count("right in all") == 3


def test_cutting_without_swapping_axes_is_noticed():
    with pytest.raises(ExerciseError, match="swap the two axes in the middle"):
        check_cut_windows(lambda x, size: x.reshape(-1, size * size))


def test_padding_where_nothing_is_missing_is_noticed():
    with pytest.raises(ExerciseError, match="A side that divides needs no padding"):
        check_cut_windows(lambda x, size: windows(x, size, lambda side, n: n - side % n))


def test_windows_column_by_column_are_noticed():
    def wrong(x, size):
        rows, columns = x.shape[0] // size, x.shape[1] // size
        return x.view(rows, size, columns, size).permute(2, 0, 1, 3).reshape(-1, size * size)

    with pytest.raises(ExerciseError, match="from left to right, then the next row"):
        check_cut_windows(wrong)


def test_padding_on_the_wrong_axis_and_none_at_all_are_noticed():
    with pytest.raises(ExerciseError, match=r"F\.pad begins with the last axis"):
        check_cut_windows(lambda x, size: windows(x, size, swapped=True))
    with pytest.raises(ExerciseError, match=r"-H % size rows are missing"):
        check_cut_windows(lambda x, size: windows(x, size, lambda side, size: 0))


def test_key_minus_query_is_noticed():
    with pytest.raises(ExerciseError, match="the step is query minus key"):
        check_position_index(lambda height, width: index(height, width, sign=-1))


def test_a_row_that_is_worth_the_wrong_number_of_entries_is_noticed():
    with pytest.raises(ExerciseError, match=r"a step of one row is worth 2 \* width - 1"):
        check_position_index(lambda height, width: index(height, width, stride=2 * height - 1))
    with pytest.raises(ExerciseError, match="as many entries as there are steps of columns"):
        check_position_index(lambda height, width: index(height, width, stride=width))


def test_cells_numbered_column_by_column_are_noticed():
    def wrong(height, width):
        order = torch.arange(height * width).view(height, width).T.flatten()
        return index(height, width)[order][:, order]

    with pytest.raises(ExerciseError, match="as many entries as there are steps"):
        check_position_index(wrong)


def test_looking_at_columns_only_is_noticed():
    with pytest.raises(ExerciseError, match="Both must agree"):
        check_same_region(lambda *sizes: same_region(*sizes, rows=False))


def test_all_pairs_and_a_roll_the_other_way_are_noticed():
    def all_pairs(height, width, size, shift):
        return torch.ones(height * width // size**2, size**2, size**2, dtype=torch.bool)

    with pytest.raises(ExerciseError, match="only the diagonal is True"):
        check_same_region(all_pairs)
    with pytest.raises(ExerciseError, match="only the last window of a row holds"):
        check_same_region(lambda *sizes: same_region(*sizes, sign=1))


def test_the_rest_of_the_window_taken_for_the_shift_is_noticed():
    with pytest.raises(ExerciseError, match="only the first `shift` rows and columns"):
        check_same_region(lambda *s: same_region(*s, limit=lambda size, shift: size - shift))
    with pytest.raises(ExerciseError, match="need not be half a window"):
        check_same_region(lambda h, w, size, shift: same_region(h, w, size, min(shift, 1)))
