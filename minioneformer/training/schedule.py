r"""Learning rate over time, as a pure function of the step.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix (poly; step decay on COCO); not drawn
in Figure 2.

A schedule has no state, so there is nothing to save and a resumed run cannot be off by one.
Steps are counted from 0: `multiplier(0)` is used by the first update.

Not here: the base learning rates (`optimizer.py`), who sets them (`trainer.py`).
"""

from __future__ import annotations

import difflib
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

NAMES = ("poly", "one_cycle", "step_decay")


def poly(step: int, total_steps: int, power: float = 0.9) -> float:
    r"""Fall from 1 to 0 along $(1 - \text{step} / \text{total})^\text{power}$.

    Args:
        step: Updates done before this one, 0 to `total_steps`.
        total_steps: Updates of the whole run, > 0.
        power: 1 is a straight line, less stays high for longer.

    Returns:
        Factor on the base learning rate, in [0, 1].

    Raises:
        ValueError: If `step` lies outside the run.

    Example:
        Half-way with power 0.9 the factor is 0.5 ** 0.9 = 0.5359.
    """
    return (1.0 - _progress(step, total_steps)) ** power


def one_cycle(
    step: int,
    total_steps: int,
    warmup_fraction: float = 0.1,
    initial_fraction: float = 0.04,
    final_fraction: float = 0.0,
) -> float:
    """Rise in a straight line to 1, then fall along half a cosine.

    Args:
        step: Updates done before this one, 0 to `total_steps`.
        total_steps: Updates of the whole run, > 0.
        warmup_fraction: Share of the run spent rising, in (0, 1).
        initial_fraction: Factor at step 0.
        final_fraction: Factor at `total_steps`.

    Returns:
        Factor on the base learning rate.

    Raises:
        ValueError: If `step` lies outside the run or `warmup_fraction` outside (0, 1).

    Example:
        Of 100 steps with the defaults: step 5 is half-way up, 0.52; step 10 gives 1; step 55 is
        half-way down, 0.5.

    Fidelity:
        Not in the paper: a choice for short runs from scratch.
    """
    if not 0 < warmup_fraction < 1:
        raise ValueError(
            f"one_cycle needs a warm-up inside the run, e.g. warmup_fraction=0.1, "
            f"got {warmup_fraction=}."
        )
    progress = _progress(step, total_steps)
    if progress < warmup_fraction:
        return _linear_warmup(progress, warmup_fraction, initial_fraction)
    descent = (progress - warmup_fraction) / (1.0 - warmup_fraction)
    return final_fraction + (1.0 - final_fraction) * (1.0 + math.cos(math.pi * descent)) / 2.0


def step_decay(step: int, milestones: Sequence[int], factor: float = 0.1) -> float:
    """Multiply by `factor` at each milestone.

    Args:
        step: Updates done before this one, >= 0.
        milestones: Steps from which on one more factor applies, rising; none means constant.
        factor: Of each drop.

    Returns:
        Factor on the base learning rate.

    Example:
        With milestones (6, 8), step 5 gives 1, step 6 gives 0.1, step 8 gives 0.01.
    """
    return factor ** bisect_right(milestones, step)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A named schedule with its numbers; `multiplier` evaluates it.

    Args:
        name: "poly", "one_cycle" or "step_decay".
        total_steps: Updates of the whole run, > 0.
        power: Of "poly".
        milestones: Of "step_decay", in steps, rising.
        factor: Of "step_decay".
        warmup_fraction: Share of the run spent rising in a straight line; 0 means none. Required
            by "one_cycle"; multiplies the other two.
        initial_fraction: Factor at step 0 when there is a warm-up.
        final_fraction: Factor at the end, of "one_cycle".

    Raises:
        ValueError: If the name is unknown (near matches are named), `total_steps` or a fraction
            is out of range, or the milestones do not rise inside the run.

    Fidelity:
        Official code: COCO's recipes name ten warm-up steps with a factor of 1, which is no
        warm-up at all; `warmup_fraction=0` says so.
    """

    name: str = "poly"
    total_steps: int
    power: float = 0.9
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    warmup_fraction: float = 0.0
    initial_fraction: float = 0.04
    final_fraction: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that do not fit together."""
        if self.name not in NAMES:
            near = difflib.get_close_matches(self.name, NAMES, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(NAMES)}."
            raise ValueError(f"unknown schedule, got name={self.name!r}. {hint}")
        if self.total_steps <= 0:
            raise ValueError(f"total_steps must be > 0, got {self.total_steps=}.")
        fractions = (self.warmup_fraction, self.initial_fraction, self.final_fraction)
        if not all(0 <= fraction <= 1 for fraction in fractions):
            raise ValueError(
                f"fractions must lie in [0, 1], got {self.warmup_fraction=}, "
                f"{self.initial_fraction=}, {self.final_fraction=}."
            )
        bounds = (0, *self.milestones, self.total_steps)
        if any(earlier >= later for earlier, later in zip(bounds, bounds[1:], strict=False)):
            raise ValueError(
                f"milestones must rise between 0 and total_steps, "
                f"got {self.milestones=}, {self.total_steps=}."
            )
        self.multiplier(0)  # a warm-up that one_cycle refuses is refused now, not at step 0

    def multiplier(self, step: int) -> float:
        """Factor on the base learning rates.

        Args:
            step: Updates done before this one, 0 to `total_steps`.

        Raises:
            ValueError: If `step` lies outside the run.
        """
        progress = _progress(step, self.total_steps)
        if self.name == "one_cycle":
            return one_cycle(
                step,
                self.total_steps,
                self.warmup_fraction,
                self.initial_fraction,
                self.final_fraction,
            )
        warmup = _linear_warmup(progress, self.warmup_fraction, self.initial_fraction)
        if self.name == "poly":
            return warmup * poly(step, self.total_steps, self.power)
        return warmup * step_decay(step, self.milestones, self.factor)


def _progress(step: int, total_steps: int) -> float:
    """Share of the run that is done."""
    if not 0 <= step <= total_steps or total_steps <= 0:
        raise ValueError(f"step must lie in 0 .. total_steps, got {step=}, {total_steps=}.")
    return step / total_steps


def _linear_warmup(progress: float, warmup_fraction: float, initial_fraction: float) -> float:
    """Rise in a straight line from `initial_fraction` to 1, then stay."""
    if progress >= warmup_fraction:
        return 1.0
    return initial_fraction + (1.0 - initial_fraction) * progress / warmup_fraction
