"""The learner's version: solutions and outputs gone, everything else kept.

Mutants that must fail: a greedy pattern, which eats what stands between two solutions; outputs
that are kept; a target that is the folder of the solutions.
"""

import json
import os
import subprocess
import sys

import pytest

from minioneformer.exercises.learner import (
    learner_version,
    read_notebook,
    remove_solutions,
    write_learner_versions,
)

SOURCE = '''def double(x):
    """Return twice x."""
    # solution
    y = x
    return x + y
    # end of solution


def half(x):
    if x:
        # solution
        return x / 2
        # end of solution
    return 0'''
REMOVED = '''def double(x):
    """Return twice x."""
    # solution
    raise NotImplementedError("your turn")
    # end of solution


def half(x):
    if x:
        # solution
        raise NotImplementedError("your turn")
        # end of solution
    return 0'''


def notebook():
    code = {"cell_type": "code", "metadata": {}, "execution_count": 3, "outputs": [{"a": 1}]}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# solution\n", "a heading"]},
        {**code, "source": SOURCE.splitlines(keepends=True)},
        {**code, "source": "1 + 1"},
    ]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def test_what_stands_between_the_marks_goes():
    assert remove_solutions(SOURCE) == REMOVED
    assert remove_solutions("x = 1") == "x = 1"
    compile(REMOVED, "cell", "exec")


@pytest.mark.parametrize(
    "source",
    [
        "    # solution\n    x = 1",
        "x = 1\n# end of solution",
        "if x:\n    # solution\n    y = 1\n# end of solution",
    ],
)
def test_a_mark_without_a_partner_is_named(source):
    with pytest.raises(ValueError, match=r"needs a line `# end of solution` .* got source="):
        remove_solutions(source)


def test_statements_stay_and_outputs_go():
    before = notebook()
    heading, exercise, rest = learner_version(before)["cells"]
    assert heading == before["cells"][0]
    assert "".join(exercise["source"]) == REMOVED
    assert rest["source"] == ["1 + 1"]
    assert [cell["outputs"] for cell in (exercise, rest)] == [[], []]
    assert exercise["execution_count"] is None
    assert before == notebook()


def test_links_to_files_lead_to_the_web_and_links_to_notebooks_stay():
    text = "[model.py](../minioneformer/model.py), [01](01_tokenizer.ipynb)"
    cell = {"cell_type": "markdown", "metadata": {}, "source": text}
    (changed,) = learner_version({"cells": [cell]})["cells"]
    web = "https://github.com/minioneformer/minioneformer/blob/main/minioneformer/model.py"
    assert "".join(changed["source"]) == f"[model.py]({web}), [01](01_tokenizer.ipynb)"


def test_a_folder_becomes_another_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ipynb").write_text(json.dumps(notebook()))
    (path,) = write_learner_versions(tmp_path / "in", tmp_path / "out")
    assert path == tmp_path / "out" / "a.ipynb"
    assert read_notebook(path) == learner_version(notebook())


def test_solutions_are_not_overwritten(tmp_path):
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook()))
    with pytest.raises(ValueError, match="another one to write to, got folder="):
        write_learner_versions(tmp_path, tmp_path / "x" / "..")
    with pytest.raises(ValueError, match="needed are a folder with notebooks"):
        write_learner_versions(tmp_path / "nothing", tmp_path / "out")


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    (tmp_path / "a.ipynb").write_text("[]")
    with pytest.raises(ValueError, match=r"JSON object with cells, got path=.*a\.ipynb"):
        read_notebook(tmp_path / "a.ipynb")


def test_one_command_makes_the_learners_versions(tmp_path):
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook()))
    command = [sys.executable, "-m", "minioneformer.exercises", "learner"]
    run = [*command, str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(run, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "out" / "a.ipynb")
    run = [*command, str(tmp_path), str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: needed are")
