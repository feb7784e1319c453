"""Running a notebook from the top in a fresh kernel.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Needs the extra `notebooks`.

Not here: what the cells say (`notebooks/`), the learner's version (`exercises/learner.py`).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from minioneformer.exercises.learner import Notebook, source_of

CELL_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A notebook that was run.

    Args:
        notebook: With its outputs.
        seconds: From the start of the kernel to its end.
    """

    notebook: Notebook
    seconds: float


def execute(
    notebook: Notebook,
    folder: str | Path,
    *,
    cell_seconds: int = CELL_SECONDS,
    patient: bool = True,
) -> Execution:
    """Run all cells in order, the others too when one fails.

    Args:
        notebook: Left as it is.
        folder: In which the kernel runs.
        cell_seconds: A cell may take so long.
        patient: Whether a cell that takes longer is an error of the whole run; if not, it alone is
            stopped and fails with KeyboardInterrupt.

    Returns:
        The notebook with its outputs, errors among them, without times and other traces of the
        machine.

    Raises:
        ImportError: If the extra is not installed.
        RuntimeError: If the kernel dies, or a cell takes too long and `patient` is set.
    """
    try:
        import nbclient
        import nbformat
    except ImportError as error:
        raise ImportError(f"{error}. Run: pip install 'minioneformer[notebooks]'.") from error
    begin = time.perf_counter()
    client = nbclient.NotebookClient(
        nbformat.reads(json.dumps(notebook), as_version=4),
        kernel_name="python3",
        timeout=cell_seconds,
        interrupt_on_timeout=not patient,
        startup_timeout=CELL_SECONDS,
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors only, on our standard error
        allow_errors=True,
        record_timing=False,
        coalesce_streams=True,  # else the number of outputs depends on how fast they come
        resources={"metadata": {"path": str(folder)}},
    )
    executed = client.execute()
    seconds = time.perf_counter() - begin
    executed.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    # through its own writer, so that text is cut into lines as in any other notebook
    return Execution(notebook=json.loads(nbformat.writes(executed)), seconds=seconds)


def failed_cells(notebook: Notebook) -> dict[int, str]:
    """Which cells of an executed notebook failed.

    Args:
        notebook: Of `execute`.

    Returns:
        The message of the error, by the position of its cell.
    """
    return {
        position: f"{output['ename']}: {output['evalue']}"
        for position, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == "code"
        for output in cell["outputs"]
        if output["output_type"] == "error"
    }


def check_cells(notebook: Notebook) -> list[int]:
    """The cells in which an exercise is checked.

    Args:
        notebook: Any version of it.

    Returns:
        Positions of the code cells that begin with `check_`, the name of a checker.
    """
    return [
        position
        for position, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == "code" and source_of(cell).startswith("check_")
    ]
