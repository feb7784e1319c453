"""Task prompts."""

import pytest

from minioneformer.structures import TASKS
from minioneformer.text.task_prompt import check_task, task_prompt


def test_the_prompt_names_the_task():
    assert [task_prompt(task) for task in TASKS] == [
        "the task is semantic",
        "the task is instance",
        "the task is panoptic",
    ]


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_returned_as_it_is(task):
    assert check_task(task) == task


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("panotic", "panoptic"), ("Semantic", "semantic"), ("instances", "instance")],
)
def test_a_misspelled_task_gets_a_suggestion(wrong, near):
    with pytest.raises(ValueError, match=f"got task='{wrong}'. Did you mean '{near}'"):
        check_task(wrong)


@pytest.mark.parametrize("wrong", ["", "depth", "the task is panoptic"])
def test_an_unknown_task_is_refused_with_the_known_ones(wrong):
    with pytest.raises(ValueError, match=f"semantic, instance, panoptic, got task='{wrong}'.$"):
        task_prompt(wrong)
