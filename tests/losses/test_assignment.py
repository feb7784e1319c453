"""Assignment.

Mutants that must fail: prices of rows or columns not moved, or the wrong way; prices left out of
the path's length; the nearest column taken though it is not free; the row before a column
forgotten; pairs not sorted by row; infinity let through.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from minioneformer.losses.assignment import assign, hungarian

shapes = st.tuples(st.integers(0, 9), st.integers(0, 9))
finite = st.floats(-1e3, 1e3, width=32)
tied = st.integers(-2, 2).map(float)  # few different values: many optima


def total(cost: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> float:
    return float(cost.astype(np.float64)[pairs].sum())


def brute_force(cost: np.ndarray) -> float:
    """The cheapest of all pairings."""
    if cost.shape[0] > cost.shape[1]:
        cost = cost.T
    rows = range(cost.shape[0])
    return min(
        sum(float(cost[i, j]) for i, j in zip(rows, columns, strict=True))
        for columns in itertools.permutations(range(cost.shape[1]), cost.shape[0])
    )


def assert_is_pairing(cost: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> None:
    rows, columns = pairs
    assert len(rows) == len(columns) == min(cost.shape)
    assert len(set(columns.tolist())) == len(columns)
    assert sorted(set(rows.tolist())) == rows.tolist()
    assert rows.dtype.kind == columns.dtype.kind == "i"
    if len(rows):
        assert 0 <= rows.min() and rows.max() < cost.shape[0]
        assert 0 <= columns.min() and columns.max() < cost.shape[1]


@pytest.mark.parametrize("method", ["scipy", "hungarian"])
def test_the_example_of_the_docstring(method):
    rows, columns = assign(np.array([[4.0, 1.0], [2.0, 0.0]]), method)
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])


@pytest.mark.parametrize("method", ["scipy", "hungarian"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (5, 2), (4, 4), (3, 6), (6, 3), (1, 7), (7, 1)])
@pytest.mark.parametrize("kind", ["random", "tied", "negative", "equal"])
def test_the_cost_is_that_of_the_best_of_all_permutations(method, shape, kind):
    rng = np.random.default_rng(sum(shape))
    cost = {
        "random": rng.normal(size=shape),
        "tied": rng.integers(0, 3, shape).astype(float),
        "negative": -rng.random(shape) * 10,
        "equal": np.full(shape, 2.5),
    }[kind]
    pairs = assign(cost, method)
    assert_is_pairing(cost, pairs)
    assert total(cost, pairs) == pytest.approx(brute_force(cost))


@given(cost=hnp.arrays(np.float32, shapes, elements=finite))
@settings(max_examples=25, deadline=None)
def test_the_readable_algorithm_equals_scipy_in_cost(cost):
    pairs = hungarian(cost)
    assert_is_pairing(cost, pairs)
    assert total(cost, pairs) == pytest.approx(total(cost, linear_sum_assignment(cost)), abs=1e-3)


@given(cost=hnp.arrays(np.float64, shapes, elements=tied))
@settings(max_examples=25, deadline=None)
def test_the_readable_algorithm_equals_scipy_when_costs_tie(cost):
    pairs = hungarian(cost)
    assert_is_pairing(cost, pairs)
    assert total(cost, pairs) == total(cost, linear_sum_assignment(cost))


@pytest.mark.parametrize("shape", [(40, 40), (100, 17), (17, 100)])
def test_large_matrices_agree_too(shape):
    cost = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert total(cost, hungarian(cost)) == pytest.approx(
        total(cost, linear_sum_assignment(cost)), abs=1e-5
    )


@pytest.mark.parametrize("method", ["scipy", "hungarian"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_an_empty_matrix_pairs_nothing(method, shape):
    cost = np.zeros(shape)
    pairs = assign(cost, method)
    assert_is_pairing(cost, pairs)


@given(cost=hnp.arrays(np.float64, (4, 6), elements=st.integers(-9, 9).map(float)))
@settings(max_examples=25, deadline=None)
def test_a_constant_on_a_row_moves_the_total_and_not_the_optimum(cost):
    raised = cost.copy()
    raised[2] += 5
    assert total(raised, hungarian(raised)) == pytest.approx(total(cost, hungarian(cost)) + 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["scipy", "hungarian"])
def test_costs_that_are_not_finite_are_refused_and_counted(bad, method):
    cost = np.zeros((3, 4))
    cost[1, 2:] = bad
    with pytest.raises(ValueError, match=r"finite, got 2 of 12 entries .* shape \(3, 4\)"):
        assign(cost, method)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="got method='greedy'"):
        assign(np.zeros((2, 3)), "greedy")
