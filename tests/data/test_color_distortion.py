"""Each step of the colour distortion does what it says, as often as it says.

Mutants that must fail: let saturation exceed 1; leave out one step; turn the hue the other way;
forget the sixth that belongs to magenta; round down.
"""

import colorsys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from minioneformer.data import color_distortion
from minioneformer.data.color_distortion import (
    distort_color,
    map_levels,
    scale_saturation,
    turn_hue,
)

pixel_rows = st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=5)


def distorted_pixels(color, times):
    image = torch.tensor(color, dtype=torch.uint8)[:, None, None]
    return torch.stack([distort_color(image).flatten() for _ in range(times)])


def test_gray_is_only_brightened_and_scaled():
    pixels = distorted_pixels((100, 100, 100), 600)

    assert (pixels == pixels[:, :1]).all()  # no hue, no saturation to change
    assert (pixels >= (100 - 32) * 0.5 - 1).all()
    assert (pixels <= (100 + 32) * 1.5).all()
    untouched = (pixels[:, 0] == 100).float().mean()
    assert 0.18 < untouched < 0.34  # 1/4: neither brightness nor contrast
    assert (pixels < 68).any()  # beyond brightness alone
    assert (pixels > 150).any()  # beyond contrast alone


def test_the_hue_turns_half_of_the_times_and_at_most_36_degrees():
    hue = colorsys.rgb_to_hsv(120 / 255, 80 / 255, 60 / 255)[0]
    turns = []
    for pixel in distorted_pixels((120, 80, 60), 300).tolist():
        turn = colorsys.rgb_to_hsv(*(channel / 255 for channel in pixel))[0] - hue
        turns.append(360 * ((turn + 0.5) % 1 - 0.5))

    assert max(abs(turn) for turn in turns) < 40  # 36 and rounding
    assert max(turns) > 28
    assert min(turns) < -28
    assert 0.35 < sum(abs(turn) > 3 for turn in turns) / len(turns) < 0.55


def test_the_saturation_is_scaled_half_of_the_times_and_at_most_by_half():
    pixels = distorted_pixels((100, 50, 0), 600).float()  # fully saturated
    saturation = (pixels.amax(1) - pixels.amin(1)) / pixels.amax(1)

    # brightness alone lowers it to 100 / 132 = 0.758 at most; rounding adds a little
    assert 0.08 < (saturation < 0.74).float().mean() < 0.35
    assert saturation.min() > 0.5 * 0.758 - 0.03


@pytest.mark.parametrize(
    ("before", "factor", "after"),
    [
        ((200, 160, 100), 0.5, (200, 180, 150)),
        ((200, 160, 100), 1.0, (200, 160, 100)),
        ((200, 160, 100), 1.5, (200, 140, 50)),
        ((200, 100, 0), 1.5, (200, 100, 0)),  # saturation is 1 already
        ((200, 120, 40), 1.5, (200, 100, 0)),  # 0.8 becomes 1, not 1.2
        ((90, 90, 90), 1.5, (90, 90, 90)),
        ((0, 0, 0), 1.5, (0, 0, 0)),
    ],
)
def test_a_saturation_scaled_by_hand(before, factor, after):
    image = torch.tensor(before, dtype=torch.uint8)[:, None, None]
    assert scale_saturation(image, factor).flatten().tolist() == list(after)


@settings(max_examples=25, deadline=None)
@given(
    pixels=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=5),
    factor=st.floats(0.5, 1.5),
)
def test_saturation_is_scaled_as_in_the_colour_model(pixels, factor):
    image = torch.tensor(pixels, dtype=torch.uint8).T[:, None]  # (3, 1, W)
    result = scale_saturation(image, factor)[:, 0].T.tolist()

    for before, after in zip(pixels, result, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in before))
        expected = colorsys.hsv_to_rgb(hue, min(1.0, saturation * factor), value)
        assert after == pytest.approx([255 * channel for channel in expected], abs=0.51)


@pytest.mark.parametrize(
    ("turn", "after"),
    [
        (1 / 6, (200, 200, 0)),
        (1 / 3, (0, 200, 0)),
        (-1 / 3, (0, 0, 200)),
        (-1 / 6, (200, 0, 200)),
        (1 / 12, (200, 100, 0)),
        (1.0, (200, 0, 0)),
    ],
)
def test_red_turned_by_hand(turn, after):
    red = torch.tensor((200, 0, 0), dtype=torch.uint8)[:, None, None]
    assert turn_hue(red, turn).flatten().tolist() == list(after)


@settings(max_examples=50, deadline=None)
@given(pixels=pixel_rows, turn=st.floats(-1, 1))
def test_the_hue_is_turned_as_in_the_colour_model(pixels, turn):
    image = torch.tensor(pixels, dtype=torch.uint8).T[:, None]  # (3, 1, W)
    result = turn_hue(image, turn)[:, 0].T.tolist()

    for before, after in zip(pixels, result, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in before))
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        assert after == pytest.approx([255 * channel for channel in expected], abs=0.51)


def test_a_turned_hue_agrees_with_torchvision(rng):
    image = torch.randint(0, 256, (3, 31, 47), dtype=torch.uint8, generator=rng)
    expected = v2.functional.adjust_hue(image, -0.07)

    assert (turn_hue(image, -0.07).int() - expected.int()).abs().max() <= 1


def test_levels_are_replaced_one_by_one(rng):
    image = torch.randint(0, 256, (3, 9, 13), dtype=torch.uint8, generator=rng)[:, 2:, 3:7]
    levels = torch.randint(0, 256, (256,), dtype=torch.uint8, generator=rng)
    assert torch.equal(map_levels(image, levels), levels[image.long()])


def test_strips_make_no_difference(monkeypatch, rng):
    image = torch.randint(0, 256, (3, 101, 7), dtype=torch.uint8, generator=rng)
    results = []
    for rows in (1000, 48):
        monkeypatch.setattr(color_distortion, "STRIP_ROWS", rows)
        torch.manual_seed(5)
        results.append([distort_color(image) for _ in range(8)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert not torch.equal(results[0][0], results[0][1])
