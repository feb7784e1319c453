"""The notebooks: built after one plan, they run from the top, and exercises are exercises.

`make test-notebooks` runs them and prints seconds and size of each.

Mutants that must fail: a cell that raises; a solution that is wrong; a learner's version in which
a later cell needs a solution; an output of the author's machine; a link to a file that was moved.
"""

import ast
import os
import re
import warnings
from functools import cache
from pathlib import Path

import pytest

from minioneformer.exercises.execute import Execution, check_cells, execute, failed_cells
from minioneformer.exercises.learner import (
    BEGIN,
    FINISH,
    Notebook,
    learner_version,
    read_notebook,
    source_of,
)
from minioneformer.visualize.figure2 import figure2_boxes

ROOT = Path(__file__).resolve().parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HEADINGS = [
    "Set up",
    "Where we are in Figure 2",
    "By hand",
    "The same with the library",
    "The source",
    "See it",
    "Break it",
    "Exercises",
    "What we left out",
]
REPOSITORY = "minioneformer/minioneformer"  # on GitHub; also in the first cell of each notebook
BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    f"(https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{{name}})"
)
INSTALL = f"""import sys

if "google.colab" in sys.modules:
    %pip install -q git+https://github.com/{REPOSITORY}"""
LARGEST = 400_000
LONGEST_CELL = 25

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code_cells(notebook: Notebook) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def prose(notebook: Notebook) -> str:
    cells = (cell for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    return "\n\n".join(source_of(cell) for cell in cells)


def outputs(notebook: Notebook) -> list[dict]:
    return [output for cell in code_cells(notebook) for output in cell["outputs"]]


def python_of(cell: dict) -> ast.Module:
    """Without the lines that are for IPython."""
    return ast.parse(re.sub(r"^( *)%.*$", r"\1pass", source_of(cell), flags=re.MULTILINE))


@cache
def run(path: Path, folder: Path, *, solved: bool) -> Execution:
    notebook = read_notebook(path)
    with warnings.catch_warnings():  # of the client, not of the notebook
        warnings.simplefilter("ignore")
        return execute(notebook if solved else learner_version(notebook), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Not that of the notebooks: nothing may depend on where a notebook lies."""
    for module in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(module, reason="the extra `notebooks` is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)  # of the kernels too
        yield tmp_path_factory.mktemp("kernel")


def test_there_are_notebooks_and_their_page_names_all():
    page = (ROOT / "notebooks" / "README.md").read_text()
    assert [path.name for path in PATHS] == re.findall(r"\]\((\d\d_\w+\.ipynb)\)", page)
    assert len(PATHS) >= 2


@each_notebook
def test_a_notebook_is_built_after_the_plan(path):
    text = prose(read_notebook(path))
    assert text.startswith(f"# {path.stem[:2]} · ")
    assert BADGE.format(name=path.name) in text
    for words in ("**You will build**", "**In the paper**", "**Runs in**", "**You need**"):
        assert words in text
    assert [h for h in re.findall(r"^## (.+)$", text, re.MULTILINE) if h in HEADINGS] == HEADINGS
    end = text.partition("## What we left out")[2]
    for target in ("../minioneformer/", "../tests/", "../docs/"):
        assert f"]({target}" in end


@each_notebook
def test_code_is_short_installs_itself_lights_a_box_and_asserts(path):
    cells = code_cells(read_notebook(path))
    assert source_of(cells[0]) == INSTALL
    assert max(len(source_of(cell).splitlines()) for cell in cells) <= LONGEST_CELL
    lit = [n.args for cell in cells for n in ast.walk(python_of(cell)) if is_call(n, "figure2")]
    assert lit and {argument.value for argument in lit[0]} <= set(figure2_boxes())
    nodes = [node for cell in cells for node in ast.walk(python_of(cell))]
    asserts = [n for n in nodes if isinstance(n, ast.Assert) or is_call(n, "assert_close")]
    assert len(asserts) >= 3
    assert [n for n in nodes if is_call(n, "assert_close")]


def is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


@each_notebook
def test_two_exercises_at_least_each_with_its_check_below(path):
    notebook = read_notebook(path)
    solved = [
        position
        for position, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == "code" and BEGIN in source_of(cell)
    ]
    assert [position + 1 for position in solved] == check_cells(notebook)
    assert len(solved) >= 2
    for position in solved:
        cell = notebook["cells"][position]
        *_, function = python_of(cell).body
        assert isinstance(function, ast.FunctionDef) and ast.get_docstring(function)
        assert source_of(cell).endswith(f"    {FINISH}")
        check = source_of(notebook["cells"][position + 1])
        assert check == f"check_{function.name}({function.name})"
        statement = source_of(notebook["cells"][position - 1])
        assert f": `{function.name}`.**" in statement


@each_notebook
def test_it_is_stored_as_it_came_out(path):
    notebook = read_notebook(path)
    assert path.stat().st_size < LARGEST
    counts = [cell["execution_count"] for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert failed_cells(notebook) == {}
    assert [o for o in outputs(notebook) if o.get("name") == "stderr"] == []
    assert len([o for o in outputs(notebook) if "image/png" in o.get("data", {})]) >= 1
    text = path.read_text()
    for trace in ("/home/", "/root/", "/tmp/", "/work/", "/Users/", "site-packages", "Warning"):
        assert trace not in text
    assert re.search(r" at 0x[0-9a-f]{6}", text) is None  # an address: another one in each run


@each_notebook
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(read_notebook(path)))
    local = [link.partition("#")[0] for link in links if not link.startswith("https://")]
    assert [link for link in local if not (path.parent / link).exists()] == []


@each_notebook
def test_it_runs_from_the_top_and_every_solution_is_right(path, folder, capsys):
    result = run(path, folder, solved=True)
    assert failed_cells(result.notebook) == {}
    assert [o for o in outputs(result.notebook) if o.get("name") == "stderr"] == []
    with capsys.disabled():
        size = path.stat().st_size / 1000
        print(f"\n{path.name:32} {result.seconds:4.0f} s {size:4.0f} kB", end="")  # noqa: T201


@each_notebook
def test_the_learners_version_fails_at_its_exercises_only_and_with_their_hints(path, folder):
    notebook = run(path, folder, solved=False).notebook
    failed = failed_cells(notebook)
    assert list(failed) == check_cells(notebook)
    for message in failed.values():
        assert message.startswith("ExerciseError: ")
        assert "your turn.\nHint: " in message


@each_notebook
def test_what_is_stored_is_what_comes_out(path, folder):
    """Text, word for word; pictures in their number."""
    stored = outputs(read_notebook(path))
    fresh = outputs(run(path, folder, solved=True).notebook)
    assert [sorted(o.get("data", ())) for o in fresh] == [sorted(o.get("data", ())) for o in stored]
    assert [said(o) for o in fresh] == [said(o) for o in stored]


def said(output: dict) -> str:
    text = "".join(output.get("text", ""))
    return re.sub(r"minioneformer [\d.]+ · torch [\w.]+", "versions", text)
