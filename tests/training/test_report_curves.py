"""Mutants that must fail: up and down exchanged, a name not escaped, one point drawn as nothing."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.training.report_curves import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    _short,
    draw_svg,
)


def points_of(line):
    return [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]


def lines_of(svg):
    return ElementTree.fromstring(svg).findall("polyline")


def test_the_first_step_is_left_and_the_highest_value_above():
    (line,) = lines_of(draw_svg({"loss": ([1, 2, 3], [0.0, 10.0, 5.0])}, "total loss"))
    assert points_of(line) == [
        (LEFT, HEIGHT - BOTTOM),
        ((LEFT + WIDTH - RIGHT) / 2, TOP),
        (WIDTH - RIGHT, (TOP + HEIGHT - BOTTOM) / 2),
    ]


def test_curves_share_a_scale_and_have_a_color_each():
    svg = draw_svg({"a": ([1, 2], [0.0, 4.0]), "b": ([1, 2], [8.0, 8.0])}, "two")
    a, b = lines_of(svg)
    assert (a.get("class"), b.get("class")) == ("curve color-0", "curve color-1")
    assert points_of(b)[0][1] == TOP
    assert points_of(a)[1][1] == pytest.approx((TOP + HEIGHT - BOTTOM) / 2)


def test_a_single_point_is_seen():
    tree = ElementTree.fromstring(draw_svg({"a": ([7], [3.0])}, "one"))
    assert tree.find("circle") is not None and tree.find("polyline") is None


def test_names_and_titles_are_escaped():
    svg = draw_svg({"<b>&": ([1, 2], [1.0, 2.0])}, 'a "<i>"')
    tree = ElementTree.fromstring(svg)
    assert tree.get("aria-label") == 'a "<i>"'
    assert tree.find("polyline/title").text == "<b>&"


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="got no points for 'total loss'"):
        draw_svg({"loss": ([], [])}, "total loss")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=40), st.integers(0, 10**6))
def test_every_curve_stays_inside_the_picture(values, first):
    steps = [float(first + i) for i in range(len(values))]
    svg = draw_svg({"a": (steps, values)}, "any")
    (line,) = lines_of(svg)
    for x, y in points_of(line):
        assert LEFT - 0.1 <= x <= WIDTH - RIGHT + 0.1
        assert TOP - 0.1 <= y <= HEIGHT - BOTTOM + 0.1
    assert len(re.findall('class="grid"', svg)) >= 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (2.5, "2.5"),
        (1200.0, "1200"),
        (160_000.0, "160k"),
        (1e-4, "0.0001"),
        (2e7, "2e+07"),
    ],
)
def test_numbers_are_short(value, shown):
    assert _short(value) == shown
