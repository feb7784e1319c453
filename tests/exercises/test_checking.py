"""What a learner reads: the case, what came out, what was expected, one hint.

Mutants that must fail: arguments that are not copied; a comparison that takes True for 1; a
message without the hint.
"""

import re

import numpy as np
import pytest
import torch

from minioneformer.exercises.checking import (
    Case,
    ExerciseError,
    check_cases,
    difference,
    shorten,
    show,
)

CASES = [
    Case(name="one", arguments=([1, 2],), expected=3),
    Case(name="none", arguments=([],), expected=0, hint="start from zero."),
]


def check(function):
    check_cases("add", function, CASES, hint="add them up.")


def test_a_right_answer_gives_one_line(capsys):
    check(sum)
    assert capsys.readouterr().out == "add: right in all 2 cases.\n"


def test_a_wrong_answer_is_reported_with_all_that_helps():
    with pytest.raises(ExerciseError) as caught:
        check(lambda numbers: sum(numbers) + 1)
    assert str(caught.value) == (
        "add, the case of one:\n"
        "  went in:  numbers = [1, 2]\n"
        "  came out: 4\n"
        "  expected: 3\n"
        "  wrong:    4 is not 3\n"
        "Hint: add them up."
    )
    assert caught.value._render_traceback_() == [f"Not yet. {caught.value}"]


def test_a_case_may_have_a_hint_of_its_own():
    with pytest.raises(ExerciseError, match=r"(?s)the case of none.*Hint: start from zero\."):
        check(lambda numbers: sum(numbers) if numbers else 7)


def test_a_solution_may_work_in_place_where_a_case_has_one_tensor_twice():
    zero = torch.zeros(2)
    case = Case(name="zeros", arguments=(zero, zero), expected=torch.tensor([1.0, 1.0]))
    check_cases("add", lambda a, b: a.add_(1).sub_(b), [case], hint="")
    assert not zero.any()


def test_long_arguments_stand_in_lines_of_their_own():
    case = Case(name="long", arguments=(list(range(30)), 1), expected=0)
    with pytest.raises(ExerciseError) as caught:
        check_cases("add", lambda numbers, other: 1, [case], hint="none.")
    assert "\n            other = 1\n  came out: 1\n" in str(caught.value)
    assert shorten(str(caught.value)) == "add, the case of long: wrong: 1 is not 0 Hint: none."


def test_an_exercise_that_is_not_written_gives_the_hint():
    def add(numbers):
        raise NotImplementedError("your turn")

    with pytest.raises(ExerciseError, match=r"add: your turn\.\nHint: add them up\."):
        check(add)


def test_an_error_of_the_solution_is_reported_with_its_line():
    def add(numbers):
        return numbers[5]

    with pytest.raises(ExerciseError, match=r"came out: IndexError: .* return numbers\[5\]"):
        check(add)


def test_an_error_from_below_names_the_line_of_the_solution():
    def add(numbers):
        return torch.ones(2) @ torch.ones(len(numbers) + 1)

    with pytest.raises(ExerciseError, match=r"\(line \d+: return torch\.ones\(2\) @"):
        check(add)


def test_a_wrong_number_of_arguments_quotes_no_line_of_the_checker():
    with pytest.raises(
        ExerciseError, match=r"missing 1 required positional argument: 'others'\n  expected"
    ):
        check(lambda numbers, others: numbers + others)


def test_a_message_in_one_line_has_the_case_the_mistake_and_the_hint():
    with pytest.raises(ExerciseError) as caught:
        check(lambda numbers: sum(numbers) + 1)
    line = shorten(str(caught.value))
    assert line == "add, the case of one: wrong: 4 is not 3 Hint: add them up."
    with pytest.raises(ExerciseError) as caught:
        check(lambda numbers: numbers[5])
    assert "the case of one: came out: IndexError: " in shorten(str(caught.value))
    assert shorten("NameError: name 'x' is not defined") == "NameError: name 'x' is not defined"


