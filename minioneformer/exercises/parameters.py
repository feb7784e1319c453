"""The full form of a notebook: other values for the names of its cell of parameters.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Some notebooks do by default what a laptop can do, and in their full form what GPUs and real data
sets can. Which form, and how large, stands in one code cell with the tag `parameters`, which holds
lines `NAME = value`.

Not here: running a notebook (`exercises/execute.py`).
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Sequence

from minioneformer.exercises.learner import Notebook, source_of

ASSIGNMENT = re.compile(r"(?P<name>[A-Z_]+) = ")


def parameters_cell(notebook: Notebook) -> int | None:
    """Find the cell of parameters.

    Args:
        notebook: Any version of it.

    Returns:
        Its position; None if there is none.
    """
    tagged = (
        position
        for position, cell in enumerate(notebook["cells"])
        if "parameters" in cell["metadata"].get("tags", ())
    )
    return next(tagged, None)


def set_parameters(notebook: Notebook, words: Sequence[str]) -> Notebook:
    """Give parameters other values.

    Args:
        notebook: Left as it is.
        words: Each `NAME=value`, the value as Python writes it.

    Returns:
        A notebook in which those lines are changed.

    Raises:
        ValueError: If a word is no assignment of a Python literal, or the notebook has no such
            parameter.

    Example:
        `set_parameters(notebook, ["FULL=True"])` makes of the line `FULL = False` the line
        `FULL = True`.
    """
    result = copy.deepcopy(notebook)
    position = parameters_cell(notebook)
    for word in words:
        name, value = _read(word)
        lines = [] if position is None else source_of(result["cells"][position]).splitlines(True)
        names = [match["name"] for match in map(ASSIGNMENT.match, lines) if match]
        if name not in names:
            raise ValueError(
                f"the notebook has no parameter {name!r}, got {word!r}. It has: "
                f"{', '.join(names) or 'none'}."
            )
        changed = [f"{name} = {value!r}\n" if x.startswith(f"{name} = ") else x for x in lines]
        result["cells"][position]["source"] = changed
    return result


def _read(word: str) -> tuple[str, object]:
    name, _, text = word.partition("=")
    try:
        return name.strip(), ast.literal_eval(text.strip())
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"a parameter is set by NAME=value, the value a Python literal (texts in quotes), "
            f"got {word!r}."
        ) from error
