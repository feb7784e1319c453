"""Exercises of notebook 12, whether the claims of the paper hold.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.3, Tables 4 to 8; not drawn in Figure 2.

Not here: their statements and solutions (`notebooks/12_ablations.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from minioneformer.exercises.checking import Case, check_cases

Run = tuple[str, int, float | None]  # version, seed, PQ; None if the run failed
Summary = tuple[str, int, float, float | None]  # version, runs, mean, standard deviation


def check_summarize_runs(function: Callable[[Sequence[Run]], list[Summary]]) -> None:
    """Runs to mean and spread of each version.

    Args:
        function: Takes runs in any order; returns a summary of each version, in the order in
            which the versions occur.

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="one version, three seeds",
            arguments=([("full", 0, 1.0), ("full", 1, 2.0), ("full", 2, 6.0)],),
            expected=[("full", 3, 3.0, 7**0.5)],
            hint="the squares 4 + 1 + 9 are divided by n - 1 = 2, not by 3.",
        ),
        Case(
            name="two versions, seed by seed",
            arguments=([("full", 0, 74.0), ("zero", 0, 73.0), ("full", 1, 76.0), ("zero", 1, 73)],),
            expected=[("full", 2, 75.0, 2**0.5), ("zero", 2, 73.0, 0.0)],
            hint="collect the values of each version first.",
        ),
        Case(
            name="a version with a single run",
            arguments=([("zero", 5, 60.0), ("full", 5, 61.0), ("zero", 2, 62.0)],),
            expected=[("zero", 2, 61.0, 2**0.5), ("full", 1, 61.0, None)],
            hint="one run has no spread: None, which is not the same as 0.",
        ),
        Case(
            name="a run that failed",
            arguments=([("full", 0, 70.0), ("full", 1, None), ("full", 2, 72.0)],),
            expected=[("full", 2, 71.0, 2**0.5)],
            hint="leave out runs whose value is None; they count neither as 0 nor as a run.",
        ),
        Case(
            name="a version whose first run failed, and a value of 0.0",
            arguments=([("zero", 0, None), ("full", 0, 0.0), ("zero", 1, 6.0), ("full", 1, 2.0)],),
            expected=[("zero", 1, 6.0, None), ("full", 2, 1.0, 2**0.5)],
            hint="versions stay in the order in which they first occur, with or without a value; "
            "and 0.0 is a value: ask `is not None`.",
        ),
    ]
    hint = "a dictionary from version to list of values; statistics.mean and statistics.stdev."
    check_cases("summarize_runs", function, cases, hint=hint)


def check_paired_difference(
    function: Callable[[Mapping[int, float], Mapping[int, float]], tuple[float, float]],
) -> None:
    """The mean difference of two versions and its standard error, paired by seed.

    Args:
        function: Takes the values of the full model and of another version, by seed; returns
            the mean of other minus full, and its standard error.

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="three seeds that share their luck",
            arguments=({0: 70.0, 1: 74.0, 2: 78.0}, {0: 69.0, 1: 73.5, 2: 76.5}),
            expected=(-1.0, 0.5 / 3**0.5),
            hint="other minus full for each seed; then stdev(differences) / sqrt(n), with n - 1 in "
            "stdev.",
        ),
        Case(
            name="the seeds in another order",
            arguments=({0: 70.0, 1: 80.0}, {1: 79.0, 0: 68.0}),
            expected=(-1.5, 0.5),
            hint="a difference is taken between runs of the same seed, so look values up by seed.",
        ),
        Case(
            name="a seed that only one of them has",
            arguments=(
                {0: 50.0, 1: 52.0, 2: 60.0, 4: 58.0},
                {4: 61.0, 2: 62.0, 3: 10.0, 0: 51.0},
            ),
            expected=(2.0, 1 / 3**0.5),
            hint="only seeds that both have make a pair.",
        ),
    ]
    hint = "differences by seed; their standard deviation (n - 1) divided by the root of n."
    check_cases("paired_difference", function, cases, hint=hint)


def check_verdict(function: Callable[[Sequence[float], float], str]) -> None:
    """What paired differences allow to say.

    Args:
        function: Takes differences, one for each seed, and the quantile of the t distribution;
            returns "better", "worse" or "not shown".

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="a small loss in every seed",
            arguments=([-1.1, -0.7, -0.6], 4.30),
            expected="worse",
            hint="mean -0.8, standard error 0.153: the interval ends at -0.14, below zero.",
        ),
        Case(
            name="the same losses, with a larger quantile",
            arguments=([-1.1, -0.7, -0.6], 6.0),
            expected="not shown",
            hint="the quantile is an argument: 6 errors of 0.153 are 0.92, more than 0.8. (The sd "
            "has n - 1, or the error is too small.)",
        ),
        Case(
            name="a gain that is just large enough",
            arguments=([1.1, 0.7, 0.6], 4.30),
            expected="better",
            hint="the interval is 0.8 - 0.66 to 0.8 + 0.66: all of it is above zero.",
        ),
        Case(
            name="a large loss in one seed of three",
            arguments=([-1.3, -1.2, -12.4], 4.30),
            expected="not shown",
            hint="mean -5.0, standard error 3.7: the interval contains zero.",
        ),
        Case(
            name="a gain that is always the same",
            arguments=([2.0, 2.0, 2.0, 2.0], 3.18),
            expected="better",
            hint="a standard error of 0 is allowed: compare, do not divide by it.",
        ),
        Case(
            name="a single seed",
            arguments=([-8.4], 12.71),
            expected="not shown",
            hint="one difference has no spread, so nothing can be said, however large it is.",
        ),
    ]
    hint = "the interval is mean - quantile x error to mean + quantile x error; is zero outside?"
    check_cases("verdict", function, cases, hint=hint)
