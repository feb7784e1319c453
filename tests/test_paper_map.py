"""docs/paper_map.md and docs/assets/figure2.svg say what is there.

Mutants that must fail: a renamed class; a row with another section; a box that the docstring
does not name; a link to a file that is not there; a notebook that was renamed.
"""

import ast
import importlib
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minioneformer"
MAP = ROOT / "docs" / "paper_map.md"
FIGURE = ROOT / "docs" / "assets" / "figure2.svg"
PANELS = ("(a)", "(b)", "(c)")


def table_rows(columns: int) -> list[list[str]]:
    """Cells of each row of the tables with that many columns, headers left out."""
    lines = [line for line in MAP.read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [r for r in rows if len(r) == columns and "file · name" not in r and r[0] != "---"]


def file_and_names(cell: str) -> tuple[str, list[str]]:
    path, names = cell.split(" · ")
    return re.findall(r"`([^`]+)`", path)[0], re.findall(r"`([^`]+)`", names)


def docstring(path: Path) -> str:
    return " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())


ROWS = table_rows(6)
EQUATIONS = table_rows(3)


def test_every_box_of_the_figure_has_a_row():
    assert len(ROWS) == len({file_and_names(row[2])[0] for row in ROWS})
    assert {row[0][:3] for row in ROWS} == {*PANELS, "(no"}
    assert len(EQUATIONS) == 4


@pytest.mark.parametrize("row", ROWS, ids=lambda row: file_and_names(row[2])[0])
def test_a_row_names_what_is_there_and_its_docstring_agrees(row):
    box, _, where, section, test, notebook = row
    path, names = file_and_names(where)
    module = importlib.import_module(f"minioneformer.{path[:-3].replace('/', '.')}")
    for name in names:
        assert getattr(module, name).__module__ == module.__name__
    assert (ROOT / "tests" / re.findall(r"`([^`]+)`", test)[0]).is_file()
    lesson = re.fullmatch(r"\[(\d\d)\]\((\.\./notebooks/\1_\w+\.ipynb)\)", notebook)
    assert notebook == "-" or (MAP.parent / lesson[2]).is_file()

    text = docstring(PACKAGE / path)
    paper = text[text.index("Paper:") :]
    assert "arXiv 2211.06220" in paper
    assert f"Sec. {section}" in paper or f"and {section}" in paper
    if box == "(not drawn)":
        assert re.search(r"not drawn|after Figure 2", paper)
        return
    panel, boxes = box[:3], box[4:]
    assert f"Figure 2 {panel}" in paper or f"Figure 2{panel}" in paper
    for name in boxes.split(", "):
        assert f'"{name}"' in paper, name


@pytest.mark.parametrize("row", EQUATIONS, ids=lambda row: row[0])
def test_an_equation_is_cited_and_tested_where_the_map_says(row):
    cited, where, test = row
    path, (name,) = file_and_names(where)
    assert cited.split(",")[0] in docstring(PACKAGE / path)
    assert re.search(rf"^(class|def) {name}\(", (PACKAGE / path).read_text(), re.MULTILINE)
    folder, file = path.split("/")
    assert f"def {test.strip('`')}(" in (ROOT / "tests" / folder / f"test_{file}").read_text()


def test_links_of_the_map_lead_to_files():
    links = re.findall(r"\]\(([^)#]+)\)", MAP.read_text())
    local = [link for link in links if not link.startswith("https://")]
    assert len(local) > 2 * len(ROWS)
    assert [link for link in local if not (MAP.parent / link).exists()] == []


def test_boxes_of_the_drawing_link_to_the_files_they_name():
    svg = "{http://www.w3.org/2000/svg}"
    drawing = ElementTree.parse(FIGURE).getroot()
    links = drawing.findall(f".//{svg}a")
    boxes = [link for link in links if link.get("class") != "lesson"]
    drawn = set()
    for box in boxes:
        label = next(t.text for t in box.iter(f"{svg}text") if "file" in t.attrib["class"])
        target = (FIGURE.parent / box.attrib["href"]).resolve()
        assert target.is_file() and target == PACKAGE / label
        drawn.add(label)
    assert len(drawn) == len(boxes)

    mapped = {file_and_names(row[2])[0]: row[0] for row in ROWS}
    assert drawn - {"pixels.py"} <= set(mapped)
    # parts of a box that have files of their own, and other backbones, are in the table, not in
    # the drawing
    parts = {
        "backbone/convnext.py",
        "backbone/resnet.py",
        "backbone/dinat.py",
        "backbone/neighborhood_attention.py",
        "pixel_decoder/encoder.py",
        "pixel_decoder/ms_deform_attn.py",
        "text/words.py",
        "text/bpe_training.py",
        "text/text_encoder.py",
    }
    assert {path for path, box in mapped.items() if box[:3] in PANELS} - parts <= drawn


def test_numbers_in_the_drawing_link_to_the_notebooks_of_the_box_before():
    svg = "{http://www.w3.org/2000/svg}"
    title = {file_and_names(row[2])[0]: row[0].partition(",")[0] for row in ROWS}
    notebooks = {(row[0].partition(",")[0], row[5].rpartition("/")[2].rstrip(")")) for row in ROWS}
    drawn, box = 0, ""
    for link in ElementTree.parse(FIGURE).getroot().findall(f".//{svg}a"):
        texts = [text.text for text in link.iter(f"{svg}text")]
        if link.get("class") != "lesson":
            box = texts[-1]
            continue
        drawn += 1
        target = (FIGURE.parent / link.attrib["href"]).resolve()
        assert target.is_file() and target.name.startswith(f"{texts[0]}_")
        assert box == "pixels.py" or (title[box], target.name) in notebooks
    assert drawn >= 20


def test_the_drawing_can_be_read_on_dark_pages():
    text = FIGURE.read_text()
    assert "prefers-color-scheme: dark" in text
    assert 'class="page"' in text  # a background of its own
    assert FIGURE.stat().st_size < 30_000
