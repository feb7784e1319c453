"""The report of a run: one HTML file that needs nothing else.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: what is in it (`report_run.py`), how it looks (`report_page.py`).
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from minioneformer.atomic import write_text_atomically
from minioneformer.processes import is_main
from minioneformer.training.logbook import LOG_NAME
from minioneformer.training.report_page import render_page
from minioneformer.training.report_run import read_run

REPORT = "report.html"

logger = logging.getLogger(__name__)


def write_report(folder: str | Path, output: str | Path | None = None) -> Path:
    """Write the report of a run that is over, stopped or still going on.

    Args:
        folder: Of the run.
        output: File to write, replaced if it is there; None takes `report.html` in the folder.

    Returns:
        The file. It holds its pictures and needs no network.

    Raises:
        NotADirectoryError: If the folder is a file.
        FileNotFoundError: If there is no run.
        IsADirectoryError: If the output is a folder.
        ValueError: If no step is logged yet, or a file is not what the run wrote.
        OSError: If the report cannot be written.
    """
    folder = Path(folder)
    output = folder / REPORT if output is None else Path(output)
    if output.is_dir():
        raise IsADirectoryError(f"a report is a file, got the folder {str(output)!r}.")
    page = render_page(read_run(folder), now=time.time())
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(output, page)
    return output


def leave_report(folder: Path) -> None:
    """Write the report of a run that ends, well or not; without a logged step there is none.

    Of several processes only the first one writes. Trouble here is logged as a warning, not raised:
    it would hide why the run ends.

    Args:
        folder: Of the run.
    """
    try:
        log = folder / LOG_NAME
        if is_main() and log.is_file() and log.stat().st_size:
            write_report(folder)
    except (OSError, ValueError) as error:
        logger.warning("no report of %s: %s", folder, error)
