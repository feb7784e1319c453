"""Wrong answers that learners give, and the hint that each gets."""

import math
import statistics

import pytest

from minioneformer.exercises.ablations import (
    check_paired_difference,
    check_summarize_runs,
    check_verdict,
)
from minioneformer.exercises.checking import ExerciseError


def summaries(runs, *, spread=statistics.stdev, alone=None, failed=()):
    values = {}
    for name, _, value in runs:
        values.setdefault(name, []).extend(failed if value is None else [value])
    return [
        (name, len(v), statistics.fmean(v), spread(v) if len(v) > 1 else alone)
        for name, v in values.items()
    ]


def paired(full, other):
    return error_of([other[seed] - full[seed] for seed in full if seed in other])


def error_of(differences):
    return statistics.fmean(differences), statistics.stdev(differences) / len(differences) ** 0.5


def verdict(differences, quantile):
    if len(differences) < 2:
        return "not shown"
    mean, error = error_of(differences)
    if abs(mean) <= quantile * error:
        return "not shown"
    return "better" if mean > 0 else "worse"


def test_right_answers_pass(capsys):
    check_summarize_runs(summaries)
    check_paired_difference(paired)
    check_verdict(verdict)
    assert capsys.readouterr().out.count("right in all") == 3


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"spread": statistics.pstdev}, "divided by n - 1"),
        ({"alone": 0.0}, "one run has no spread"),
        ({"failed": [0.0]}, "they count neither as 0"),
    ],
)
def test_another_spread_a_spread_of_one_run_and_a_failure_as_zero(changes, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_summarize_runs(lambda runs: summaries(runs, **changes))


def test_the_standard_error_without_pairs_is_noticed():
    def unpaired(full, other):
        spreads = [statistics.stdev(v.values()) ** 2 / len(v) for v in (full, other)]
        means = [statistics.fmean(v.values()) for v in (full, other)]
        return means[1] - means[0], math.sqrt(sum(spreads))

    with pytest.raises(ExerciseError, match="other minus full for each seed"):
        check_paired_difference(unpaired)


def test_pairs_by_position_and_a_sign_turned_round_are_noticed():
    def by_position(full, other):
        return error_of([b - a for a, b in zip(full.values(), other.values(), strict=True)])

    with pytest.raises(ExerciseError, match="look values up by seed"):
        check_paired_difference(by_position)
    with pytest.raises(ExerciseError, match="other minus full"):
        check_paired_difference(lambda full, other: paired(other, full))


def test_a_missing_partner_is_noticed():
    def all_seeds(full, other):
        return error_of([other[seed] - full[seed] for seed in full])

    with pytest.raises(ExerciseError, match="only seeds that both have"):
        check_paired_difference(all_seeds)


def test_a_verdict_by_the_mean_or_by_the_signs_is_noticed():
    with pytest.raises(ExerciseError, match="the quantile is an argument"):
        check_verdict(lambda d, _: "better" if statistics.fmean(d) > 0 else "worse")
    with pytest.raises(ExerciseError, match="the quantile is an argument"):
        check_verdict(lambda d, _: "worse" if max(d) < 0 else "better")


def test_a_division_by_the_error_and_a_verdict_from_one_run_are_noticed():
    def by_ratio(differences, quantile):
        mean, error = error_of(differences)
        return "not shown" if abs(mean / error) <= quantile else verdict(differences, 0)

    with pytest.raises(ExerciseError, match="compare, do not divide by it"):
        check_verdict(by_ratio)

    def one_is_enough(differences, quantile):
        alone = "better" if differences[0] > 0 else "worse"
        return alone if len(differences) == 1 else verdict(differences, quantile)

    with pytest.raises(ExerciseError, match="however large it is"):
        check_verdict(one_is_enough)


def test_a_quantile_or_a_spread_of_ones_own_is_noticed():
    with pytest.raises(ExerciseError, match="the quantile is an argument"):
        check_verdict(lambda d, _: verdict(d, 1.96))

    def by_n(differences, quantile):
        return verdict(differences, quantile * (1 - 1 / len(differences)) ** 0.5)

    with pytest.raises(ExerciseError, match="The sd has n - 1"):
        check_verdict(by_n)


def test_a_value_of_zero_and_the_order_of_versions_are_noticed():
    with pytest.raises(ExerciseError, match=r"0\.0 is a value"):
        check_summarize_runs(lambda runs: summaries([(n, s, v or None) for n, s, v in runs]))
    with pytest.raises(ExerciseError, match="the order in which they first occur"):
        check_summarize_runs(lambda runs: summaries([run for run in runs if run[2] is not None]))
