"""The sentence that tells the model which task is wanted.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), box "the task is {task}".

Not here: its token ids (`text/tokenizer.py`), their encoding (`text/task_mlp.py`).
"""

from __future__ import annotations

import difflib

from minioneformer.structures import TASKS, Task


def check_task(task: str) -> Task:
    """Return the task if there is such a task.

    Args:
        task: What a user wrote.

    Returns:
        The same word.

    Raises:
        ValueError: If it is none of the three; the nearest one is named.
    """
    for known in TASKS:
        if task == known:
            return known
    near = difflib.get_close_matches(task.strip().lower(), TASKS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task=}.{hint}")


def task_prompt(task: str) -> str:
    r"""Write $I_\text{task}$.

    Args:
        task: "semantic", "instance" or "panoptic".

    Returns:
        The prompt.

    Raises:
        ValueError: If there is no such task.

    Example:
        `task_prompt("panoptic")` is `"the task is panoptic"`.

    Fidelity:
        Official code: starts with a capital letter; the tokenizer lowers it, the ids are equal.
    """
    return f"the task is {check_task(task)}"
