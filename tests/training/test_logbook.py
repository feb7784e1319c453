"""Mutants that must fail: keep the line after the last one, sum the last prediction in, thin by
dropping points, trust the unfinished line."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

from minioneformer.training.logbook import Logbook, draw_curves, main_terms, summarize_terms


def make_row(step, **terms):
    fixed = {"step": step, "loss": 10.0 / step, "lr": 0.1, "grad_norm": 2.0, "seconds": 0.5}
    return fixed | {"images_per_second": 4.0} | terms


@pytest.fixture
def logbook(tmp_path):
    book = Logbook(folder=tmp_path)
    for step in (1, 2, 3):
        book.write(make_row(step))
    return book


def test_the_example_of_the_docstring():
    assert summarize_terms({"loss_mask": 1.0, "loss_mask_0": 2.0, "loss_mask_1": 3.0}) == {
        "loss_mask": 1.0,
        "auxiliary_loss_mask": 5.0,
    }


def test_terms_are_summed_by_kind():
    losses = {"loss_class": 1.0, "loss_l1": 2.0, "loss_class_10": 4.0, "loss_dice_0": 8.0}
    assert summarize_terms(losses) == {
        "loss_class": 1.0,
        "loss_l1": 2.0,
        "auxiliary_loss_class": 4.0,
        "auxiliary_loss_dice": 8.0,
    }
    assert summarize_terms({}) == {}


def test_the_progress_bar_gets_the_total_and_the_last_prediction():
    row = make_row(7, loss=2.5, loss_mask=1.0, auxiliary_loss_mask=1.5)
    assert main_terms(row) == {"loss": "2.500", "mask": "1.000"}


def test_lines_come_back_as_they_were_written(logbook):
    assert logbook.rows() == [make_row(step) for step in (1, 2, 3)]
    assert len(logbook.path.read_text().splitlines()) == 3


def test_each_line_is_on_disk_as_soon_as_it_is_written(logbook):
    logbook.write(make_row(4))
    assert json.loads(logbook.path.read_text().splitlines()[-1])["step"] == 4


def test_a_log_that_is_not_there_has_no_rows(tmp_path):
    assert Logbook(folder=tmp_path).rows() == []


def test_a_number_that_is_not_finite_is_refused(logbook):
    with pytest.raises(ValueError, match="not JSON compliant"):
        logbook.write(make_row(4, loss_mask=float("nan")))
    assert len(logbook.rows()) == 3


@pytest.mark.parametrize(("step", "left"), [(0, []), (2, [1, 2]), (3, [1, 2, 3]), (9, [1, 2, 3])])
def test_steps_that_will_be_done_again_are_dropped(logbook, step, left):
    logbook.drop_after(step)
    assert [row["step"] for row in logbook.rows()] == left
    logbook.write(make_row(step + 1))
    assert [row["step"] for row in logbook.rows()] == [*left, step + 1]


def test_a_line_cut_off_by_a_kill_is_dropped(logbook):
    with logbook.path.open("a") as file:
        file.write('{"step": 4, "lo')
    assert len(logbook.rows()) == 3
    logbook.drop_after(3)
    logbook.write(make_row(4))
    assert logbook.rows()[-1] == make_row(4)


def test_a_broken_line_in_the_middle_is_named(logbook):
    lines = logbook.path.read_text().splitlines()
    logbook.path.write_text("\n".join([lines[0], "not json", lines[2]]) + "\n")
    with pytest.raises(ValueError, match="line 2 of .*log.jsonl is not JSON, got 'not json'"):
        logbook.rows()


def test_the_picture_has_ink_and_a_panel_for_each_kind_of_curve(tmp_path):
    rows = [make_row(s, loss_a=1.0 / s, loss_b=2.0 / s) for s in range(1, 6)]
    draw_curves(rows, tmp_path / "four.png")
    more = [row | {"auxiliary_loss_a": 3.0} for row in rows]
    draw_curves(more, tmp_path / "five.png")
    four, five = (imread(tmp_path / name) for name in ("four.png", "five.png"))
    assert np.unique(four[..., :3].reshape(-1, 3), axis=0).shape[0] > 10
    assert five.shape[1] * 4 == four.shape[1] * 5


def test_one_step_can_be_drawn_and_none_draws_nothing(tmp_path):
    book = Logbook(folder=tmp_path)
    book.draw()
    assert not book.picture_path.exists()
    book.write(make_row(1))
    book.draw()
    assert book.picture_path.stat().st_size > 1000


def test_drawing_no_rows_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"got rows=\[\]"):
        draw_curves([], tmp_path / "none.png")


def test_long_runs_are_drawn_as_means_of_equal_stretches(tmp_path, monkeypatch):
    monkeypatch.setattr("minioneformer.training.logbook.MAX_DRAWN_POINTS", 2)
    drawn = {}

    def plot(axes, steps, values, label):
        drawn[label] = (steps, values)

    monkeypatch.setattr("matplotlib.axes.Axes.plot", plot)
    rows = [make_row(step, loss=float(step**2)) for step in (1, 2, 3, 4, 5)]
    draw_curves(rows, tmp_path / "thin.png")
    # Five rows in at most two stretches: steps 1 to 3 and 4 to 5.
    assert drawn["loss"] == ([2.0, 4.5], [pytest.approx(14 / 3), 20.5])
