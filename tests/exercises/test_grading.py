"""Grades: right, not yet with the reason, and a check that somebody took out.

Mutants that must fail: sections that are not needed are run; a missing check counts as right.
"""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from minioneformer.exercises.__main__ import grades
from minioneformer.exercises.grading import exercise_names, exercise_sections, grade
from minioneformer.exercises.learner import (
    learner_version,
    read_notebook,
    source_of,
    write_notebook,
)

ROOT = Path(__file__).resolve().parents[2]
TOUR = ROOT / "notebooks" / "00_tour.ipynb"


@pytest.fixture(autouse=True)
def kernel(monkeypatch):
    for module in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(module, reason="the extra `notebooks` is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)


def test_the_page_for_teachers_names_every_exercise():
    page = (ROOT / "docs" / "teaching.md").read_text()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        (row,) = (line for line in page.splitlines() if f"../notebooks/{path.name})" in line)
        assert row.endswith(
            "| " + ", ".join(f"`{n}`" for n in exercise_names(read_notebook(path))) + " |"
        )


def test_only_set_up_and_exercises_are_run():
    sources = [source_of(cell) for cell in exercise_sections(read_notebook(TOUR))["cells"]]
    assert sources[0].startswith("## Set up")
    text = "\n".join(sources)
    assert "import torch" in text and "check_kept_queries(kept_queries)" in text
    assert "load_pretrained(" not in text and "## By hand" not in text


def test_one_right_one_missing(tmp_path):
    notebook = read_notebook(TOUR)
    first, second = exercise_names(notebook)
    assert (first, second) == ("multiply_masks", "kept_queries")
    handed_in = notebook | {
        "cells": [c for c in notebook["cells"] if f"check_{second}({second})" != source_of(c)]
    }
    with warnings.catch_warnings():  # of the client
        warnings.simplefilter("ignore")
        one, other = grade(handed_in, notebook, tmp_path)
    assert (one.exercise, one.message) == (first, "")
    assert (other.exercise, other.message) == (second, "its check is missing or was changed")


def test_the_command_prints_a_line_for_each_exercise(tmp_path):
    path = write_notebook(learner_version(read_notebook(TOUR)), tmp_path / TOUR.name)
    command = [sys.executable, "-m", "minioneformer.exercises", "grade", str(path)]
    done = subprocess.run(
        [*command, "--reference", str(TOUR.parent)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        [str(path), n] for n in ("multiply_masks", "kept_queries")
    ]
    assert all(line[2].startswith("not yet: ") and "your turn. Hint: " in line[2] for line in lines)


def course(folder, *bodies):
    """A notebook without torch, whose kernel starts in a second: exercises `one` and `two`."""
    cells = ["## Exercises", "def check_one(f):\n    f()\n\n\ncheck_two = check_one"]
    for name, body in zip(("one", "two"), bodies, strict=True):
        cells += [f"def {name}(){body}", f"check_{name}({name})"]
    rows = [
        {
            "cell_type": "code" if number else "markdown",
            "id": f"cell-{number}",
            "metadata": {},
            "source": text,
        }
        | ({"outputs": [], "execution_count": None} if number else {})
        for number, text in enumerate(cells)
    ]
    content = {"cells": rows, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    folder.mkdir(exist_ok=True)
    return write_notebook(content, folder / "99_short.ipynb")


def test_a_file_that_cannot_be_graded_stops_no_other(tmp_path, capsys):
    reference = course(tmp_path / "course", ": pass", ": pass")
    other = write_notebook(read_notebook(TOUR), tmp_path / "other.ipynb")
    half = tmp_path / reference.name
    half.write_text(TOUR.read_text()[:5000])
    good = course(tmp_path / "ada", ": pass", ": return 1 / 0")
    with warnings.catch_warnings():  # of the client
        warnings.simplefilter("ignore")
        assert grades([other, half, good], reference=reference.parent) == 1
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [
        [str(other), "-"], [str(half), "-"], [str(good), "one"], [str(good), "two"]
    ]  # fmt: skip
    assert lines[0][2].startswith("not graded: the course has no notebook of that name, got 'other")
    assert lines[1][2].startswith("not graded: no JSON, so no notebook or a part of one")
    assert [line[2] for line in lines[2:]] == [
        "right",
        "not yet: ZeroDivisionError: division by zero",
    ]


def test_a_course_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"no folder of the course, .* give --reference FOLDER"):
        grades([TOUR], reference=tmp_path / "elsewhere")


def test_what_does_not_run_and_what_does_not_end_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("minioneformer.exercises.grading.CELL_SECONDS", 3)
    reference = read_notebook(course(tmp_path / "course", ": pass", ": pass"))
    handed_in = read_notebook(course(tmp_path / "ada", ":\n    while True: pass", " pass"))
    with warnings.catch_warnings():  # of the client
        warnings.simplefilter("ignore")
        one, other = grade(handed_in, reference, tmp_path)
    assert one.message == "it took more than 3 seconds"
    assert other.message.startswith("a cell above its check does not run: SyntaxError: expected")
