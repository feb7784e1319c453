"""README.md and the guides: their Python runs, their files and links are there.

Mutants that must fail: a renamed function in a block; a module that no list names; a broken link.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PACKAGE = ROOT / "minioneformer"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
EXECUTED = [page for page in PAGES if "```python" in page.read_text()]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", EXECUTED, ids=name_of)
def test_every_python_block_of_a_page_runs(page, tmp_path, monkeypatch):
    """In order, in one namespace and in an empty folder."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(blocks(page, "python"), start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)


def test_readme_and_guides_have_python():
    guides = {ROOT / "docs" / "guides" / f"{name}.md" for name in ("toy", "own_data")}
    assert {README, *guides} <= set(EXECUTED)


def test_the_shapes_that_the_readme_promises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(README, "python")
    namespace: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), namespace)
    height, width = namespace["sample"].segment_map.shape
    assert namespace["semantic"].label_map.shape == (height, width)
    assert namespace["instance"].masks.shape[1:] == (height, width)
    assert namespace["instance"].scores.diff().le(0).all()
    assert namespace["panoptic"].segment_map.shape == (height, width)
    assert len(namespace["panoptic"].segments) > 1  # the model that ships finds something
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_first_screen_says_what_for_whom_and_how():
    lines = README.read_text().splitlines()[:30]
    assert lines[0] == "# minioneformer"
    screen = "\n".join(lines)
    for needed in ("figure2.svg", "make demo", "make test", "```python", "It is not"):
        assert needed in screen


def test_every_file_that_the_readme_lists_is_there_and_every_module_is_named():
    listed = re.findall(r"`([\w/]+\.py)`", README.read_text().partition("## The files")[2])
    tests = [path for path in listed if path.startswith("tests/")]
    missing = [path for path in listed if not (PACKAGE / path).is_file() and path not in tests]
    assert missing == []
    assert all((ROOT / path).is_file() for path in tests)
    named = set(listed) | set(
        re.findall(r"`([\w/]+\.py)`", (ROOT / "docs" / "paper_map.md").read_text())
    )
    modules = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")}
    unnamed = {m for m in modules if Path(m).stem not in ("__init__", "__main__")} - named
    assert unnamed == set()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    local = [link.partition("#")[0] for link in links if not link.startswith("https://")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_contributing_stays_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 80
