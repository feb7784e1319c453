"""`python -m minioneformer.exercises learner | run | grade`: notebooks for learners, run, graded.

A mistake of the user gives one line on the standard error and exit status 2, a notebook that
failed gives 1.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import tyro

from minioneformer.exercises.execute import execute, failed_cells
from minioneformer.exercises.grading import grade
from minioneformer.exercises.learner import (
    read_notebook,
    write_learner_versions,
    write_notebook,
)
from minioneformer.exercises.parameters import set_parameters


def learner(folder: tyro.conf.Positional[Path], target: tyro.conf.Positional[Path]) -> int:
    """Write the notebooks of a folder without solutions and outputs.

    Args:
        folder: Of the notebooks.
        target: Another folder.
    """
    for path in write_learner_versions(folder, target):
        print(path)
    return 0


def run(
    notebooks: tyro.conf.Positional[list[Path]],
    /,
    *,
    write: bool = False,
    set: tuple[str, ...] = (),  # noqa: A002
) -> int:
    """Run notebooks from the top, each in a fresh kernel; print seconds and size of each.

    Args:
        notebooks: Files.
        write: Keep the outputs: replace the files.
        set: Parameters of the notebooks, as in `FULL=True`.

    Raises:
        ValueError: If both are given: what is kept is the form that the file states.
    """
    if write and set:
        raise ValueError(f"--write keeps the form that the file states, got {set=} as well.")
    status = 0
    for path in notebooks:
        # another folder than that of the notebook: nothing in it may depend on where it runs
        with tempfile.TemporaryDirectory() as folder:
            result = execute(set_parameters(read_notebook(path), set), folder)
        failed = failed_cells(result.notebook)
        for position, message in failed.items():
            print(f"{path.name}, cell {position}: {message}", file=sys.stderr)
        if write and not failed:
            write_notebook(result.notebook, path)
        status = status or int(bool(failed))
        print(f"{path.name}  {result.seconds:.0f} s  {path.stat().st_size / 1000:.0f} kB")
    return status


def grades(
    notebooks: tyro.conf.Positional[list[Path]],
    /,
    *,
    reference: Path = Path("notebooks"),
) -> int:
    """Run the exercises of notebooks that learners hand in; print a line for each exercise.

    Args:
        notebooks: Files, named as those of the course. Their code is run: know whose it is.
        reference: Folder of the course.

    Raises:
        ValueError: If the course has no notebook of that name.
    """
    for path in notebooks:
        if not (reference / path.name).is_file():
            raise ValueError(
                f"{reference} has no notebook of that name, got path={str(path)!r}. Notebooks that "
                "are handed in keep their names; put them into a folder for each learner."
            )
        known = read_notebook(reference / path.name)
        with tempfile.TemporaryDirectory() as folder:
            for result in grade(read_notebook(path), known, folder):
                reason = " ".join(result.message.removeprefix("ExerciseError: ").split())
                print(path, result.exercise, f"not yet: {reason}" if reason else "right", sep="\t")
    return 0


COMMANDS: dict[str, Callable[..., int]] = {"learner": learner, "run": run, "grade": grades}

if __name__ == "__main__":
    try:
        sys.exit(tyro.extras.subcommand_cli_from_dict(COMMANDS))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
