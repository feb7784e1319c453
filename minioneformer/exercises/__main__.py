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
    Notebook,
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
        notebooks: Files, named as those of the course. Their code is run: know whose it is. One
            that cannot be graded gets a line that says why, and the others go on.
        reference: Folder of the course.

    Raises:
        ValueError: If there is no such folder.
    """
    if not reference.is_dir():
        raise ValueError(
            f"no folder of the course, got reference={str(reference)!r}. Run this in the "
            "repository, or give --reference FOLDER."
        )
    status = 0
    for path in notebooks:
        try:
            with tempfile.TemporaryDirectory() as folder:
                results = grade(read_notebook(path), _of_course(reference, path), folder)
        except (OSError, RuntimeError, ValueError) as error:
            print(path, "-", f"not graded: {' '.join(str(error).split())}", sep="\t")
            status = 1
            continue
        for result in results:
            verdict = f"not yet: {result.message}" if result.message else "right"
            print(path, result.exercise, verdict, sep="\t", flush=True)
    return status


def _of_course(reference: Path, path: Path) -> Notebook:
    if not (reference / path.name).is_file():
        raise ValueError(
            f"the course has no notebook of that name, got {path.name!r}. Notebooks that are "
            "handed in keep their names; put them into a folder for each learner."
        )
    return read_notebook(reference / path.name)


COMMANDS: dict[str, Callable[..., int]] = {"learner": learner, "run": run, "grade": grades}

if __name__ == "__main__":
    try:
        sys.exit(tyro.extras.subcommand_cli_from_dict(COMMANDS))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
