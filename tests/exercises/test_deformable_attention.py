"""Wrong answers that learners give, and the hint that each gets."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.deformable_attention import (
    check_attend,
    check_bilinear_sample,
    check_sampling_locations,
)


def sample(value, x, y, **options):
    grid = 2 * torch.stack([x, y], -1) - 1
    options = {"align_corners": False} | options
    return F.grid_sample(value[None, None], grid[None, None], **options).flatten()


def locations(reference, offsets, shapes):
    cells = torch.tensor([(width, height) for height, width in shapes])
    return reference[:, None, None] + offsets / cells[:, None]


def attend(samples, scores):
    weights = scores.flatten(1).softmax(-1).view_as(scores)
    return (weights[..., None] * samples).sum((1, 2)).flatten()


def test_right_answers_pass(capsys):
    check_bilinear_sample(sample)
    check_sampling_locations(locations)
    check_attend(attend)
    assert capsys.readouterr().out.count("right in all 3 cases") == 3


@pytest.mark.parametrize(
    "wrong",
    [
        lambda value, x, y: sample(value, y, x),
        lambda value, x, y: sample(value, x, y, align_corners=True),
        lambda value, x, y: sample(value, x + 0.5 / value.shape[1], y + 0.5 / value.shape[0]),
        lambda value, x, y: sample(value.T.reshape(value.shape), x, y),
    ],
    ids=["x and y swapped", "corners aligned", "half a cell forgotten", "map transposed"],
)
def test_a_reading_at_another_place_is_noticed(wrong):
    with pytest.raises(ExerciseError, match=r"the column is x \* W - 0.5 and the row is y \* H"):
        check_bilinear_sample(wrong)


def test_the_nearest_cell_and_swapped_shares_are_noticed():
    with pytest.raises(ExerciseError, match=r"the corners have the shares"):
        check_bilinear_sample(lambda value, x, y: sample(value, x, y, mode="nearest"))

    def swapped(value, x, y):
        height, width = value.shape
        row, column = y * height - 0.5, x * width - 0.5
        row, column = 2 * row.floor() + 1 - row, 2 * column.floor() + 1 - column
        whole = (row - row.round()).abs() + (column - column.round()).abs() < 1e-4
        wrong = sample(value, (column + 0.5) / width, (row + 0.5) / height)
        return torch.where(whole, sample(value, x, y), wrong)

    with pytest.raises(ExerciseError, match="shares"):
        check_bilinear_sample(swapped)


def test_a_border_that_is_repeated_or_wraps_around_is_noticed():
    with pytest.raises(ExerciseError, match="a cell outside counts as zero"):
        check_bilinear_sample(lambda value, x, y: sample(value, x, y, padding_mode="border"))

    def wraps(value, x, y):
        height, width = value.shape
        row, column, total = y * height - 0.5, x * width - 0.5, torch.zeros_like(x)
        for i in (row.floor(), row.floor() + 1):
            for j in (column.floor(), column.floor() + 1):
                share = (1 - (row - i).abs()) * (1 - (column - j).abs())
                total += share * value[i.long() % height, j.long() % width]
        return total

    with pytest.raises(ExerciseError, match="would read from the other end"):
        check_bilinear_sample(wraps)

    def cut_to_zero(value, x, y):
        height, width = value.shape
        row, column, total = y * height - 0.5, x * width - 0.5, torch.zeros_like(x)
        u, v = row - row.long(), column - column.long()
        for down, right in itertools.product((0, 1), repeat=2):
            i, j = row.long() + down, column.long() + right
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            share = (u if down else 1 - u) * (v if right else 1 - v)
            total += share * inside * value[i.clamp(0, height - 1), j.clamp(0, width - 1)]
        return total

    with pytest.raises(ExerciseError, match=r"\.long\(\) and int\(\) cut to 0"):
        check_bilinear_sample(cut_to_zero)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda reference, offsets, _: reference[:, None, None] + offsets,
        lambda reference, offsets, shapes: (
            reference[:, None, None] + offsets / torch.tensor(shapes)[:, None]
        ),
        lambda reference, offsets, shapes: locations(reference, offsets.flip(-1), shapes),
        lambda reference, offsets, shapes: locations(reference, offsets, shapes).flip(-1),
    ],
    ids=["not divided", "height for width", "offsets swapped", "result swapped"],
)
def test_offsets_that_are_not_in_cells_of_x_and_y_are_noticed(wrong):
    with pytest.raises(ExerciseError, match=r"one cell to the right is 1 / W"):
        check_sampling_locations(wrong)


def test_the_size_of_another_level_is_noticed():
    with pytest.raises(ExerciseError, match="each level has its own size"):
        check_sampling_locations(lambda r, o, shapes: locations(r, o, shapes[:1] * len(shapes)))
    with pytest.raises(ExerciseError, match="each level has its own size"):
        check_sampling_locations(lambda r, o, shapes: locations(r, o, shapes[::-1]))


def test_axes_that_line_up_by_accident_are_noticed():
    def wrong(reference, offsets, shapes):
        cells = torch.tensor([(width, height) for height, width in shapes])
        return reference.mean(0) + offsets / cells[:, None]

    with pytest.raises(ExerciseError, match="line the axes up"):
        check_sampling_locations(wrong)


def test_a_softmax_over_the_points_of_each_level_is_noticed():
    with pytest.raises(ExerciseError, match="over levels and points together"):
        check_attend(lambda samples, scores: attend(samples, scores.softmax(-1).log()))
    with pytest.raises(ExerciseError, match="over levels and points together"):
        check_attend(
            lambda samples, scores: (scores.softmax(-1)[..., None] * samples).sum((1, 2)).flatten()
        )


def test_heads_that_are_mixed_are_noticed():
    with pytest.raises(ExerciseError, match="head 0 first"):
        check_attend(lambda s, scores: attend(s, scores).view(len(s), -1).T.flatten())
    with pytest.raises(ExerciseError, match="each head has its own softmax"):
        check_attend(
            lambda s, scores: (
                (scores.flatten().softmax(0).view_as(scores)[..., None] * s).sum((1, 2)).flatten()
            )
        )
