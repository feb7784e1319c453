"""Hook: Figure 2 stands in the pages as SVG, so that its boxes can be clicked.

Its links lead to the pages of the files, and its colours follow the switch of the site between
light and dark, where the file follows the browser.
"""

from __future__ import annotations

import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url
from repository import ROOT, page_of

FIGURE = "assets/figure2.svg"
IMAGE = re.compile(r'<p>(?:<a [^>]*>)?<img [^>]*src="[^"]*figure2\.svg"[^>]*>(?:</a>)?</p>')
DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{\n(.*?)\n  \}\n", re.DOTALL)
RULE = re.compile(r"^( *)([^\s{}][^{}]*)\{", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Keep the file as well, with links to the pages."""
    files.remove(files.get_file_from_path(FIGURE))
    drawing = with_links((ROOT / "docs" / FIGURE).read_text(), "assets/")
    files.append(File.generated(config, FIGURE, content=drawing))
    return files


def on_page_content(content: str, page: Page, **_: object) -> str:
    """Put the drawing in the place of the image."""
    if not IMAGE.search(content):
        return content
    drawing = with_links((ROOT / "docs" / FIGURE).read_text(), page.url)
    figure = f'<div class="figure2">{with_own_style(drawing)}</div>'
    return IMAGE.sub(lambda _: figure, content)


def with_links(drawing: str, url: str) -> str:
    """Lead its boxes to pages, as seen from a place of the site."""

    def linked(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs/assets", match[1]))
        target = page_of(path)
        name = target.removesuffix(".md") + "/" if target else ""
        return f'href="{get_relative_url(name, url)}"'

    return re.sub(r'(?<=<a )href="([^"]+)"', linked, drawing)


def with_own_style(drawing: str) -> str:
    """Keep its style from the rest of the page."""
    style = re.search(r"<style>(.*?)</style>", drawing, re.DOTALL)
    dark = DARK.search(style[1])
    light_rules = scoped(style[1].replace(dark[0], ""), ".figure2")
    dark_rules = scoped(dark[1], '[data-md-color-scheme="slate"] .figure2')
    return drawing.replace(style[0], f"<style>{light_rules}{dark_rules}</style>")


def scoped(rules: str, scope: str) -> str:
    """Put a selector before each selector of a style sheet."""

    def with_scope(match: re.Match[str]) -> str:
        selectors = [f"{scope} {selector.strip()}" for selector in match[2].split(",")]
        return f"{match[1]}{', '.join(selectors)} {{"

    return RULE.sub(with_scope, rules)
