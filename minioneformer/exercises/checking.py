"""How an exercise is checked: case by case, with a message that helps.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

A checker is one function that states its cases and calls `check_cases`. What comes out of the
learner's function is compared with what was expected; the first case that fails is reported with
what went in, what came out, what was expected, and one hint.

Not here: the exercises (one file for each notebook, say `exercises/tokenizer.py`), the learner's
version of a notebook (`exercises/learner.py`).
"""

from __future__ import annotations

import copy
import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

YOUR_TURN = "your turn"
LONGEST = 300  # characters of a value that are shown
INDENT = len("  went in:  ")
MOST_NUMBERS = 24  # of a tensor; of a larger one only the shape is shown


class ExerciseError(AssertionError):
    """The solution of an exercise is not right yet; the message says where and gives a hint."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message alone, the checker's own code helps nobody."""
        return [f"Not yet. {self}"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call of the learner's function.

    Args:
        name: What is special about it, as it ends the words "the case of ...".
        arguments: In the order of the function.
        expected: What must come out: tensors, numbers, strings, or sequences of them.
        hint: Where to look if this case fails; empty takes the hint of the exercise.
    """

    name: str
    arguments: tuple[Any, ...]
    expected: Any
    hint: str = ""


def check_cases(
    name: str, function: Callable[..., Any], cases: Sequence[Case], *, hint: str
) -> None:
    """Call a solution with each case, print one line if all are right.

    The solution gets copies, each for itself: it may change what it is given.

    Args:
        name: Of the exercise.
        function: The solution.
        cases: In the order in which they should be understood, the simplest first.
        hint: Where to begin.

    Raises:
        ExerciseError: If the function is not written yet, raises, or gives something else.
    """
    for case in cases:
        try:
            # subtle: a copy of them all would keep two equal tensors one, and change both
            answer = function(*(copy.deepcopy(argument) for argument in case.arguments))
        except NotImplementedError as error:
            raise ExerciseError(f"{name}: {error or YOUR_TURN}.\nHint: {hint}") from None
        except Exception as error:
            came_out = f"{type(error).__name__}: {error}{_line_of(error, function)}"
            raise ExerciseError(_message(name, function, case, came_out, "", hint)) from None
        problem = difference(answer, case.expected)
        if problem:
            raise ExerciseError(_message(name, function, case, show(answer), problem, hint))
    print(f"{name}: right in all {len(cases)} cases.")


def difference(answer: Any, expected: Any) -> str:
    """Say in a few words how two values differ.

    Tensors may differ by rounding, and must agree in shape and in kind (integer, boolean, real);
    so may numbers, those of NumPy too. Any sequence may stand for a list or a tuple.

    Args:
        answer: What came out.
        expected: What should have.

    Returns:
        Empty if they agree.

    Example:
        `difference([1, 2], (1, 3))` is "position 1: 2 is not 3".
    """
    if isinstance(expected, Tensor):
        return _tensor_difference(answer, expected)
    if isinstance(expected, list | tuple):
        wanted = f"a {type(expected).__name__} of {len(expected)} was expected"
        if not isinstance(answer, Sequence) or isinstance(answer, str):
            return f"{wanted}, {_not_this(answer)}"
        if len(answer) != len(expected):
            return f"{wanted}, not of {len(answer)}"
        found = (
            (i, difference(a, e)) for i, (a, e) in enumerate(zip(answer, expected, strict=True))
        )
        return next((f"position {i}: {problem}" for i, problem in found if problem), "")
    return _scalar_difference(answer, expected)


def show(value: Any) -> str:
    """Write a value down, tensors with shape and rounded, long ones shortened.

    Args:
        value: Anything.

    Returns:
        A text of one line.

    Example:
        `show(torch.tensor([0.5]))` is "tensor of shape (1,), float32: [0.5]".
    """
    if isinstance(value, Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        text = f"tensor of shape {tuple(value.shape)}, {kind}"
        if value.numel() <= MOST_NUMBERS:
            text = f"{text}: {_rounded(value.tolist())}"
    elif isinstance(value, tuple):
        text = f"({', '.join(show(item) for item in value)}{',' * (len(value) == 1)})"
    elif isinstance(value, list):
        text = f"[{', '.join(show(item) for item in value)}]"
    elif isinstance(value, float):
        text = repr(float(f"{value:.6g}"))  # 0.7, also where a float32 says 0.699999988079071
    else:
        text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _rounded(numbers: Any) -> Any:
    """Four digits are enough to see a difference, and can be read."""
    if isinstance(numbers, list):
        return [_rounded(number) for number in numbers]
    return float(f"{numbers:.4g}") if isinstance(numbers, float) else numbers


def _scalar_difference(answer: Any, expected: Any) -> str:
    is_number = isinstance(expected, int | float) and not isinstance(expected, bool)
    if answer is None and expected is not None:
        kind = "a number" if is_number else show(expected)
        return f"{kind} was expected, {_not_this(answer)}"
    if is_number and isinstance(answer, Tensor | list | tuple):
        remedy = ": `.item()` gives it" if isinstance(answer, Tensor) else ""
        return f"a number was expected, {_not_this(answer)}{remedy}"
    if isinstance(answer, bool) or not isinstance(answer, Real):
        # subtle: True == 1, and a learner should hear of it
        right = type(answer) is type(expected) and bool(answer == expected)
    elif isinstance(expected, float):
        right = abs(float(answer) - expected) <= 1e-5 + 1e-4 * abs(expected)
    else:
        right = isinstance(answer, Integral) and is_number and bool(answer == expected)
    return "" if right else f"{show(answer)} is not {show(expected)}"


def _tensor_difference(answer: Any, expected: Tensor) -> str:
    if not isinstance(answer, Tensor):
        return f"a tensor was expected, {_not_this(answer)}"
    if _kind(answer) != _kind(expected):
        return f"a tensor of {_kind(expected)} was expected, not of {_kind(answer)}"
    if answer.shape != expected.shape:
        return f"shape {tuple(answer.shape)} is not {tuple(expected.shape)}"
    wrong = ~torch.isclose(answer.double(), expected.double(), rtol=1e-4, atol=1e-5, equal_nan=True)
    if not wrong.any():
        return ""
    place = tuple(wrong.nonzero()[0].tolist())
    first = f"{show(answer[place].item())} is not {show(expected[place].item())}"
    if expected.dim() == 0:
        return first
    return f"{wrong.sum()} of {wrong.numel()} numbers differ, the first at {list(place)}: {first}"


def _not_this(answer: Any) -> str:
    if answer is None:
        return "not None: is there a `return`?"
    kind = "tensor" if isinstance(answer, Tensor) else type(answer).__name__
    return f"not {'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _kind(tensor: Tensor) -> str:
    if tensor.dtype == torch.bool:
        return "booleans"
    return "real numbers" if tensor.is_floating_point() else "integers"


def _line_of(error: Exception, function: Callable[..., Any]) -> str:
    """Where the learner's own code was: an error often comes from far below it."""
    code = getattr(function, "__code__", None)
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if code is not None and frame.filename == code.co_filename
    ]
    return f" (line {own[-1].lineno}: {own[-1].line})" if own else ""


