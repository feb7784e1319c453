"""The site: it builds without a warning, names everything public, leads nowhere in vain.

Needs the extra `docs`; what a reader sees is looked at in Debian's Chromium, where it is installed.

Mutants that must fail: a link to a page that was renamed; a class without a page; a font from
elsewhere; a formula that stays LaTeX; a wide table that makes the page scroll.
"""

import ast
import functools
import html
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import pytest

import minioneformer

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "minioneformer"
BASE = "https://site/"
WIDE, NARROW = (1280, 900), (390, 844)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; `--strict` makes every warning an error."""
    for name in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(name, reason="needs the extra `docs`")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, str]:
    """From address to text of each page."""
    paths = [path for path in site.rglob("*.html") if path.name != "404.html"]
    return {
        f"{path.relative_to(site)}".removesuffix("index.html"): path.read_text() for path in paths
    }


def public_names(path: Path) -> list[str]:
    """Classes and functions that a module defines for others."""
    tree = ast.parse(path.read_text())
    defined = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return [node.name for node in defined if not node.name.startswith("_")]


def ids(page: str) -> set[str]:
    return {html.unescape(found) for found in re.findall(r'\sid="([^"]*)"', page)}


def test_every_public_name_of_every_module_is_in_the_reference(pages):
    missing = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE).with_suffix("")
        if relative.name.startswith("__"):
            continue
        there = ids(pages[f"api/{relative.as_posix()}/"])
        module = ".".join(("minioneformer", *relative.parts))
        missing += [f"{module}.{n}" for n in public_names(path) if f"{module}.{n}" not in there]
    assert missing == []


def exported(path: Path) -> list[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []


def test_every_exported_name_is_in_the_reference(pages):
    """Those of `__all__` in the package and in its folders, constants included."""
    everything = set().union(*(ids(page) for url, page in pages.items() if url.startswith("api/")))
    documented = {name.rpartition(".")[2] for name in everything}
    names = {name for path in PACKAGE.rglob("__init__.py") for name in exported(path)}
    assert set(minioneformer.__all__) <= names
    assert names - documented == set()


def test_the_index_leads_from_each_name_of_the_package_to_its_docstring(pages):
    index = pages["api/"]
    for name in minioneformer.__all__:
        (link,) = re.findall(rf'<a href="([^"]+)"><code>{name}</code></a>', index)
        url, _, anchor = urljoin(BASE + "api/", link).removeprefix(BASE).partition("#")
        assert anchor in ids(pages[url])
        docstring = getattr(minioneformer, name).__doc__ if name != "TASKS" else None
        if docstring is not None:
            first_words = re.split(r"[`$\".,:;()<>]", docstring.strip())[0].split()[:4]
            assert " ".join(first_words) in " ".join(pages[url].split())


def test_links_lead_to_pages_and_places_that_are_there(site, pages):
    places = {url: ids(page) for url, page in pages.items()}
    lost = []
    for url, page in pages.items():
        for link in set(re.findall(r'\s(?:href|src)="([^"]*)"', page)):
            target, _, anchor = urljoin(BASE + url, html.unescape(link)).partition("#")
            if not target.startswith(BASE):
                continue
            path = unquote(target.removeprefix(BASE))
            there = path in pages or (site / path).is_file()
            if not there or (anchor and path in places and unquote(anchor) not in places[path]):
                lost.append((url, link))
    assert lost == []


def test_nothing_is_loaded_from_elsewhere(site, pages):
    loaded = [
        (url, tag)
        for url, page in pages.items()
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", page)
        if re.search(r'(?:src|href)="(?:https?:)?//', tag) and 'rel="canonical"' not in tag
    ]
    assert loaded == []
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)\s]*", styles) == []


def test_formulas_are_drawn_by_the_browser_alone(pages):
    assert pages["api/losses/contrastive/"].count("<math") >= 4
    assert pages["glossary/"].count("<math") > 10
    assert [url for url, page in pages.items() if "arithmatex" in page] == []


def test_the_figure_leads_to_the_pages_of_its_files(pages):
    for url in ("", "paper_map/"):
        figure = re.search(r'<div class="figure2">.*?</svg>', pages[url], re.DOTALL)[0]
        links = re.findall(r'<a href="([^"]+)"', figure)
        assert len(links) == (ROOT / "docs/assets/figure2.svg").read_text().count("<a href=")
        assert all(urljoin(BASE + url, link).removeprefix(BASE) in pages for link in links)


def test_every_notebook_is_a_page_with_its_pictures(pages):
    """The link test holds that the pictures are there."""
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        page = pages[f"notebooks/{path.stem}/"]
        outputs = path.read_text().count('"image/png": ') + path.read_text().count(
            '"image/svg+xml"'
        )
        assert page.count('alt="what the cell above gives"') == outputs > 0


def test_docs_hold_no_second_copy_of_a_file_of_the_repository():
    names = {path.name for path in (ROOT / "docs").rglob("*.md")}
    assert names & {"changelog.md", "CHANGELOG.md", "contributing.md", "CONTRIBUTING.md"} == set()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `docs`")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(params=[(WIDE, "light"), (NARROW, "dark")], ids=["wide, light", "narrow, dark"])
def view(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    """An empty page that notes whatever goes wrong; nothing may."""
    (width, height), scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, base_url=address
    )
    page, wrong = context.new_page(), []
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    local = (address, "data:", "blob:")
    page.on("request", lambda r: r.url.startswith(local) or wrong.append(f"elsewhere: {r.url}"))
    yield page
    context.close()
    assert wrong == []


def assert_fits(page: Any) -> None:
    """Wide things scroll by themselves, the page does not."""
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")


@pytest.mark.parametrize(
    ("url", "title", "shown"),
    [
        ("", "minioneformer", ".figure2 svg"),
        ("guides/recipes/", "Recipes", "table"),
        ("paper_map/", "Read the paper with us", "table math"),
        ("notebooks/00_tour/", "00 · Tour: one image, three tasks, one model", "article img"),
        ("api/losses/contrastive/", "losses/contrastive.py", "math"),
    ],
    ids=["home", "guide", "paper map", "notebook", "API"],
)
def test_a_page_is_shown_and_fits(view, url, title, shown):
    view.goto(url)
    assert view.locator("h1").first.inner_text().strip("¶\n ") == title
    box = view.locator(shown).first.bounding_box()
    assert min(box["width"], box["height"]) > 5
    assert_fits(view)


def test_a_box_of_the_figure_can_be_clicked(view):
    view.goto("")
    view.locator(".figure2 a", has_text="losses/contrastive.py").click()
    view.wait_for_url("**/api/losses/contrastive/")
    assert "query_text_contrastive_loss" in view.locator("article").inner_text()


def test_the_search_finds_a_function(view):
    view.goto("glossary/")
    if view.viewport_size["width"] < WIDE[0]:
        view.locator("label.md-header__button[for=__search]").click()
    view.locator("input.md-search__input").press_sequentially("query_text_contrastive")
    found = 'a.md-search-result__link[href*="api/losses/contrastive/"]'
    view.locator(found).first.wait_for()  # results change with every letter


def test_the_colours_follow_the_reader(view):
    view.goto("")
    scheme = view.locator("body").get_attribute("data-md-color-scheme")
    box = "getComputedStyle(document.querySelector('.figure2 .page')).fill"
    light = view.evaluate("matchMedia('(prefers-color-scheme: light)').matches")
    assert scheme == ("default" if light else "slate")
    assert view.evaluate(box) == ("rgb(255, 255, 255)" if light else "rgb(18, 23, 30)")
