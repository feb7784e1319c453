"""Where a file of the repository is found on the site.

Pages of `docs/` link to files as GitHub shows them (`../minioneformer/model.py`); on the site those
links lead to the page about that file. Not a hook of its own: the others import it.
"""

from __future__ import annotations

import ast
import functools
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "minioneformer"
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "minioneformer/__init__.py": "api/index.md",
    "notebooks/README.md": "notebooks/index.md",
}


@functools.cache
def modules() -> list[str]:
    """Return the modules of the package as paths, `losses/matcher.py`, without `__init__.py`."""
    paths = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
    return [path for path in paths if Path(path).stem not in ("__init__", "__main__")]


@functools.cache
def folders() -> list[str]:
    """Return the folders of the package that hold modules, `losses`."""
    return sorted({posixpath.dirname(path) for path in modules()} - {""})


def summary(path: str) -> str:
    """Return the first paragraph of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse((PACKAGE / path).read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split())


def public_names() -> dict[str, str]:
    """Return what `import minioneformer` offers: from name to the module that it comes from."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    found = {alias.name: node.module or "" for node in imports for alias in node.names}
    return {name: _defining_module(module, name) for name, module in sorted(found.items())}


def _defining_module(module: str, name: str) -> str:
    """Follow a name through the `__init__.py` of a folder to where it is defined."""
    init = ROOT / module.replace(".", "/") / "__init__.py"
    if not init.is_file():
        return module
    for node in ast.parse(init.read_text()).body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return _defining_module(node.module or "", name)
    raise ValueError(f"{init} does not import the name, got {name=}.")


def page_of(path: str) -> str | None:
    """Return the page about a file of the repository, or None if that file has no page.

    Args:
        path: Relative to the root of the repository.

    Example:
        "minioneformer/model.py" gives "api/model.md".
    """
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.startswith("notebooks/") and path.endswith(".ipynb") and (ROOT / path).is_file():
        return f"{path.removesuffix('.ipynb')}.md"
    inside = path.removeprefix("minioneformer/").removesuffix("/__init__.py").rstrip("/")
    if path.startswith("minioneformer/") and inside in modules():
        return f"api/{inside.removesuffix('.py')}.md"
    if path.startswith("minioneformer/") and inside in folders():
        return f"api/{inside}/index.md"
    return f"source/{path}.md" if (ROOT / path).is_file() else None


def origin_of(page: str) -> str:
    """Return the file of the repository that a page is made of, if it is made of one.

    Args:
        page: Relative to the root of the site.
    """
    by_page = {page: path for path, page in PAGES.items() if path != "README.md"}
    if page.startswith("notebooks/") and page not in by_page:
        return f"{page.removesuffix('.md')}.ipynb"
    return by_page.get(page, f"docs/{page}")


def linked_files(text: str, origin: str) -> set[str]:
    """Return the files of the repository that a page links to."""
    targets = {match[2] for match in LINK.finditer(text) if ":" not in match[2]}
    return {posixpath.normpath(posixpath.join(posixpath.dirname(origin), t)) for t in targets}


def rewrite_links(text: str, origin: str, page: str) -> str:
    """Make links between files of the repository links between pages of the site.

    Args:
        text: Markdown.
        origin: The file that holds it, relative to the root of the repository.
        page: Its page on the site, relative to the site's root.
    """

    def rewritten(match: re.Match[str]) -> str:
        start, target, anchor, end = match.groups(default="")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        new = None if ":" in target else page_of(path)
        if new is None:
            return match[0]
        return f"{start}{posixpath.relpath(new, posixpath.dirname(page) or '.')}{anchor}{end}"

    return LINK.sub(rewritten, text)
