"""Exercises of notebook 11, train it on shapes.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix (optimizer and schedules); not drawn in
Figure 2.

Not here: their statements and solutions (`notebooks/11_train_on_shapes.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from minioneformer.exercises.checking import Case, check_cases
from minioneformer.training.schedule import Schedule

State = tuple[Tensor, Tensor, Tensor]  # weight, mean of gradients, mean of their squares


def check_adamw_step(
    function: Callable[[Tensor, Tensor, Tensor, Tensor, int, float, float], State],
) -> None:
    """One update of a weight by AdamW.

    Args:
        function: Takes a weight, its gradient, the two running means before the step, the number
            of the step from 1, the learning rate and the weight decay; returns weight and
            running means after the step.

    Raises:
        ExerciseError: If a case is not right.
    """
    generator = torch.Generator().manual_seed(0)
    weight, grad, mean = (torch.randn(2, 3, generator=generator) for _ in range(3))
    square = torch.rand(2, 3, generator=generator)
    zeros = torch.zeros(1)
    cases = [
        _adamw_case(
            "the first step of one weight, without decay",
            (torch.tensor([0.5]), torch.tensor([0.2]), zeros, zeros, 1, 0.1, 0.0),
            "mean = 0.9 mean + 0.1 grad, square = 0.999 square + 0.001 grad ** 2. Divide both by "
            "1 - beta ** step where you use them, and return weight, mean, square, undivided.",
        ),
        _adamw_case(
            "the same step with decay",
            (torch.tensor([0.5]), torch.tensor([0.2]), zeros, zeros, 1, 0.1, 0.05),
            "decay multiplies the weight by 1 - lr * decay; it is not added to the gradient.",
        ),
        _adamw_case(
            "a weight without a gradient so far",
            (torch.tensor([2.0]), zeros, zeros, zeros, 3, 0.1, 0.05),
            "0 / 0 is nan: add 1e-8 to the square root, in the denominator.",
        ),
        _adamw_case(
            "a gradient that is hardly there",
            (torch.tensor([2.0]), torch.tensor([1e-7]), zeros, zeros, 1, 0.1, 0.0),
            "epsilon is added to the root, not under it.",
        ),
        _adamw_case(
            "step 7 of a matrix",
            (weight, grad, mean, square, 7, 0.01, 0.05),
            "the betas are 0.9 for the gradient and 0.999 for its square; the power is the step.",
        ),
    ]
    hint = "update both means first, correct them, then move the weight against their quotient."
    check_cases("adamw_step", function, cases, hint=hint)


def check_warm_poly(function: Callable[[int, int, float], float]) -> None:
    """The factor on the learning rate: poly with a warm-up.

    Args:
        function: Takes the steps done, the steps of the run, and the share of the run that is
            warm-up; returns the factor.

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        _schedule_case(
            "half-way, without a warm-up",
            50,
            100,
            0.0,
            "(1 - step / total_steps) ** 0.9, a number; with warmup 0 there is no line, and "
            "nothing to divide by.",
        ),
        _schedule_case(
            "the first step of a warm-up",
            0,
            100,
            0.1,
            "a factor of 0 would waste the step: the line begins at 0.04.",
        ),
        _schedule_case(
            "the middle of the warm-up",
            6,
            60,
            0.2,
            "two factors are multiplied: the line is half-way from 0.04 to 1, and poly has begun "
            "to fall at step 0 already.",
        ),
        _schedule_case(
            "a step after the warm-up",
            30,
            40,
            0.25,
            "behind the warm-up its factor is 1, not more.",
        ),
    ]
    hint = "the share of the run that is done is step / total_steps; work with that."
    check_cases("warm_poly", function, cases, hint=hint)


def check_undecayed(function: Callable[[nn.Module], list[str]]) -> None:
    """Which parameters of a model no weight decay falls on.

    Args:
        function: Takes a model; returns names of parameters.

    Raises:
        ExerciseError: If a case is not right.
    """
    plain = nn.ModuleDict({"linear": nn.Linear(2, 3), "norm": nn.LayerNorm(3)})
    unnamed = nn.ModuleDict(
        {
            "backbone": nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
            "norm_free": nn.Linear(4, 2),
        }
    )
    queries = nn.ModuleDict({"attention": _Attention(), "positions": nn.Embedding(5, 4)})
    cases = [
        Case(
            name="a linear layer and a norm",
            arguments=(plain,),
            expected=["norm.weight", "norm.bias"],
            hint="all of a norm is spared; the bias of a linear layer decays.",
        ),
        Case(
            name="a norm that is not called so",
            arguments=(unnamed,),
            expected=["backbone.1.weight", "backbone.1.bias"],
            hint="names tell nothing: ask which module holds the parameter, with isinstance.",
        ),
        Case(
            name="an attention with position biases, and an embedding",
            arguments=(queries,),
            expected=["attention.relative_position_bias_table", "positions.weight"],
            hint="embeddings are spared, and every parameter whose own name is "
            "relative_position_bias_table.",
        ),
        Case(
            name="a model that is a norm itself",
            arguments=(nn.LayerNorm(3),),
            expected=["weight", "bias"],
            hint="the path of the model itself is empty: its parameters have no dot before them.",
        ),
    ]
    hint = (
        "go through model.named_modules(), and through named_parameters(recurse=False) of each, "
        "so that you know which module holds a parameter."
    )
    check_cases("undecayed", function, cases, hint=hint)


class _Attention(nn.Module):
    """As in a Swin block: the table belongs to a module that is no norm."""

    def __init__(self) -> None:
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))
        self.query_proj = nn.Linear(4, 4)


def _adamw_case(name: str, arguments: tuple[Any, ...], hint: str) -> Case:
    return Case(name=name, arguments=arguments, expected=_by_torch(*arguments), hint=hint)


def _by_torch(
    weight: Tensor, grad: Tensor, mean: Tensor, square: Tensor, step: int, lr: float, decay: float
) -> State:
    """What torch makes of it."""
    parameter = nn.Parameter(weight.clone())
    optimizer = torch.optim.AdamW([parameter], lr=lr, weight_decay=decay)
    optimizer.state[parameter] = {
        "step": torch.tensor(float(step - 1)),
        "exp_avg": mean.clone(),
        "exp_avg_sq": square.clone(),
    }
    parameter.grad = grad.clone()
    optimizer.step()
    state = optimizer.state[parameter]
    return parameter.detach(), state["exp_avg"], state["exp_avg_sq"]


def _schedule_case(name: str, step: int, total: int, warmup: float, hint: str) -> Case:
    schedule = Schedule(name="poly", total_steps=total, warmup_fraction=warmup)
    arguments = (step, total, warmup)
    return Case(name=name, arguments=arguments, expected=schedule.multiplier(step), hint=hint)
