"""A run as TensorBoard shows it: numbers of every step, figures and pictures of evaluations.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Needs the extra `tensorboard`.

Not here: what is measured (`trainer.py`, `validation.py`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minioneformer.processes import is_main
from minioneformer.training.curves import BESIDES_LOSSES
from minioneformer.training.logbook import read_rows
from minioneformer.training.validation import EVALUATIONS, SAMPLES

EVENTS = "tensorboard"
INSTALL = "Install it: pip install 'minioneformer[tensorboard]'."
SPEED = ("seconds", "seconds_waiting", "images_per_second", "memory_gib")


class TensorBoardWriter:
    """Called after every update; comes after the callback that evaluates.

    Of several processes only the first one writes.

    Args:
        folder: Of the run; events go into `tensorboard` in it, from the first call on.

    Raises:
        ImportError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise ImportError(f"tensorboard is not installed. {INSTALL}")
        self.folder = folder
        self._writer: Any = None

    def __call__(self, row: Mapping[str, int | float]) -> None:
        """Write a row of the log, and the evaluation of its step if there is one.

        Args:
            row: With its step.

        Raises:
            ValueError: If the file of evaluations is broken.
            OSError: If events cannot be written.
        """
        if not is_main():
            return
        step = int(row["step"])
        if self._writer is None:
            # subtle: hides what a killed process wrote of the steps that are now done again
            self._writer = _open(self.folder / EVENTS, purge_step=step)
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(tag(name), value, step)
        picture = self.folder / SAMPLES / f"step_{step:08d}.png"
        if picture.is_file():
            self._write_evaluation(picture, step)

    def close(self) -> None:
        """Write out what is still in memory; a run that ends calls it."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write_evaluation(self, picture: Path, step: int) -> None:
        for row in read_rows(self.folder / EVALUATIONS)[-1:]:
            if row["step"] == step:
                for name, value in row.items():
                    if name != "step" and value is not None:
                        self._writer.add_scalar(f"evaluation/{name}", value, step)
        with Image.open(picture) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writer.add_image("predictions", pixels, step, dataformats="HWC")
        self._writer.flush()


def tag(name: str) -> str:
    """Where TensorBoard shows a value of the log.

    Args:
        name: In the log.

    Example:
        loss is loss/total, auxiliary_loss_mask is auxiliary/mask, lr is optimization/lr.
    """
    if name == "loss":
        return "loss/total"
    if name in SPEED:
        return f"speed/{name}"
    if name in BESIDES_LOSSES:
        return f"optimization/{name}"
    if name.startswith("auxiliary_"):
        return f"auxiliary/{name.removeprefix('auxiliary_').removeprefix('loss_')}"
    return f"loss/{name.removeprefix('loss_')}"


def _open(folder: Path, *, purge_step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter  # the package may be missing

    return SummaryWriter(str(folder), purge_step=purge_step)
