import pytest

from minioneformer.visualize.legend import (
    COLUMN_GAP,
    ROW_HEIGHT,
    LegendEntry,
    display_name,
    draw_legend,
    fitting_columns,
    legend_size,
    shorten,
    text_width,
)
from minioneformer.visualize.panels import add_panel, new_figure

ENTRIES = [LegendEntry(text=f"class {i}", color=(i, 2 * i, 3 * i)) for i in range(5)]


def test_the_short_legend_of_the_example():
    short = shorten(ENTRIES, 3)
    assert [entry.text for entry in short] == ["class 0", "class 1", "... and 3 more"]
    assert short[-1].color is None


@pytest.mark.parametrize("limit", [5, 6])
def test_a_legend_that_fits_is_not_cut(limit):
    assert shorten(ENTRIES, limit) == ENTRIES


def test_names_fit_on_one_line():
    assert display_name("window ") == "window"
    assert display_name("two\n lines") == "two lines"
    assert display_name("a" * 32) == "a" * 32
    assert display_name("a" * 33) == "a" * 29 + "..."


def test_a_legend_is_as_wide_as_its_longest_line():
    longest = LegendEntry(text="a much longer name")
    assert legend_size([longest]) == (text_width(longest.text), ROW_HEIGHT)
    width, height = legend_size([*ENTRIES, longest], columns=2)
    assert width == 2 * text_width(longest.text) + COLUMN_GAP
    assert height == 3 * ROW_HEIGHT


def test_columns_fill_the_room_and_no_more():
    width, _ = legend_size(ENTRIES, columns=3)
    assert fitting_columns(ENTRIES, width) == 3
    assert fitting_columns(ENTRIES, width - 1) == 2
    assert fitting_columns(ENTRIES, 10 * width) == 5
    assert fitting_columns(ENTRIES, 1) == 1


def _texts(entries, columns=1):
    width, height = legend_size(entries, columns)
    figure = new_figure(width, height)
    axes = add_panel(figure, 0, 0, width, height)
    draw_legend(axes, entries, columns)
    figure.canvas.draw()
    return figure, axes


def test_lines_go_row_by_row_and_stay_inside():
    figure, axes = _texts(ENTRIES, columns=2)
    places = {text.get_text(): text.get_position() for text in axes.texts if text.get_text()}
    column_width = (legend_size(ENTRIES, 2)[0] + COLUMN_GAP) / 2
    (x, y) = places["class 0"]
    assert places["class 1"] == (x + column_width, y)
    assert places["class 2"] == (x, y + ROW_HEIGHT)
    bounds = figure.bbox
    for text in axes.texts:
        box = text.get_window_extent()
        assert box.x1 <= bounds.x1 + 1
        assert box.y0 >= -1


def test_colors_and_marks_stand_before_the_text():
    entries = [
        LegendEntry(text="dark", color=(0, 0, 128), mark="1"),
        LegendEntry(text="light", color=(255, 255, 0), mark="2"),
        LegendEntry(text="remark"),
    ]
    _, axes = _texts(entries)
    assert [tuple(patch.get_facecolor()[:3]) for patch in axes.patches] == [
        (0, 0, 128 / 255),
        (1, 1, 0),
    ]
    colors = {text.get_text(): text.get_color() for text in axes.texts}
    assert colors == {
        "1": "white",
        "2": "black",
        "dark": "black",
        "light": "black",
        "remark": "black",
    }


def test_names_are_shown_as_they_are():
    figure, axes = _texts([LegendEntry(text="_cost $5 and $6", color=(1, 2, 3))])
    (text,) = (text for text in axes.texts if text.get_text())
    extent = text.get_window_extent()
    assert abs(extent.width - text_width("_cost $5 and $6")) <= 2
