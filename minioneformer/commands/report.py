"""`minioneformer report`.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: reading a run (`training/report_run.py`), the page (`training/report_page.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from minioneformer.training.report import write_report


def report(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    *,
    output: Path | None = None,
) -> None:
    """Write one HTML page about a run: progress, curves, evaluations, predictions.

    Args:
        run: Folder of the run, which may be over, stopped or still going on.
        output: HTML file to write; report.html in the folder if not given.
    """
    print(f"wrote {write_report(run, output)}")
