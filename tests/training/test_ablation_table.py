"""Means, spreads and differences of an ablation.

Mutants that must fail: the population's standard deviation; a standard error without the roots; a
figure that is not defined counted as 0; the sign of a difference turned round.
"""

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.training.ablation import rows_named
from minioneformer.training.ablation_table import build_table, difference, markdown, summarize

ROWS = rows_named(("zero_queries", "instance_only"))
FULL = [{"pq": 1.0, "ap": 10.0, "miou": 50.0}, {"pq": 2.0, "ap": 12.0, "miou": None}]
FULL += [{"pq": 6.0, "ap": 14.0, "miou": 52.0}]


def test_a_hand_worked_mean_and_spread():
    found = summarize([1.0, 2.0, 6.0])
    assert found == {"mean": 3.0, "sd": pytest.approx(7**0.5), "n": 3, "values": [1.0, 2.0, 6.0]}
    assert summarize([4.0])["sd"] is None


def test_a_hand_worked_standard_error():
    row, full = ({"mean": mean, "sd": sd, "n": 25} for mean, sd in ((1.0, 3.0), (2.5, 4.0)))
    assert difference(row, full) == {"difference": -1.5, "standard_error": pytest.approx(1.0)}
    alone = {"mean": 1.0, "sd": None, "n": 1}
    assert difference(alone, full)["standard_error"] is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=6), st.floats(-50, 50))
def test_a_shift_moves_the_mean_and_leaves_the_spread(values, shift):
    plain, moved = summarize(values), summarize([value + shift for value in values])
    assert moved["mean"] == pytest.approx(plain["mean"] + shift, abs=1e-6)
    assert moved["sd"] == pytest.approx(plain["sd"], abs=1e-6)
    assert plain["sd"] == pytest.approx(statistics.variance(values) ** 0.5)


def test_undefined_and_unmeasured_figures_are_left_out():
    full, zero, instance = build_table(ROWS, {"full": FULL, "instance_only": [{"ap": 9.0}]})
    assert full["figures"]["miou"]["n"] == 2
    assert zero["figures"] == {}
    assert instance["figures"].keys() == {"ap"}
    assert instance["figures"]["ap"]["difference"] == -3.0
    assert instance["figures"]["ap"]["paper_difference"] == pytest.approx(-0.6)
    assert "difference" not in full["figures"]["pq"]


def test_the_table_as_text():
    runs = {"full": FULL, "zero_queries": [{"pq": 3.5, "ap": 12.0, "miou": 51.0}]}
    runs["instance_only"] = [{"ap": 9.0}, {"ap": 11.0}]
    assert markdown(build_table(ROWS, runs)).splitlines() == [
        "|  | n | PQ | against full (paper: PQ) | AP | against full (paper: AP) | mIoU "
        "| against full (paper: mIoU) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| full model, trained jointly | 2, 3 | 3.0 ± 2.6 |  | 12.0 ± 2.0 |  | 51.0 ± 1.4 |  |",
        "| queries start as zeros, not as the task token | 1 | 3.5 | +0.5 (−1.4) | 12.0 "
        "| 0.0 (−1.1) | 51.0 | 0.0 (+0.1) |",
        "| trained on the instance task only | 2 |  |  | 10.0 ± 1.4 | −2.0 ± 1.5 (−0.6) |  |  |",
    ]


def test_before_the_first_run_the_table_is_empty():
    text = markdown(build_table(ROWS, {}))
    assert text.count("| 0 |") == len(ROWS)
