"""Which exercises of a learner's notebook are right.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Only what a learner writes is run: the sections "Set up" and "Exercises". So a notebook takes
seconds, also where its lesson trains a model, and a loop without an end is stopped.

Not here: what is right (`exercises/checking.py` and a file for each notebook).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from minioneformer.exercises.checking import shorten
from minioneformer.exercises.execute import check_cells, execute, failed_cells
from minioneformer.exercises.learner import Notebook, source_of

SECTIONS = ("Set up", "Exercises")
CELL_SECONDS = 60  # more than any solution takes, imports included
CHECK = re.compile(r"check_(\w+)\(\1\)")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Grade:
    """What came of one exercise.

    Args:
        exercise: Its name.
        message: Why it is not right, in one line; empty if it is.
    """

    exercise: str
    message: str


def exercise_sections(notebook: Notebook) -> Notebook:
    """Leave out what exercises do not need.

    Args:
        notebook: Any version of it; left as it is.

    Returns:
        A notebook with the cells of the sections "Set up" and "Exercises".
    """
    cells, section = [], ""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            section = (HEADING.findall(source_of(cell)) or [section])[-1]
        if section in SECTIONS:
            cells.append(cell)
    return notebook | {"cells": cells}


def grade(notebook: Notebook, reference: Notebook, folder: str | Path) -> list[Grade]:
    """Run the exercises of a notebook that a learner hands in.

    Args:
        notebook: With the learner's answers; it is run, so it should be of somebody you know.
        reference: The notebook of the repository; it says which exercises there are.
        folder: In which the kernel runs.

    Returns:
        A grade for each exercise, in the order of the reference. An exercise whose check was taken
        out or changed counts as not right.

    Raises:
        ImportError: If the extra `notebooks` is not installed.
        RuntimeError: If the kernel dies.

    Example:
        The learner's version as it is generated gets "... your turn. Hint: ..." for each exercise.
    """
    sections = exercise_sections(notebook)
    executed = execute(sections, folder, cell_seconds=CELL_SECONDS, patient=False).notebook
    failed = {i: _in_words(message) for i, message in failed_cells(executed).items()}
    checks, checked = check_cells(executed), {}
    for i in checks:
        reason = failed.get(i, "")
        # what was to be defined in a cell that does not run is unknown to the check: say why
        above = [message for j, message in failed.items() if j < i and j not in checks]
        if reason.startswith("NameError") and above:
            reason = f"a cell above its check does not run: {above[-1]}"
        checked[source_of(executed["cells"][i])] = reason
    return [
        Grade(
            exercise=name,
            message=checked.get(f"check_{name}({name})", "its check is missing or was changed"),
        )
        for name in exercise_names(reference)
    ]


def _in_words(message: str) -> str:
    if message.startswith("KeyboardInterrupt"):
        return f"it took more than {CELL_SECONDS} seconds"
    return shorten(message.removeprefix("ExerciseError: "))


def exercise_names(notebook: Notebook) -> list[str]:
    """The exercises of a notebook.

    Args:
        notebook: As in the repository.

    Returns:
        The names of the functions that learners write, in order.
    """
    checks = (source_of(notebook["cells"][i]) for i in check_cells(notebook))
    return [match[1] for match in map(CHECK.fullmatch, checks) if match]
