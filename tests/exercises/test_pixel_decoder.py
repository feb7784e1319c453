"""Wrong answers that learners give, and the hint that each gets."""

import pytest
import torch
import torch.nn.functional as F

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.pixel_decoder import (
    check_centres_of_levels,
    check_pyramid_step,
    check_split_levels,
)
from minioneformer.pixel_decoder.encoder import reference_points

CPU = torch.device("cpu")


def centres(shapes):
    return reference_points(tuple(shapes), CPU)


def split(tokens, shapes):
    parts = tokens.split([height * width for height, width in shapes])
    return [part.T.reshape(-1, *size) for part, size in zip(parts, shapes, strict=True)]


def step(coarse, fine, kernel, *, size=None, padding=1, **options):
    options = {"mode": "bilinear", "align_corners": False} | options
    enlarged = F.interpolate(coarse[None], size or fine.shape[-2:], **options)
    return F.conv2d(fine[None] + enlarged, kernel, padding=padding)[0].clamp(min=0)


def test_right_answers_pass(capsys):
    check_centres_of_levels(centres)
    check_split_levels(split)
    check_pyramid_step(step)
    assert capsys.readouterr().out.count("right in all 3 cases") == 3


@pytest.mark.parametrize(
    "wrong",
    [
        lambda shapes: centres(shapes).flip(-1),
        lambda shapes: centres([(w, h) for h, w in shapes]),
        lambda shapes: centres(shapes) - torch.tensor([0.5 / shapes[0][1], 0.5 / shapes[0][0]]),
        lambda shapes: centres(shapes) * torch.tensor([shapes[0][1], shapes[0][0]]),
    ],
    ids=["(y, x)", "(W, H)", "corners", "in cells"],
)
def test_points_that_are_no_centres_are_noticed(wrong):
    with pytest.raises(ExerciseError, match=r"at \(j \+ 0.5\) / W; x comes first"):
        check_centres_of_levels(wrong)


def test_columns_first_and_levels_in_another_order_are_noticed():
    def column_by_column(shapes):
        return torch.cat([centres([(w, h)]).flip(-1) for h, w in shapes])

    with pytest.raises(ExerciseError, match="row by row"):
        check_centres_of_levels(column_by_column)
    with pytest.raises(ExerciseError, match="concatenate the levels in the order"):
        check_centres_of_levels(lambda shapes: centres(shapes[::-1]))


def test_a_reshape_without_a_transpose_is_noticed():
    def wrong(tokens, shapes):
        parts = tokens.split([height * width for height, width in shapes])
        return [part.reshape(-1, *size) for part, size in zip(parts, shapes, strict=True)]

    with pytest.raises(ExerciseError, match="bring the channels to the front"):
        check_split_levels(wrong)
    with pytest.raises(ExerciseError, match="bring the channels to the front"):
        check_split_levels(lambda tokens, shapes: split(tokens, [(w, h) for h, w in shapes]))


def test_levels_that_are_mixed_up_are_noticed():
    with pytest.raises(ExerciseError, match="the first H . W tokens are level 0"):
        check_split_levels(lambda tokens, shapes: split(tokens, shapes)[::-1])

    def of_equal_length(tokens, shapes):
        parts = tokens.chunk(len(shapes))
        return [part.T.reshape(-1, *size) for part, size in zip(parts, shapes, strict=True)]

    with pytest.raises(ExerciseError, match="each level has its own number of tokens"):
        check_split_levels(of_equal_length)


def test_other_ways_to_enlarge_are_noticed():
    for options in ({"align_corners": True}, {"mode": "nearest", "align_corners": None}):
        with pytest.raises(ExerciseError, match="bilinear, align_corners=False"):
            check_pyramid_step(lambda *maps, options=options: step(*maps, **options))
    with pytest.raises(ExerciseError, match="not by a factor of 2"):
        check_pyramid_step(
            lambda coarse, fine, kernel: step(
                coarse, fine, kernel, size=[2 * n for n in coarse.shape[-2:]]
            )
        )


def test_relu_in_the_wrong_place_or_nowhere_and_no_padding_are_noticed():
    def without(coarse, fine, kernel):
        enlarged = F.interpolate(coarse[None], fine.shape[-2:], mode="bilinear")
        return F.conv2d(fine[None] + enlarged, kernel, padding=1)[0]

    def before(coarse, fine, kernel):
        return without(coarse.clamp(min=0), fine.clamp(min=0), kernel)

    for wrong in (without, before):
        with pytest.raises(ExerciseError, match="cut off what is negative at the end"):
            check_pyramid_step(wrong)
    with pytest.raises(ExerciseError, match="the case of 1 x 2 cells"):
        check_pyramid_step(lambda *maps: step(*maps, padding=0))
