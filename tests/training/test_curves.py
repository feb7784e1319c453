"""Mutants that must fail: thin by dropping points, draw a learning rate among the losses, look for
names in the last row only, need values that older logs lack."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from minioneformer.training.curves import curve_panels, draw_curves, thin

OLD = {"lr": 0.1, "grad_norm": 2.0, "seconds": 0.5, "images_per_second": 4.0}
NEW = OLD | {
    "lr_backbone": 0.01,
    "matched_accuracy": 0.75,
    "seconds_waiting": 0.1,
    "memory_gib": 2.5,
}
TERMS = {"loss_a": 1.0, "loss_b": 2.0}


def make_rows(count, values=OLD, **terms):
    return [{"step": step, "loss": 10.0 / step, **values, **terms} for step in range(1, count + 1)]


def test_a_full_row_fills_seven_panels():
    assert curve_panels(make_rows(2, NEW, **TERMS, auxiliary_loss_a=3.0)) == {
        "total loss": ["loss"],
        "terms of the last prediction": ["loss_a", "loss_b"],
        "terms of earlier predictions, summed": ["auxiliary_loss_a"],
        "matched queries of the right class": ["matched_accuracy"],
        "learning rate": ["lr", "lr_backbone"],
        "gradient norm": ["grad_norm"],
        "images per second": ["images_per_second"],
    }


def test_the_log_of_an_older_run_has_fewer_panels_and_curves():
    panels = curve_panels(make_rows(2, OLD, **TERMS))
    assert panels["learning rate"] == ["lr"]
    assert "matched queries of the right class" not in panels
    assert curve_panels([{"step": 1, "loss": 2.0}]) == {"total loss": ["loss"]}


def test_a_value_that_only_some_rows_have_is_drawn_from_those():
    rows = make_rows(3)
    rows[1]["matched_accuracy"] = 0.5  # nothing was matched at the other steps
    assert "matched queries of the right class" in curve_panels(rows)
    assert thin(rows, "matched_accuracy") == ([2.0], [0.5])


def test_the_picture_has_ink_and_room_for_all_panels(tmp_path):
    draw_curves(make_rows(5, **TERMS), tmp_path / "five.png")
    draw_curves([{"step": 1, "loss": 2.0}], tmp_path / "one.png")
    five, one = (imread(tmp_path / f"{name}.png") for name in ("five", "one"))
    assert np.unique(five[..., :3].reshape(-1, 3), axis=0).shape[0] > 10
    assert five.shape == (2 * one.shape[0], 4 * one.shape[1], 4)


def test_drawing_no_rows_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"got rows=\[\]"):
        draw_curves([], tmp_path / "none.png")


def test_long_runs_are_drawn_as_means_of_equal_stretches(monkeypatch):
    monkeypatch.setattr("minioneformer.training.curves.MAX_DRAWN_POINTS", 2)
    rows = [{"step": step, "loss": float(step**2)} for step in (1, 2, 3, 4, 5)]
    # Five rows in at most two stretches: steps 1 to 3 and 4 to 5.
    assert thin(rows, "loss") == ([2.0, 4.5], [pytest.approx(14 / 3), 20.5])
    assert thin(rows, "absent") == ([], [])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-9, 9), min_size=1, max_size=1300))
def test_a_thinned_curve_is_short_and_stays_within_the_values(values):
    steps, means = thin([{"step": i, "loss": v} for i, v in enumerate(values)], "loss")
    assert len(steps) == len(means) <= min(500, len(values))
    assert steps == sorted(steps)
    assert min(values) - 1e-9 <= min(means) and max(means) <= max(values) + 1e-9
