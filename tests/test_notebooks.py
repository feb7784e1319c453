"""The notebooks are built after one plan; nothing is run here, see `test_run_notebooks.py`.

Mutants that must fail: a heading that is missing; a solution that is not inside of its function; an
output of the author's machine; a link to a file that was moved.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minioneformer.exercises.execute import check_cells, failed_cells
from minioneformer.exercises.grading import exercise_sections
from minioneformer.exercises.learner import (
    BEGIN,
    FINISH,
    Notebook,
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


def test_there_are_notebooks_and_their_page_names_all():
    page = (ROOT / "notebooks" / "README.md").read_text()
    assert [path.name for path in PATHS] == re.findall(r"\]\((\d\d_\w+\.ipynb)\)", page)
    assert [path.name[:2] for path in PATHS] == [f"{number:02}" for number in range(17)]


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
        # inside of the function: nothing but its body is the learner's
        assert re.search(rf"^    +{BEGIN}$", source_of(cell), re.MULTILINE)
        assert source_of(cell).endswith(f"    {FINISH}")
        check = source_of(notebook["cells"][position + 1])
        assert check == f"check_{function.name}({function.name})"
        statement = source_of(notebook["cells"][position - 1])
        assert f": `{function.name}`.**" in statement


@each_notebook
def test_exercises_need_nothing_but_what_the_set_up_imports(path):
    """So they can be graded without running the lesson, and done again in an empty notebook."""
    cells = code_cells(exercise_sections(read_notebook(path)))
    source = "\n\n".join(ast.unparse(python_of(cell)) for cell in cells)
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


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
    local = [link.partition("#")[0] for link in links if not re.match("https?://", link)]
    assert [link for link in local if not (path.parent / link).exists()] == []


@each_notebook
def test_the_checks_are_imported_in_a_cell_of_their_own(path):
    cells = code_cells(exercise_sections(read_notebook(path)))
    (cell,) = (c for c in cells if "from minioneformer.exercises." in source_of(c))
    assert "def " not in source_of(cell)  # else a slip in the first exercise costs all of them
