"""Hook: pages that are made when the site is built, so that nothing stands in the repository twice.

The API reference (a page per module of the package), the notebooks, the changelog, how to
contribute, and the source of other files that pages link to.
"""

from __future__ import annotations

import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url
from notebook_pages import notebook_page, notebooks, title
from repository import (
    PACKAGE,
    PAGES,
    ROOT,
    folders,
    linked_files,
    modules,
    origin_of,
    page_of,
    public_names,
    rewrite_links,
    summary,
)

FILE_NAME = re.compile(r"<(a|h\d)\b.*?</\1>|<code>([\w/]+\.py)</code>", re.DOTALL)
ROOMY = {"index.md": ["navigation", "toc"], "paper_map.md": ["toc"], "fidelity.md": ["toc"]}
SOURCE = '<details class="mkdocstrings-source">'
COPIED = ("CHANGELOG.md", "CONTRIBUTING.md", "notebooks/README.md")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the navigation: the notebooks, and a section per folder of the package."""
    modules.cache_clear()  # `mkdocs serve` builds again when there is another one
    folders.cache_clear()
    tree: list[object] = ["api/index.md"]
    tree += [{path: page_of(f"minioneformer/{path}")} for path in modules() if "/" not in path]
    for folder in folders():
        inside = [path for path in modules() if posixpath.dirname(path) == folder]
        pages = [{posixpath.basename(p): page_of(f"minioneformer/{p}")} for p in inside]
        tree.append({f"{folder}/": [f"api/{folder}/index.md", *pages]})
    for section in config.nav or []:
        if isinstance(section, dict) and "API reference" in section:
            section["API reference"] = tree
        if isinstance(section, dict) and "Notebooks" in section:
            lessons = [{title(path): page_of(path)} for path in notebooks()]
            section["Notebooks"] = ["notebooks/index.md", *lessons, {"For teachers": "teaching.md"}]
    config.watch += [str(PACKAGE), str(ROOT / "notebooks"), *(str(ROOT / path) for path in COPIED)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    made = {"api/index.md": index_page()}
    made |= {f"api/{folder}/index.md": folder_page(folder) for folder in folders()}
    made |= {page_of(f"minioneformer/{path}"): module_page(path) for path in modules()}
    made |= {PAGES[path]: (ROOT / path).read_text() for path in COPIED}
    for path in notebooks():
        made[page_of(path)], pictures = notebook_page(path)
        for name, picture in pictures.items():
            files.append(File.generated(config, name, content=picture))
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    for path in sorted(files_without_page(files)):
        text = source_page(path)
        level = InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, f"source/{path}.md", content=text, inclusion=level))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lead links to files of the repository to their pages; give the wide figure room."""
    uri = page.file.src_uri
    if uri in ROOMY:
        page.meta["hide"] = ROOMY[uri]
    if uri.startswith("source/"):
        page.meta["search"] = {"exclude": True}
    return rewrite_links(markdown, origin_of(uri), uri)


def on_page_content(content: str, page: Page, files: Files, **_: object) -> str:
    """Lead names of files of the package, `losses/matcher.py`, to their pages."""
    paths = set(modules())

    def linked(match: re.Match[str]) -> str:
        if match[2] not in paths:
            return match[0]
        target = files.get_file_from_path(page_of(f"minioneformer/{match[2]}") or "")
        return f'<a href="{get_relative_url(target.url, page.url)}">{match[0]}</a>'

    # The search finds what is documented, not each line of code.
    content = content.replace(SOURCE, SOURCE[:-1] + " data-search-exclude>")
    return FILE_NAME.sub(linked, content)


def files_without_page(files: Files) -> set[str]:
    """Files of the repository that some page links to and that are neither docs nor package."""
    pages = [file for file in files if file.is_documentation_page()]
    linked = set().union(
        *(
            linked_files(file.content_string, origin_of(file.src_uri))
            for file in pages
            if not file.src_uri.startswith("api/")
        )
    )
    return {path for path in linked if (page_of(path) or "").startswith("source/")}


def module_page(path: str) -> str:
    """Title and docstrings of a module."""
    name = path.removesuffix(".py").replace("/", ".")
    return f"# {path}\n\n::: minioneformer.{name}\n"


def folder_page(folder: str) -> str:
    """A line per module of a folder."""
    lines = [f"# {folder}/\n", summary(f"{folder}/__init__.py"), "\n| module | |\n| --- | --- |"]
    inside = [path for path in modules() if posixpath.dirname(path) == folder]
    lines += [module_row(path, posixpath.basename(path)) for path in inside]
    return "\n".join(lines) + "\n"


def index_page() -> str:
    """The public names, then the folders and the modules beside them."""
    lines = [
        "# API reference\n",
        "A page per module, with its source. What `import minioneformer` offers:\n",
        "| name | module | |\n| --- | --- | --- |",
    ]
    for name, module in public_names().items():
        path = module.removeprefix("minioneformer.").replace(".", "/")
        anchor = f"[`{name}`]({path}.md#{module}.{name})"
        lines.append(f"| {anchor} | `{path}.py` | {summary(f'{path}.py')} |")
    lines += ["\nAll modules:\n", "| folder or module | |\n| --- | --- |"]
    lines += [
        f"| [{folder}/]({folder}/index.md) | {summary(f'{folder}/__init__.py')} |"
        for folder in folders()
    ]
    lines += [module_row(path, path) for path in modules() if "/" not in path]
    return "\n".join(lines) + "\n"


def module_row(path: str, target: str) -> str:
    """A row of a table: link to a module, what it is."""
    return f"| [{target}]({target.removesuffix('.py')}.md) | {summary(path)} |"


def source_page(path: str) -> str:
    """The text of a file of the repository."""
    language = "python" if path.endswith(".py") else "text"
    fence = "`" * 6
    return f"# {path}\n\n{fence}{language}\n{(ROOT / path).read_text()}{fence}\n"
