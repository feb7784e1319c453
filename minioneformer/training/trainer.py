r"""The trainer: one visible loop that can be stopped anywhere and continued to the same bits.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

It knows nothing of OneFormer: a model, a function that computes losses, an optimizer, batches.
What a run is made of (weights, optimizer, random state, position in the data) lies in the last
checkpoint or follows from the step, so a resumed run repeats the steps that were lost.

Not here: what to train with (`recipes.py`), several processes, signals other than Ctrl-C: a
run that is killed goes on from its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from minioneformer.structures import Batch
from minioneformer.training.batches import batches_on_device
from minioneformer.training.checkpoint import (
    check_same_run,
    checkpoint_path,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from minioneformer.training.failure import FailureReport, NonFiniteLossError, find_failure
from minioneformer.training.interrupt import defer_interrupt
from minioneformer.training.logbook import Logbook, main_terms, summarize_terms
from minioneformer.training.randomness import (
    random_state,
    restore_random_state,
    shielded_randomness,
)
from minioneformer.training.schedule import Schedule

SECONDS_BETWEEN_PICTURES = 60.0

# Image ids and loss terms of one batch.
Computed = tuple[tuple[int | str, ...], dict[str, Tensor]]

logger = logging.getLogger(__name__)


class Trainer:
    """Train a model, log every step, checkpoint, resume.

    Args:
        model: Holds every parameter that is trained, the criterion's too (a container will do);
            already on `device`.
        compute_losses: Weighted loss terms of a batch by name; their sum is minimised. A
            ValueError that says "finite" is reported as a loss that is not.
        optimizer: Over parameters of `model`; its groups' learning rates are the base ones.
        schedule: Factor on them at each step.
        loader_from: Given n, the batches from the n-th one on, to the end of the run at least.
            Must give the same ones each time: resuming is calling it again.
        total_steps: Updates to do, > 0.
        folder: Of the run: log, curves, checkpoints. Created if need be.
        recipe: JSON values that describe the run; stored, and compared when resuming.
        device: Batches are moved there.
        accumulate: Batches per update, >= 1; see Fidelity.
        clip_norm: Gradients are scaled down to this L2 norm over all parameters; None does not
            clip. The norm before clipping is logged either way.
        autocast: "bf16" computes the losses under bfloat16 autocast, None as the model is.
        checkpoint_every: Updates between checkpoints. One more is written before the first
            update, after the last, and on Ctrl-C.
        keep_checkpoints: Newest checkpoints that stay on disk, >= 1.
        callbacks: Called after each update with its log row. They may evaluate the model: it is
            set to training mode afterwards, and what they draw at random changes nothing.
        progress: True shows a progress bar, False none, None only on a terminal.

    Raises:
        ValueError: If a number is out of range, `autocast` is unknown, the schedule ends before
            the run, or the optimizer trains parameters that `model` does not hold.

    Fidelity:
        Official code: configures clipping at 0.01, but a spent iterator makes it do nothing, so
        the published weights were trained without. It replaces NaN gradients; we stop.
        Accumulating n batches averages their losses. That equals one n times larger batch only
        as far as each loss is a mean over images: mask losses are normalised by the number of
        masks in a batch, and the contrastive loss compares the images of a batch.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        compute_losses: Callable[[Batch], Mapping[str, Tensor]],
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        loader_from: Callable[[int], Iterable[Batch]],
        total_steps: int,
        folder: str | Path,
        recipe: Mapping[str, Any],
        device: str | torch.device = "cpu",
        accumulate: int = 1,
        clip_norm: float | None = None,
        autocast: str | None = None,
        checkpoint_every: int = 1000,
        keep_checkpoints: int = 2,
        callbacks: Sequence[Callable[[Mapping[str, int | float]], None]] = (),
        progress: bool | None = None,
    ) -> None:
        _check_counts(total_steps, accumulate, checkpoint_every, keep_checkpoints)
        if clip_norm is not None and clip_norm <= 0:
            raise ValueError(f"clip_norm must be > 0, or None for no clipping, got {clip_norm=}.")
        if autocast not in (None, "bf16"):
            raise ValueError(f"autocast must be 'bf16', or None for none, got {autocast=}.")
        schedule.multiplier(total_steps - 1)  # refuses now a run longer than its schedule
        self.model = model
        self.compute_losses = compute_losses
        self.optimizer = optimizer
        self.schedule = schedule
        self.loader_from = loader_from
        self.total_steps = total_steps
        self.folder = Path(folder)
        self.device = torch.device(device)
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.autocast = autocast
        self.checkpoint_every = checkpoint_every
        self.keep_checkpoints = keep_checkpoints
        self.callbacks = tuple(callbacks)
        self.progress = progress
        self.logbook = Logbook(folder=self.folder)
        self.parameters = _optimized_parameters(optimizer, model)
        # What must not change between a run and its continuation, as JSON would give it back.
        settings = {
            "accumulate": accumulate,
            "clip_norm": clip_norm,
            "autocast": autocast,
            "schedule": dataclasses.asdict(schedule),
        }
        self.identity = json.loads(json.dumps({"recipe": dict(recipe), "trainer": settings}))
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._previous_grad_norm: float | None = None
        self._drawn_at = time.monotonic()

    def fit(self, *, resume: bool = False) -> None:
        """Train up to `total_steps`.

        Args:
            resume: True goes on from the newest checkpoint in the folder, False starts a new run.

        Raises:
            ValueError: If a new run finds another one in its folder; if there is nothing to
                resume, the checkpoint cannot be read or belongs to another recipe; if the
                loader ends early.
            NonFiniteLossError: If a loss or the gradient is not finite; the update is not done.
            OSError: If a checkpoint cannot be written.
            KeyboardInterrupt: After Ctrl-C, once the step is done and a checkpoint written. A
                second Ctrl-C stops at once.
        """
        step = self._resume() if resume else self._start()
        batches = batches_on_device(self.loader_from, step * self.accumulate, self.device)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        with ExitStack() as at_end:
            at_end.callback(self.logbook.draw)
            bar = at_end.enter_context(self._progress_bar(step))
            interrupted = at_end.enter_context(defer_interrupt())
            while step < self.total_steps:
                started = time.perf_counter()
                self._set_learning_rates(step)
                computed = self._accumulate_gradients(batches, step)
                losses, grad_norm = self._finite_or_stop(computed, self._clip_gradients(), step)
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
                step += 1

                images = sum(len(image_ids) for image_ids, _ in computed)
                row = self._log(step, losses, grad_norm, time.perf_counter() - started, images)
                bar.set_postfix(main_terms(row), refresh=False)
                bar.update()
                if step % self.checkpoint_every == 0 or step == self.total_steps:
                    self._save(step)
                self._call_back(row)
                if interrupted.is_set():
                    self._save(step)
                    raise KeyboardInterrupt(f"stopped after step {step}; resume to go on.")

    def _start(self) -> int:
        """Open the folder of a new run; returns the step to begin at."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if latest_checkpoint(self.folder) is not None or self.logbook.path.exists():
            raise ValueError(
                f"output folder already holds a run, got {str(self.folder)!r}: resume it or "
                f"choose another folder."
            )
        self._save(0)
        return 0

    def _resume(self) -> int:
        """Take everything back from the newest checkpoint; returns the step to begin at."""
        path = latest_checkpoint(self.folder)
        if path is None:
            raise ValueError(f"nothing to resume in {str(self.folder)!r}: start a new run there.")
        state = load_checkpoint(path)
        check_same_run(path, state, self.identity)
        if state["step"] > self.total_steps:
            raise ValueError(
                f"{path} holds {state['step']} steps, more than asked for, got {self.total_steps=}."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        restore_random_state(state["random_state"], self.device)
        self.logbook.drop_after(state["step"])
        logger.info("resumed after step %d from %s", state["step"], path)
        return state["step"]

    def _save(self, step: int) -> None:
        state = {
            "step": step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random_state": random_state(self.device),
            **self.identity,
        }
        path = checkpoint_path(self.folder, step)
        save_checkpoint(path, state, keep=self.keep_checkpoints)
        if time.monotonic() - self._drawn_at > SECONDS_BETWEEN_PICTURES:
            self.logbook.draw()
            self._drawn_at = time.monotonic()

    def _progress_bar(self, step: int) -> tqdm:
        disable = None if self.progress is None else not self.progress
        return tqdm(initial=step, total=self.total_steps, unit="step", disable=disable)

    def _set_learning_rates(self, step: int) -> None:
        multiplier = self.schedule.multiplier(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * multiplier

    def _accumulate_gradients(self, batches: Iterator[Batch], step: int) -> list[Computed]:
        """Forward and backward; returns image ids and loss terms of each batch."""
        computed = []
        for batch in itertools.islice(batches, self.accumulate):
            try:
                with torch.autocast(
                    self.device.type, torch.bfloat16, enabled=self.autocast == "bf16"
                ):
                    losses = self.compute_losses(batch)
            except ValueError as error:
                if "finite" not in str(error):
                    raise
                raise self._failure(step, batch.image_ids, {"loss": str(error)}) from error
            (torch.stack([*losses.values()]).sum() / self.accumulate).backward()
            computed.append((batch.image_ids, {k: v.detach() for k, v in losses.items()}))
        return computed

    def _clip_gradients(self) -> Tensor:
        """Scale the gradient down to `clip_norm`; returns its norm before."""
        limit = math.inf if self.clip_norm is None else self.clip_norm
        return nn.utils.clip_grad_norm_(self.parameters, limit)

    def _finite_or_stop(
        self, computed: list[Computed], grad_norm: Tensor, step: int
    ) -> tuple[dict[str, float], float]:
        """Mean loss terms and gradient norm as numbers, all finite."""
        # One transfer for all of them: each would wait for the device.
        tensors = [value for _, losses in computed for value in losses.values()]
        *values, norm = torch.stack([t.float() for t in (*tensors, grad_norm)]).tolist()
        remaining = iter(values)
        read = [(ids, {name: next(remaining) for name in losses}) for ids, losses in computed]
        failure = find_failure(read, norm)
        if failure is not None:
            raise self._failure(step, *failure)
        self._previous_grad_norm = norm
        means: dict[str, float] = {}
        for _, losses in read:
            for name, value in losses.items():
                means[name] = means.get(name, 0.0) + value / self.accumulate
        return means, norm

    def _failure(
        self, step: int, image_ids: tuple[int | str, ...], terms: Mapping[str, str]
    ) -> NonFiniteLossError:
        report = FailureReport(
            step=step + 1,
            image_ids=image_ids,
            terms=terms,
            lr=self._highest_lr(),
            previous_grad_norm=self._previous_grad_norm,
        )
        report.write(self.folder)
        return NonFiniteLossError(report, self.folder)

    def _log(
        self, step: int, losses: Mapping[str, float], grad_norm: float, seconds: float, images: int
    ) -> dict[str, int | float]:
        row: dict[str, int | float] = {
            "step": step,
            "loss": sum(losses.values()),
            **summarize_terms(losses),
            "lr": self._highest_lr(),
            "grad_norm": grad_norm,
            "seconds": round(seconds, 4),
            "images_per_second": round(images / seconds, 3),
        }
        self.logbook.write(row)
        return row

    def _highest_lr(self) -> float:
        return max(group["lr"] for group in self.optimizer.param_groups)

    def _call_back(self, row: Mapping[str, int | float]) -> None:
        with shielded_randomness(self.device):
            for callback in self.callbacks:
                callback(row)
        if self.callbacks:
            self.model.train()


def _check_counts(
    total_steps: int, accumulate: int, checkpoint_every: int, keep_checkpoints: int
) -> None:
    if min(total_steps, accumulate, checkpoint_every, keep_checkpoints) < 1:
        raise ValueError(
            "total_steps, accumulate, checkpoint_every and keep_checkpoints must be >= 1, "
            f"got {total_steps=}, {accumulate=}, {checkpoint_every=}, {keep_checkpoints=}."
        )


def _optimized_parameters(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[Tensor]:
    """The optimizer's parameters, all of them the model's."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    held = {id(parameter) for parameter in model.parameters()}
    strangers = sum(id(parameter) not in held for parameter in parameters)
    if strangers:
        raise ValueError(
            f"the optimizer trains parameters that the model does not hold, so that checkpoints "
            f"would lose them, got {strangers=}. Put model and criterion into one container."
        )
    return parameters
