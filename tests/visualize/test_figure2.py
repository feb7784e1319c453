"""Figure 2 with a box lit."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from minioneformer.visualize.figure2 import figure2, figure2_boxes

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def lit_boxes(svg: str) -> list[str]:
    groups = ET.fromstring(svg).iter(f"{SVG}g")
    return [g.find(f"{SVG}text").text for g in groups if g.get("class") == "lit"]


def test_the_package_has_the_drawing_of_the_docs():
    packaged = ROOT / "minioneformer" / "assets" / "figure2.svg"
    assert packaged.read_bytes() == (ROOT / "docs" / "assets" / "figure2.svg").read_bytes()


def test_the_boxes_asked_for_are_lit_and_no_other():
    assert lit_boxes(figure2("Tokenize").svg) == ["Tokenize"]
    assert lit_boxes(figure2("MLP", "CA, SA, FFN").svg) == ["MLP", "CA, SA, FFN"]
    assert lit_boxes(figure2().svg) == []


def test_every_box_can_be_lit():
    boxes = figure2_boxes()
    assert len(boxes) == len(set(boxes)) == 20
    assert lit_boxes(figure2(*boxes).svg) == list(boxes)


def test_a_notebook_shows_it_without_links_that_lead_nowhere():
    drawing = figure2("Image")
    assert drawing._repr_svg_() == drawing.svg
    assert "<a " not in drawing.svg and "href" not in drawing.svg


def test_an_unknown_box_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"no box 'Tokenise', got lit=.*Did you mean 'Tokenize'"):
        figure2("Tokenise")
