"""The learner's version of a notebook: the solutions taken out, the statements kept.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

In the notebooks of the repository the solution of an exercise stands between two comment lines,
`# solution` and `# end of solution`. The learner's version has one line there,
`raise NotImplementedError("your turn")`, and no outputs. It lies wherever a learner puts it, so its
links to files of the repository lead to the web.

Not here: running notebooks (`exercises/execute.py`), checking a solution (`exercises/checking.py`).
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

from minioneformer.atomic import write_bytes_atomically
from minioneformer.exercises.checking import YOUR_TURN

Notebook = dict[str, Any]  # as JSON has it

REPOSITORY = "https://github.com/minioneformer/minioneformer/blob/main"
BEGIN, FINISH = "# solution", "# end of solution"
SOLUTION = re.compile(rf"^( *){BEGIN}\n.*?^\1{FINISH}$", re.MULTILINE | re.DOTALL)


def read_notebook(path: str | Path) -> Notebook:
    """Read a notebook as it is.

    Args:
        path: Of an `.ipynb` file.

    Returns:
        Its JSON.

    Raises:
        ValueError: If it is no notebook with cells.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"no JSON, so no notebook or a part of one ({error}), got {path}."
        ) from None
    if not isinstance(content, dict) or "cells" not in content:
        raise ValueError(f"a notebook is a JSON object with cells, got path={str(path)!r}.")
    return content


def source_of(cell: dict[str, Any]) -> str:
    """The text of a cell, which files hold as one string or as lines.

    Args:
        cell: Of a notebook.

    Returns:
        One string.
    """
    return "".join(cell["source"])


def write_notebook(notebook: Notebook, path: str | Path) -> Path:
    """Write a notebook, whole or not at all.

    Args:
        notebook: Its JSON.
        path: Missing folders are made, an old file is replaced.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    write_bytes_atomically(path, text.encode())
    return path


def remove_solutions(source: str) -> str:
    """Take the solutions out of the source of a cell.

    Args:
        source: Of a code cell.

    Returns:
        The same where no solution is marked.

    Raises:
        ValueError: If a mark has no partner, or its partner is indented otherwise.

    Example:
        Of the three lines `# solution`, `return 1`, `# end of solution` the middle one becomes
        `raise NotImplementedError("your turn")`.
    """
    removed, count = SOLUTION.subn(
        rf'\1{BEGIN}\n\1raise NotImplementedError("{YOUR_TURN}")\n\1{FINISH}', source
    )
    marks = [line.strip() for line in source.splitlines()]
    if marks.count(BEGIN) != count or marks.count(FINISH) != count:
        raise ValueError(
            f"every line `{BEGIN}` needs a line `{FINISH}` below it, as far to the right, got "
            f"source={source!r}."
        )
    return removed


def learner_version(notebook: Notebook) -> Notebook:
    """Take out solutions and outputs; lead links out of the folder to the web.

    Args:
        notebook: With its solutions; it is left as it is.

    Returns:
        What a learner starts from.

    Raises:
        ValueError: As `remove_solutions`.
    """
    result = copy.deepcopy(notebook)
    for cell in result["cells"]:
        if cell["cell_type"] == "code":
            lines = remove_solutions(source_of(cell)).splitlines(keepends=True)
            cell |= {"source": lines, "outputs": [], "execution_count": None}
        else:
            text = source_of(cell).replace("](../", f"]({REPOSITORY}/")
            cell["source"] = text.splitlines(keepends=True)
    return result


def write_learner_versions(folder: str | Path, target: str | Path) -> list[Path]:
    """Write the learner's version of every notebook of a folder.

    Args:
        folder: Of the notebooks.
        target: Another folder; made if missing.

    Returns:
        The files that were written, in the order of their names.

    Raises:
        ValueError: If there is no notebook, or both folders are the same, which would delete
            the solutions; as `remove_solutions`.
    """
    folder, target = Path(folder), Path(target)
    paths = sorted(folder.glob("*.ipynb"))
    if not paths or folder.resolve() == target.resolve():
        raise ValueError(
            f"needed are a folder with notebooks and another one to write to, got "
            f"folder={str(folder)!r}, target={str(target)!r}."
        )
    return [
        write_notebook(learner_version(read_notebook(path)), target / path.name) for path in paths
    ]
