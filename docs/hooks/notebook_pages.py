"""Notebooks as pages: text, code and what came out, as committed. Nothing is executed.

Not a hook of its own: `pages.py` imports it.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from repository import ROOT

BADGE = re.compile(r"\[!\[([^\]]*)\]\(https://[^)]*\)\]")  # a picture that others would serve
FENCE = "`" * 6


def notebooks() -> list[str]:
    """Return the notebooks as paths, `notebooks/00_tour.ipynb`."""
    return sorted(f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb"))


def title(path: str) -> str:
    """Return the heading of a notebook."""
    return "".join(_cells(path)[0]["source"]).partition("\n")[0].removeprefix("# ")


def notebook_page(path: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by their place on the site."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in _cells(path):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(BADGE.sub(r"[\1]", text))
            continue
        parts.append(f"{FENCE}python\n{text}\n{FENCE}")
        for output in cell.get("outputs", []):
            name = f"{path.removesuffix('.ipynb')}_{len(pictures) + 1}"
            parts.append(_output(output, name, pictures))
    return "\n\n".join(parts) + "\n", pictures


def _cells(path: str) -> list[dict[str, Any]]:
    return json.loads((ROOT / path).read_text())["cells"]


def _output(output: dict[str, Any], name: str, pictures: dict[str, bytes]) -> str:
    """Markdown of what a cell gave."""
    data = output.get("data", {})
    if "image/svg+xml" in data:
        name, picture = f"{name}.svg", "".join(data["image/svg+xml"]).encode()
    elif "image/png" in data:
        name, picture = f"{name}.png", base64.b64decode("".join(data["image/png"]))
    else:
        text = "".join(output.get("text", data.get("text/plain", "")))
        return f"{FENCE}text\n{text}\n{FENCE}"
    pictures[name] = picture
    return f"![what the cell above gives]({name.rpartition('/')[2]})"
