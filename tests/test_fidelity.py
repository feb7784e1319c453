"""docs/fidelity.md: every difference names a test that exists.

Mutants that must fail: a renamed test; a row without a test; a test that is named twice.
"""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "fidelity.md"
HEADER = ["what", "paper", "official code", "transformers 5.23", "here", "test"]


def table() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


ROWS = [row for row in table()[2:] if not row[0].startswith("**")]


def test_there_is_one_table_with_a_column_for_each_source():
    header, rule, *rows = table()
    assert header == HEADER
    assert set(rule) == {"---"}
    assert {len(row) for row in rows} == {len(HEADER)}
    assert len(ROWS) > 50


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_difference_is_held_by_a_test(row):
    name, *sources, ours, test = row
    assert all([name, *sources, ours])
    (path, function) = re.fullmatch(r"`([\w/]+\.py)::(test_\w+)`", test).groups()
    tree = ast.parse((ROOT / "tests" / path).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_row_is_there_twice_and_no_test_holds_two():
    assert [name for name, count in Counter(row[0] for row in ROWS).items() if count > 1] == []
    assert [test for test, count in Counter(row[-1] for row in ROWS).items() if count > 1] == []


def test_files_with_a_fidelity_section_have_a_row():
    """A docstring that states a difference is in the table by way of its file's tests."""
    tested = {row[-1].split("::")[0].strip("`") for row in ROWS}
    stating = []
    for path in sorted((ROOT / "minioneformer").rglob("*.py")):
        if re.search(r"^ +Fidelity:$", path.read_text(), re.MULTILINE):
            relative = path.relative_to(ROOT / "minioneformer")
            stating.append(str(relative.with_name(f"test_{relative.name}")))
    assert stating
    elsewhere = {
        "backbone/test_swin.py",
        "decoder/test_prediction_heads.py",  # its norm: test_model.py
        "inference/test_semantic.py",  # votes at the size of the image: test_predictor.py
        "training/test_failure.py",  # test_trainer.py
    }
    assert set(stating) - tested - elsewhere == set()
