"""Wrong answers that learners give, and the hint that each gets."""

import math

import pytest
import torch

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.full_scale import (
    check_fewest_parts,
    check_other_batch,
    check_process_losses,
)


def plan(steps, milestones, lr, batch, new):
    return (
        round(steps * batch / new),
        [round(m * batch / new) for m in milestones],
        lr * new / batch,
    )


def shares(losses):
    masks = max(sum(len(own) for own in losses), 1)
    return torch.stack([own.sum() for own in losses]) / (masks / len(losses))


def parts(batch, processes, state, image, memory):
    if batch % processes:
        return None
    share = batch // processes
    fitting = (n for n in range(1, share + 1) if share % n == 0)
    return next((n for n in fitting if state + share // n * image <= memory), None)


def test_right_answers_pass(capsys):
    check_other_batch(plan)
    check_process_losses(shares)
    check_fewest_parts(parts)
    assert capsys.readouterr().out.count("right in all") == 3


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda s, m, lr, b, n: plan(s, m, lr, n, b), "steps x batch stays"),
        (lambda s, m, lr, b, n: (*plan(s, m, lr, b, n)[:2], lr), "twice the learning rate"),
        (lambda s, m, lr, b, n: (plan(s, m, lr, b, n)[0], m, lr * n / b), "milestones are steps"),
        (
            lambda s, m, lr, b, n: (s * b // n, [-(-x * b // n) for x in m], lr * n / b),
            "round them",
        ),
        (
            lambda s, m, lr, b, n: (s * b / n, [x * b / n for x in m], lr * n / b),
            "steps x batch stays",
        ),
    ],
)
def test_a_plan_that_sees_other_images(wrong, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_other_batch(wrong)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda losses: torch.stack([own.mean() for own in losses]), "divide both sums by one"),
        (
            lambda losses: torch.stack([own.sum() for own in losses]) / len(torch.cat(losses)),
            "averaged over the processes afterwards",
        ),
        (lambda losses: shares([own for own in losses if len(own)]), "count the process without"),
        (
            lambda losses: (
                torch.stack([own.sum() for own in losses])
                / (len(torch.cat(losses)) / len(losses) or math.nan)
            ),
            "without any mask, count one",
        ),
        (
            lambda losses: (
                torch.stack([own.sum() for own in losses])
                / max(len(torch.cat(losses)) / len(losses), 1)
            ),
            "the mean number of masks may be below 1",
        ),
    ],
)
def test_losses_that_are_not_those_of_one_batch(wrong, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_process_losses(wrong)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda b, p, s, i, m: parts(b, 1, s, i, m), "a process holds batch / processes"),
        (lambda b, p, s, i, m: math.ceil(b / p / ((m - s) // i)), "3 does not divide 16"),
        (lambda b, p, s, i, m: parts(b, p, s, i, m) or b // p, "no answer but None"),
        (lambda b, p, s, i, m: parts(b // p * p, p, s, i, m), "whatever the memory"),
    ],
)
def test_parts_that_do_not_fit(wrong, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_fewest_parts(wrong)


def test_plans_that_round_down_and_limits_that_are_left_out_are_noticed():
    def floor(s, m, lr, b, n):
        return s * b // n, [x * b // n for x in m], lr * n / b

    with pytest.raises(ExerciseError, match="666.67 is 667"):
        check_other_batch(floor)
    for wrong in (
        lambda b, p, state, image, memory: parts(b, p, state, image, memory - 1e-6),
        lambda b, p, *gib: n if (n := parts(b, p, *gib)) is None or n < b // p or n == 1 else None,
    ):
        with pytest.raises(ExerciseError, match="as much as there is fits"):
            check_fewest_parts(wrong)
