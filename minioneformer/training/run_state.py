r"""All that a run is made of, to the disk and back.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Weights, optimizer, loss scale and the mean of the weights go into a checkpoint; order of the data
and random numbers follow from the step. Of several processes the first one writes, and all read.

Not here: files that are whole or absent (`training/checkpoint.py`), when one is written
(`training/trainer.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minioneformer.processes import from_main, is_main
from minioneformer.training.checkpoint import (
    check_same_run,
    checkpoint_path,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from minioneformer.training.logbook import Logbook
from minioneformer.training.precision import Precision
from minioneformer.training.weight_average import WeightAverage

logger = logging.getLogger(__name__)


class RunState:
    """The state of a run in its folder.

    Args:
        folder: Of the run. All processes see it.
        model: Its weights and buffers.
        optimizer: Its running means.
        precision: Its loss scale, if it has one.
        average: The mean of the weights; None if none is kept.
        identity: JSON values that a run must have in common with its continuation.
        keep: Newest checkpoints that stay on disk, >= 1.
        keep_every: Checkpoints of steps divisible by it stay too; None: of none.
    """

    def __init__(
        self,
        *,
        folder: Path,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        precision: Precision,
        average: WeightAverage | None,
        identity: Mapping[str, Any],
        keep: int,
        keep_every: int | None,
    ) -> None:
        self.folder = folder
        self.model = model
        self.optimizer = optimizer
        self.precision = precision
        self.average = average
        self.identity = identity
        self.keep = keep
        self.keep_every = keep_every

    def open(self) -> None:
        """Make the folder of a new run.

        Raises:
            ValueError: If there is a run in it.
        """
        if is_main():
            self.folder.mkdir(parents=True, exist_ok=True)
        logbook = Logbook(folder=self.folder)
        taken = latest_checkpoint(self.folder) is not None or logbook.path.exists()
        if from_main(taken):
            raise ValueError(
                f"output folder already holds a run, got {str(self.folder)!r}: resume it or "
                f"choose another folder."
            )

    def save(self, step: int) -> None:
        """Write a checkpoint.

        Args:
            step: Updates done.

        Raises:
            OSError: If it cannot be written.
        """
        if not is_main():
            return
        state = {
            "step": step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.precision.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            **self.identity,
        }
        path = checkpoint_path(self.folder, step)
        save_checkpoint(path, state, keep=self.keep, keep_every=self.keep_every)

    def restore(self, total_steps: int) -> int:
        """Take everything back from the newest checkpoint; the log forgets later steps.

        Args:
            total_steps: Of the run.

        Returns:
            Updates done.

        Raises:
            ValueError: If there is no checkpoint, it cannot be read, belongs to another recipe,
                or holds more steps than the run has.
        """
        path = from_main(latest_checkpoint(self.folder))
        if path is None:
            raise ValueError(f"nothing to resume in {str(self.folder)!r}: start a new run there.")
        state = load_checkpoint(path)
        check_same_run(path, state, self.identity)
        if state["step"] > total_steps:
            raise ValueError(
                f"{path} holds {state['step']} steps, more than asked for, got {total_steps=}."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["precision"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if is_main():
            Logbook(folder=self.folder).drop_after(state["step"])
        logger.info("resumed after step %d from %s", state["step"], path)
        return state["step"]
