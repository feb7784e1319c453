"""With which versions a run was made.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: settings of the run (`recipe.py`).
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from minioneformer.atomic import write_text_atomically

VERSIONS = "versions.json"


def record_versions(folder: Path, *, step: int, device: str) -> None:
    """Note the versions that a run goes on with, unless they are those of before.

    Args:
        folder: Of the run; exists.
        step: Updates done when they began to count: 0 for a new run.
        device: That computes, such as "cuda:0".

    Raises:
        ValueError: As `read_versions`.
        OSError: If the file cannot be written.
    """
    earlier = read_versions(folder)
    # The package is loaded, as this is a part of it; importing its front door would be a circle.
    package = sys.modules["minioneformer"]
    now = {
        "minioneformer": package.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "device": _device_name(device),
        "system": platform.platform(),
    }
    if earlier and {k: v for k, v in earlier[-1].items() if k != "from_step"} == now:
        return
    entries = [*earlier, {"from_step": step, **now}]
    write_text_atomically(folder / VERSIONS, json.dumps(entries, indent=1) + "\n")


def read_versions(folder: Path) -> list[dict[str, Any]]:
    """What `record_versions` noted.

    Args:
        folder: Of the run.

    Returns:
        Oldest first, each with `from_step`; none if nothing was noted.

    Raises:
        ValueError: If the file is not what was written.
    """
    path = folder / VERSIONS
    if not path.is_file():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}. Delete it.") from error
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        raise ValueError(
            f"{path} must hold a list of objects, got {str(entries)[:60]!r}. Delete it."
        )
    return entries


def _device_name(device: str) -> str:
    if torch.device(device).type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    return device
