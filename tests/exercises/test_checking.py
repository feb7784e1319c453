"""What a learner reads: the case, what came out, what was expected, one hint.

Mutants that must fail: arguments that are not copied; a comparison that takes True for 1; a
message without the hint.
"""

import re

import pytest
import torch

from minioneformer.exercises.checking import Case, ExerciseError, check_cases, difference, show

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
        "  went in:  [1, 2]\n"
        "  came out: 4\n"
        "  4 is not 3\n"
        "  expected: 3\n"
        "Hint: add them up."
    )
    assert caught.value._render_traceback_() == [f"Not yet. {caught.value}"]


def test_a_case_may_have_a_hint_of_its_own():
    with pytest.raises(ExerciseError, match=r"(?s)the case of none.*Hint: start from zero\."):
        check(lambda numbers: sum(numbers) if numbers else 7)


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


def test_a_solution_that_changes_its_arguments_spoils_no_message():
    with pytest.raises(ExerciseError, match=r"went in:  \[1, 2\]"):
        check(lambda numbers: numbers.clear())
    assert CASES[0].arguments == ([1, 2],)


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (torch.ones(2, 3), torch.ones(3, 2), r"shape \(2, 3\) is not \(3, 2\)"),
        (torch.ones(2), torch.tensor([1, 1]), "of integers was expected, not of real numbers"),
        (torch.tensor([1, 0]), torch.tensor([True, False]), "of booleans was expected"),
        ([1.0], torch.ones(1), "a tensor was expected, not a list"),
        (
            torch.tensor([[1.0, 2.0, 9.0]]),
            torch.tensor([[1.0, 2.5, 3.0]]),
            r"2 of 3 numbers differ, the first at \[0, 1\]: 2.0 is not 2.5",
        ),
        (torch.tensor([0.0]), torch.tensor([float("nan")]), "1 of 1 numbers differ"),
        ([1, 2], [1, 3], "position 1: 2 is not 3"),
        ([1, 2], [1, 2, 3], "a sequence of 3 was expected"),
        (7, [7], "a sequence of 1 was expected"),
        (True, 1, "True is not 1"),
        (0.5, 0.6, "0.5 is not 0.6"),
        (None, "a", "None is not 'a'"),
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
    assert show(list(range(1000))).endswith(" ...")
