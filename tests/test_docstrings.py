"""Every module says what it is in the paper, and what one would look for in it in vain.

Mutants that must fail: a module without a "Paper:" line; a docstring that names a file that was
moved.
"""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "minioneformer"
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.stem not in ("__init__", "__main__")
)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_where_it_stands_in_the_paper_and_what_it_is_not(path):
    text = docstring(path)
    lines = text.splitlines()
    assert lines[0].endswith((".", "`."))
    assert [line for line in lines if line.startswith("Paper: ")] != []
    assert "arXiv 2211.06220" in text
    assert [line for line in lines if line.startswith("Not here: ")] != []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_that_a_docstring_names_are_there(path):
    named = re.findall(r"`([\w/]+(?:\.py|/))`", path.read_text())
    lost = [
        name
        for name in named
        if not any((folder / name).exists() for folder in (PACKAGE, path.parent, PACKAGE.parent))
    ]
    assert lost == []
