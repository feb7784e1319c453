"""Mutants that must fail: milestones applied one step late, poly without the power, warm-up on
the wrong side, cosine without the half, final_fraction ignored."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.training.schedule import Schedule, one_cycle, poly, step_decay


def test_poly_by_hand():
    assert poly(0, 100) == 1.0
    assert poly(50, 100) == pytest.approx(0.5358867)
    assert poly(75, 100, power=1.0) == 0.25
    assert poly(100, 100) == 0.0


def test_one_cycle_by_hand():
    assert one_cycle(0, 100) == pytest.approx(0.04)
    assert one_cycle(5, 100) == pytest.approx(0.52)
    assert one_cycle(10, 100) == pytest.approx(1.0)
    assert one_cycle(55, 100) == pytest.approx(0.5)
    assert one_cycle(100, 100, final_fraction=0.2) == pytest.approx(0.2)
    # A third of the way down: (1 + cos 60 degrees) / 2 = 0.75.
    assert one_cycle(40, 100) == pytest.approx(0.75)


def test_step_decay_by_hand():
    assert [step_decay(s, (6, 8)) for s in (0, 5, 6, 7, 8)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert step_decay(10**6, ()) == 1.0


def test_warm_up_multiplies_poly_and_step_decay():
    numbers = {"total_steps": 100, "warmup_fraction": 0.1, "initial_fraction": 0.5}
    assert Schedule(name="poly", **numbers).multiplier(0) == pytest.approx(0.5)
    assert Schedule(name="poly", **numbers).multiplier(5) == pytest.approx(0.75 * 0.95**0.9)
    assert Schedule(name="poly", **numbers).multiplier(10) == pytest.approx(0.9**0.9)
    stepped = Schedule(name="step_decay", milestones=(5, 50), **numbers)
    assert stepped.multiplier(5) == pytest.approx(0.075)
    assert stepped.multiplier(50) == pytest.approx(0.01)


def test_a_schedule_evaluates_the_function_it_names():
    drops = Schedule(name="step_decay", total_steps=368_750, milestones=(327_778, 355_092))
    assert drops.multiplier(0) == drops.multiplier(10) == 1  # no warm-up unless asked for
    assert Schedule(total_steps=160, power=0.5).multiplier(40) == poly(40, 160, 0.5)
    schedule = Schedule(name="one_cycle", total_steps=30, warmup_fraction=0.2, final_fraction=0.1)
    assert [schedule.multiplier(s) for s in range(31)] == [
        one_cycle(s, 30, 0.2, 0.04, 0.1) for s in range(31)
    ]


@settings(max_examples=25, deadline=None)
@given(
    total=st.integers(2, 500),
    warmup=st.floats(0.01, 0.99),
    final=st.floats(0.0, 0.9),
)
def test_one_cycle_rises_then_falls_within_its_bounds(total, warmup, final):
    values = [one_cycle(s, total, warmup, 0.0, final) for s in range(total + 1)]
    top = math.ceil(warmup * total - 1e-9)
    rising, falling = values[: top + 1], values[top:]
    assert rising[:-1] == sorted(rising[:-1])
    assert all(a >= b - 1e-12 for a, b in zip(falling, falling[1:], strict=False))
    assert min(values) >= 0 and max(values) <= 1
    assert values[-1] == pytest.approx(final, abs=1e-9)


def test_an_unknown_name_is_refused_with_the_near_match():
    with pytest.raises(ValueError, match="got name='polly'. Did you mean 'poly'"):
        Schedule(name="polly", total_steps=10)
    with pytest.raises(ValueError, match="got name='xyz'. Known: poly, one_cycle, step_decay"):
        Schedule(name="xyz", total_steps=10)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"total_steps": 0}, "got self.total_steps=0"),
        ({"total_steps": 9, "warmup_fraction": 1.5}, "got self.warmup_fraction=1.5"),
        ({"total_steps": 9, "final_fraction": -1.0}, "self.final_fraction=-1.0"),
        ({"total_steps": 9, "milestones": (3, 3)}, r"got self.milestones=\(3, 3\)"),
        ({"total_steps": 9, "milestones": (9,)}, r"got self.milestones=\(9,\)"),
        ({"total_steps": 9, "name": "one_cycle"}, "got warmup_fraction=0.0"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**numbers)


@pytest.mark.parametrize("step", [-1, 11])
@pytest.mark.parametrize("name", ["poly", "step_decay"])
def test_a_step_outside_the_run_is_refused(step, name):
    with pytest.raises(ValueError, match=f"got step={step}, total_steps=10"):
        Schedule(name=name, total_steps=10).multiplier(step)