def test_a_solution_that_changes_its_arguments_spoils_no_message():
    with pytest.raises(ExerciseError, match=r"went in:  numbers = \[1, 2\]"):
        check(lambda numbers: numbers.clear())
    assert CASES[0].arguments == ([1, 2],)


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (torch.ones(2, 3), torch.ones(3, 2), r"shape \(2, 3\) is not \(3, 2\)"),
        (torch.ones(2), torch.tensor([1, 1]), "of integers was expected, not of real numbers"),
        (torch.tensor([1, 0]), torch.tensor([True, False]), "of booleans was expected"),
        ([1.0], torch.ones(1), "a tensor was expected, not a list"),
        (None, torch.ones(1), r"a tensor was expected, not None: is there a `return`\?"),
        (torch.tensor([True]), torch.tensor([0, 2]), "of integers was expected, not of booleans"),
        (torch.tensor(0.948153), torch.tensor(0.25), "^0.948153 is not 0.25$"),
        (torch.tensor([1.0]), torch.tensor([0.7]), ": 1.0 is not 0.7$"),
        (
            torch.tensor([[1.0, 2.0, 9.0]]),
            torch.tensor([[1.0, 2.5, 3.0]]),
            r"2 of 3 numbers differ, the first at \[0, 1\]: 2.0 is not 2.5",
        ),
        (torch.tensor([0.0]), torch.tensor([float("nan")]), "1 of 1 numbers differ"),
        (1.0, 1, "1.0 is not 1"),
        ([1, 2], [1, 3], "position 1: 2 is not 3"),
        ([1, 2], [1, 2, 3], "a list of 3 was expected, not of 2"),
        (7, [7], "a list of 1 was expected, not an int"),
        (torch.ones(3), [1, 1, 1], "a list of 3 was expected, not a tensor"),
        (None, (1, 2), r"a tuple of 2 was expected, not None: is there a `return`\?"),
        (True, 1, "True is not 1"),
        (0.5, 0.6, "0.5 is not 0.6"),
        (None, "a", "'a' was expected, not None: is there a `return`"),
        (None, 0.5, "a number was expected, not None: is there a `return`"),
        (torch.tensor(1.0), 1.0, r"a number was expected, not a tensor: `\.item\(\)` gives it"),
        ([1.0], 1.0, "a number was expected, not a list"),
        (np.float64(1.5), 1, "1.5.* is not 1"),
        ("12", [1, 2], "a list of 2 was expected, not a str"),
        ("a", "b", "'a' is not 'b'"),
        ([[1, 2], [3]], [[1, 2], [4]], "position 1: position 0: 3 is not 4"),
    ],
)
def test_differences_in_words(answer, expected, words):
    assert re.search(words, difference(answer, expected))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (torch.ones(2, 3) + 1e-6, torch.ones(2, 3)),
        (torch.ones(2, dtype=torch.int32), torch.ones(2, dtype=torch.long)),
        (torch.zeros(0, dtype=torch.long), torch.tensor([], dtype=torch.long)),
        ((1, 2), [1, 2]),
        (range(1, 3), [1, 2]),
        ([np.int64(1)], [1]),
        (np.float64(0.5), 0.5),
        (True, True),
        (0.3, 0.1 + 0.2),
        (1, 1.0),
        ("a", "a"),
        (None, None),
    ],
)
def test_what_counts_as_equal(answer, expected):
    assert difference(answer, expected) == ""


def test_values_are_shown_so_that_they_can_be_read():
    assert show(torch.tensor([0.392])) == "tensor of shape (1,), float32: [0.392]"
    assert show((torch.tensor([True]),)) == "(tensor of shape (1,), bool: [True],)"
    assert show("ab") == "'ab'"
    assert show(0.699999988079071) == "0.7"
    assert show([torch.tensor([1]), 2]) == "[tensor of shape (1,), int64: [1], 2]"
    assert show(torch.tensor([[0.00019996, 0.39751]])) == (
        "tensor of shape (1, 2), float32: [[0.0002, 0.3975]]"
    )
    assert show(torch.zeros(5, 5)) == "tensor of shape (5, 5), float32"
    assert show(list(range(1000))).endswith(" ...")
