"""Which tasks a data set can teach, and what to do about a wish that it cannot fulfil.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1 (all three tasks are derived from panoptic labels);
not drawn in Figure 2.

Labels of one kind teach what they say: a label map does not know where an object ends, masks of
objects do not know what lies between them.

Not here: drawing the task of an image (`data/stream.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from minioneformer.structures import TASKS, Task

WAYS_OUT: dict[tuple[Task, ...], str] = {
    ("instance",): (
        "Only objects are annotated: name the rest (WithBackground, or `background` in "
        "dataset.json, if every object is drawn) or add label maps (InstanceAndSemantic)"
    ),
    ("semantic",): "Objects are not told apart: add masks of objects (InstanceAndSemantic)",
}


def check_tasks(
    probabilities: Mapping[Task, float] | Mapping[str, float],
    dataset_tasks: Sequence[Task],
    where: str,
) -> None:
    """Refuse a wish for a task that the labels of a data set cannot teach.

    Args:
        probabilities: How often each task is wished for; 0 is no wish.
        dataset_tasks: What the labels can teach.
        where: The data set, for the message.

    Raises:
        ValueError: If a task of positive probability is not among them; the message names the way
            out.
    """
    wished = [task for task, probability in probabilities.items() if probability > 0]
    impossible = [task for task in wished if task not in dataset_tasks]
    if impossible:
        way_out = WAYS_OUT.get(tuple(dataset_tasks), "Add labels that say more")
        raise ValueError(
            f"{where}: its labels cannot teach {' and '.join(impossible)}, only "
            f"{' and '.join(dataset_tasks)}. {way_out}, or leave the task out: "
            f"task_probabilities={restricted_text(dataset_tasks)}."
        )


def restrict(
    probabilities: Mapping[Task, float] | Mapping[str, float], dataset_tasks: Sequence[Task]
) -> dict[Task, float]:
    """Leave out what a data set cannot teach; the rest keeps its proportions.

    Args:
        probabilities: Of each task, summing to 1.
        dataset_tasks: What the labels can teach.

    Returns:
        Probabilities of those tasks, in the order of TASKS, summing to 1; those of 0 included.

    Raises:
        ValueError: If none of them was wished for.

    Example:
        1/2, 1/4, 1/4 with semantic and instance: 2/3 and 1/3.
    """
    kept = {task: float(probabilities.get(task, 0.0)) for task in TASKS if task in dataset_tasks}
    total = sum(kept.values())
    if not total > 0:
        raise ValueError(
            f"nothing is left to learn: the labels teach {' and '.join(dataset_tasks)}, "
            f"got probabilities={dict(probabilities)}."
        )
    return {task: probability / total for task, probability in kept.items()}


def restricted_text(dataset_tasks: Sequence[Task]) -> str:
    """Equal probabilities of some tasks, as a recipe spells them.

    Args:
        dataset_tasks: At least one.

    Returns:
        A tuple in one line, in the order of TASKS.

    Example:
        "(1.0, 0.0, 0.0)" for the semantic task alone.
    """
    share = round(1 / len(dataset_tasks), 4)
    return str(tuple(share if task in dataset_tasks else 0.0 for task in TASKS))