def _message(
    name: str, function: Callable[..., Any], case: Case, came_out: str, problem: str, hint: str
) -> str:
    lines = [
        f"{name}, the case of {case.name}:",
        f"  went in:  {_with_names(function, case.arguments)}",
        f"  came out: {came_out}",
        f"  expected: {show(case.expected)}",
        *([f"  wrong:    {problem}"] if problem else []),
        f"Hint: {case.hint or hint}",
    ]
    return "\n".join(lines)


def _with_names(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """Each argument under the name that the learner gave it, in lines of their own if long."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of a function that is not written in Python
        names = []
    texts = [show(argument) for argument in arguments]
    if len(names) == len(texts):
        texts = [f"{name} = {text}" for name, text in zip(names, texts, strict=True)]
    separator = ", " if sum(map(len, texts)) < 80 else f"\n{' ' * INDENT}"
    return separator.join(texts)


def shorten(message: str) -> str:
    """The message of a check in one line, for whoever grades many.

    Args:
        message: Of an `ExerciseError`; any other one stays as it is.

    Returns:
        The case, what is wrong with it, and the hint.

    Example:
        "add, the case of one: wrong: 4 is not 3 Hint: add them up."
    """
    lines = message.splitlines()
    left_out = ["  went in:", "  expected:", " " * INDENT]
    if any(line.startswith("  wrong:") for line in lines):
        left_out.append("  came out:")
    kept = (line for line in lines if not line.startswith(tuple(left_out)))
    return " ".join(" ".join(kept).split())
