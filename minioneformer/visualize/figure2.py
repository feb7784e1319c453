"""Figure 2 as a drawing in which the boxes of a lesson are lit.

Paper: OneFormer (arXiv 2211.06220); Figure 2, all boxes.

The drawing is `docs/assets/figure2.svg`; the package holds a copy, so that notebooks find it
wherever they run.

Not here: pictures of images and predictions (`visualize/figures.py`).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from importlib import resources

BOX = re.compile(r'<a href="[^"]*">(.*?<text class="name[^>]*>([^<]*)</text>.*?)</a>', re.DOTALL)
LESSON = re.compile(r'<a href="[^"]*" (class="lesson">.*?)</a>')
LIGHT = """  .lit rect { fill: #ffd84d; stroke: #a86f00; stroke-width: 3; }
  .lit text { fill: #1d2733; }
</style>"""


@dataclass(frozen=True)
class Drawing:
    """A picture that notebooks show when it is the last value of a cell.

    Args:
        svg: Its source.
    """

    svg: str = field(repr=False)

    def _repr_svg_(self) -> str:
        return self.svg


def figure2_boxes() -> tuple[str, ...]:
    """The names of the boxes.

    Returns:
        As written in the figure, from top to bottom.
    """
    return tuple(name for _, name in BOX.findall(_source()))


def figure2(*lit: str) -> Drawing:
    """Draw Figure 2, each box with its file and its notebooks; those of this lesson in yellow.

    Args:
        lit: Names of boxes, see `figure2_boxes`; none lights none.

    Returns:
        The drawing, without the links that it has on the site.

    Raises:
        ValueError: If there is no such box.

    Example:
        `figure2("Tokenize")` lights one box.
    """
    boxes = figure2_boxes()
    for name in lit:
        if name not in boxes:
            near = difflib.get_close_matches(name, boxes, n=1) or [boxes[0]]
            raise ValueError(
                f"Figure 2 has no box {name!r}, got {lit=}. Did you mean {near[0]!r}? There are: "
                f"{', '.join(boxes)}."
            )

    def draw(match: re.Match[str]) -> str:
        opening = '<g class="lit">' if match[2] in lit else "<g>"
        return f"{opening}{match[1]}</g>"

    drawing = LESSON.sub(r"<g \1</g>", BOX.sub(draw, _source()))
    return Drawing(drawing.replace("</style>", LIGHT))


def _source() -> str:
    return (resources.files("minioneformer") / "assets" / "figure2.svg").read_text("utf-8")
