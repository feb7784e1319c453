"""A wish that labels cannot fulfil is refused with the way out.

Mutants that must fail: refuse a task of probability 0; name the same way out for all; forget to
scale what is left.
"""

import pytest

from minioneformer.data.task_support import check_tasks, restrict, restricted_text
from minioneformer.structures import TASKS


def test_what_labels_can_teach_passes():
    check_tasks({"semantic": 1.0, "instance": 0.0}, ("semantic",), "here")
    check_tasks(dict.fromkeys(TASKS, 1 / 3), TASKS, "here")


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (
            ("instance",),
            r"^here: its labels cannot teach semantic and panoptic, only instance\. .*"
            r"WithBackground.*InstanceAndSemantic.*task_probabilities=\(0.0, 1.0, 0.0\)\.$",
        ),
        (("semantic",), r"cannot teach instance and panoptic, only semantic\. .*masks of objects"),
        (("semantic", "instance"), r"cannot teach panoptic.*=\(0.5, 0.5, 0.0\)"),
    ],
)
def test_an_impossible_wish_is_refused_with_the_way_out(tasks, message):
    with pytest.raises(ValueError, match=message):
        check_tasks(dict.fromkeys(TASKS, 1 / 3), tasks, "here")


def test_the_rest_keeps_its_proportions():
    wished = {"semantic": 0.5, "instance": 0.25, "panoptic": 0.25}
    left = restrict(wished, ("semantic", "instance"))
    assert left == pytest.approx({"semantic": 2 / 3, "instance": 1 / 3})
    assert list(left) == ["semantic", "instance"]
    assert restrict(wished, TASKS) == wished
    assert restrict({"semantic": 1.0}, ("semantic", "instance")) == {"semantic": 1, "instance": 0}


def test_if_nothing_is_left_that_is_said():
    with pytest.raises(ValueError, match="nothing is left to learn: the labels teach instance, go"):
        restrict({"semantic": 1.0}, ("instance",))


def test_shares_are_spelled_as_a_setting():
    assert restricted_text(("semantic",)) == "(1.0, 0.0, 0.0)"
