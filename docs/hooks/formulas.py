r"""Hook: formulas become MathML when the site is built.

Browsers draw it without a script and without a network.
"""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_: object) -> str:
    """Replace what arithmatex marks, in pages and in docstrings."""
    return FORMULA.sub(drawn, content)


def drawn(match: re.Match[str]) -> str:
    """MathML of one formula."""
    kind, latex = match[1], html.unescape(match[2])
    display = "inline" if kind == "span" else "block"
    return f'<{kind} class="formula">{convert(latex, display=display)}</{kind}>'
