"""Wrong answers that learners give, and the hint that each gets."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.own_data import (
    check_class_rows,
    check_count_objects,
    check_ids_as_colors,
)
from minioneformer.panoptic_png import id_to_rgb


def parts(mask, smallest, *, structure=None, renumber=True, strict=False, hole=False):
    inside = ndimage.binary_fill_holes(mask.numpy()) if hole else mask.numpy()
    labels, count = ndimage.label(inside, structure=structure)
    result, number = torch.zeros(mask.shape, dtype=torch.long), 0
    for part in range(1, count + 1):
        own = torch.from_numpy(labels == part)
        if own.sum() > smallest or (own.sum() == smallest and not strict):
            number += 1
            result[own] = number if renumber else part
    return result


def rows(old, new):
    return [old.index(name) if name in old else None for name in new] + [len(old)]


def test_right_answers_pass(capsys):
    check_ids_as_colors(id_to_rgb)
    check_count_objects(parts)
    check_class_rows(rows)
    assert capsys.readouterr().out.count("right in all") == 3


def test_digits_in_the_wrong_order_are_noticed():
    with pytest.raises(ExerciseError, match="channel 0 holds the lowest digit"):
        check_ids_as_colors(lambda segment_map: id_to_rgb(segment_map).flip(0))
    with pytest.raises(ExerciseError, match="the result is"):
        check_ids_as_colors(lambda segment_map: id_to_rgb(segment_map).permute(1, 2, 0))


def test_a_digit_that_is_missing_is_noticed():
    def two_digits(segment_map):
        colors = id_to_rgb(segment_map)
        colors[2] = 0
        return colors

    with pytest.raises(ExerciseError, match="the third digit is"):
        check_ids_as_colors(two_digits)


def test_a_digit_that_is_not_cut_is_noticed():
    def first_digit_only(segment_map):
        return torch.stack([segment_map, segment_map * 0, segment_map * 0]).to(torch.uint8)

    with pytest.raises(ExerciseError, match=r"number // 256 % 256"):
        check_ids_as_colors(first_digit_only)


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"structure": np.ones((3, 3))}, "leave `structure` of label alone"),
        ({"hole": True}, "only pixels of the mask"),
        ({"renumber": False}, "those left out take no number"),
        ({"strict": True}, "a part of exactly `smallest` pixels stays"),
    ],
)
def test_mistakes_of_counting_are_noticed(mistake, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_count_objects(lambda mask, smallest: parts(mask, smallest, **mistake))


def test_a_region_that_is_not_cut_and_a_transposed_map_are_noticed():
    with pytest.raises(ExerciseError, match="then look at the parts one by one"):
        check_count_objects(lambda mask, _: mask.long())
    with pytest.raises(ExerciseError, match=r"shape \(5, 2\) is not \(2, 5\)"):
        check_count_objects(lambda mask, smallest: parts(mask, smallest).T)


def test_rows_taken_by_position_and_a_forgotten_last_row_are_noticed():
    with pytest.raises(ExerciseError, match="look names up in `old`"):
        check_class_rows(lambda old, new: [*range(len(new)), len(old)])
    with pytest.raises(ExerciseError, match="not len"):
        check_class_rows(lambda old, new: rows(old, new)[:-1] + [len(new)])
    with pytest.raises(ExerciseError, match="one row more than classes"):
        check_class_rows(lambda old, new: rows(old, new)[:-1])


def test_numbers_by_size_are_noticed():
    def by_size(mask, smallest):
        found = parts(mask, smallest)
        sizes = found.flatten().bincount()[1:]
        order = sizes.argsort(descending=True, stable=True)
        result = torch.zeros_like(found)
        for number, part in enumerate(order.tolist(), start=1):
            result[found == part + 1] = number
        return result

    with pytest.raises(ExerciseError, match="and not the sizes"):
        check_count_objects(by_size)
