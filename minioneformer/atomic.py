"""Write a file whole or not at all.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2, plumbing of whatever leaves files.

The content goes to a file beside the wanted one, which then takes its name in one step. Whoever
reads meanwhile, or after a crash, finds the old file or the new one, never half of one.

Not here: checkpoints (`training/checkpoint.py`), which also keep their predecessors.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_bytes_atomically(path: str | Path, content: bytes) -> None:
    """Write bytes; a file of that name is replaced.

    Args:
        path: Of the file; its folder exists.
        content: All of it.

    Raises:
        OSError: If the folder does not exist or cannot be written, or the disk is full; a file
            of that name is then as it was.
    """
    path = Path(path)
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # subtle: a power cut could leave the name without content
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)  # there only if something above failed


def write_text_atomically(path: str | Path, text: str) -> None:
    """Write text as UTF-8, its line ends as they are; a file of that name is replaced.

    Args:
        path: Of the file; its folder exists.
        text: All of it.

    Raises:
        OSError: As `write_bytes_atomically`.
        UnicodeEncodeError: If the text holds half of a surrogate pair.
    """
    write_bytes_atomically(path, text.encode("utf-8"))
