r"""The trainer: one visible loop that can be stopped anywhere and continued to the same bits.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

It knows nothing of OneFormer: a model, a function that computes losses, an optimizer, batches.
What a run is made of (weights, optimizer, position in the data) lies in the last checkpoint or
follows from the step, so a resumed run repeats the steps that were lost. With several processes
all run this loop in step; the first one writes.

Not here: what to train with (`recipes.py`), gradients across processes (`training/update.py`),
reading and writing the state of a run (`training/run_state.py`).
"""

from __future__ import annotations

import contextlib
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

from minioneformer.processes import from_main, is_main, max_over_processes, rank, world_size
from minioneformer.structures import Batch
from minioneformer.training.batches import batches_on_device
from minioneformer.training.failure import FailureReport, NonFiniteLossError
from minioneformer.training.interrupt import StoppedRunError, StopRequest, defer_signals
from minioneformer.training.logbook import Logbook, main_terms
from minioneformer.training.measure import measure_update
from minioneformer.training.memory import peak_memory
from minioneformer.training.optimizer import optimized_parameters
from minioneformer.training.precision import Precision
from minioneformer.training.randomness import seed_step
from minioneformer.training.run_state import RunState
from minioneformer.training.schedule import Schedule
from minioneformer.training.update import PartLosses
from minioneformer.training.weight_average import WeightAverage

SECONDS_BETWEEN_PICTURES = 60.0

logger = logging.getLogger(__name__)


class Trainer:
    """Train a model, log every step, checkpoint, resume.

    Args:
        model: Holds every parameter that is trained, the criterion's too (a container will do);
            already on `device`.
        compute_losses: Given the parts of an update, yields weighted loss terms of each; their sum
            is minimised. The backward pass through a part is done before the next is asked for.
            A ValueError that says "finite" is reported as a loss that is not.
        optimizer: Over parameters of `model`; its groups' learning rates are the base ones.
        schedule: Factor on them at each step.
        loader_from: Given n, the parts from the n-th one on that this process trains on, to the
            end of the run at least. Must give the same ones each time: resuming is calling it
            again.
        total_steps: Updates to do, > 0.
        folder: Of the run: log, curves, checkpoints. Created if need be. All processes see it.
        recipe: JSON values that describe the run; stored, and compared when resuming.
        seed: Of everything that a step draws at random, >= 0.
        device: Parts are moved there.
        accumulate: Parts per update, >= 1; the gradient is the mean of theirs.
        clip_norm: Gradients are scaled down to this L2 norm over all parameters; None does not
            clip. The norm before clipping is logged either way.
        autocast: "bf16" or "fp16" computes the losses under autocast, None as the model is.
        ema_decay: Of a running mean of the weights; None keeps none. See `averaged_weights`.
        checkpoint_every: Updates between checkpoints. One more is written before the first
            update, after the last, and when a signal stops the run.
        keep_checkpoints: Newest checkpoints that stay on disk, >= 1.
        keep_every: Checkpoints of steps divisible by it stay too; None: of none.
        callbacks: Called after each update with its log row, the model having its averaged
            weights if there are any. They may evaluate the model: it is set to training mode
            afterwards, and what they draw at random changes nothing. A resumed run calls them again
            for the step that it goes on from: it may have been killed while they were at work.
        at_end: Called when a run that has begun ends, however it ends.
        progress: True shows a progress bar, False none, None only on a terminal.

    Raises:
        ValueError: If a number is out of range, `autocast` is unknown, the schedule ends before
            the run, or the optimizer trains parameters that `model` does not hold.

    Fidelity:
        Official code: configures clipping at 0.01, but a spent iterator makes it do nothing, so
        the published weights were trained without. It replaces NaN gradients; we stop.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        compute_losses: Callable[[Sequence[Batch]], Iterable[PartLosses]],
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        loader_from: Callable[[int], Iterable[Batch]],
        total_steps: int,
        folder: str | Path,
        recipe: Mapping[str, Any],
        seed: int = 0,
        device: str | torch.device = "cpu",
        accumulate: int = 1,
        clip_norm: float | None = None,
        autocast: str | None = None,
        ema_decay: float | None = None,
        checkpoint_every: int = 1000,
        keep_checkpoints: int = 2,
        keep_every: int | None = None,
        callbacks: Sequence[Callable[[Mapping[str, int | float]], None]] = (),
        at_end: Callable[[], None] = lambda: None,
        progress: bool | None = None,
    ) -> None:
        _check_counts(
            {
                "total_steps": total_steps,
                "accumulate": accumulate,
                "checkpoint_every": checkpoint_every,
                "keep_checkpoints": keep_checkpoints,
                "keep_every": keep_every,
            }
        )
        if clip_norm is not None and clip_norm <= 0:
            raise ValueError(f"clip_norm must be > 0, or None for no clipping, got {clip_norm=}.")
        schedule.multiplier(total_steps - 1)  # refuses now a run longer than its schedule
        self.model = model
        self.compute_losses = compute_losses
        self.optimizer = optimizer
        self.schedule = schedule
        self.loader_from = loader_from
        self.total_steps = total_steps
        self.folder = Path(folder)
        self.seed = seed
        self.device = torch.device(device)
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.precision = Precision(autocast, self.device)
        self.average = None if ema_decay is None else WeightAverage(model, ema_decay)
        self.checkpoint_every = checkpoint_every
        self.callbacks = tuple(callbacks)
        self.at_end = at_end
        self.progress = progress
        self.logbook = Logbook(folder=self.folder)
        self.parameters = optimized_parameters(optimizer, model)
        self.state = RunState(
            folder=self.folder,
            model=model,
            optimizer=optimizer,
            precision=self.precision,
            average=self.average,
            identity=_identity(recipe, clip_norm, autocast, ema_decay, schedule),
            keep=keep_checkpoints,
            keep_every=keep_every,
        )
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
            StoppedRunError: After Ctrl-C or SIGTERM, once the step is done and a checkpoint
                written; a KeyboardInterrupt. A second signal stops at once.
        """
        step = self._begin(resume)
        batches = batches_on_device(self.loader_from, step * self.accumulate, self.device)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        with ExitStack() as at_end:
            at_end.callback(self.at_end)
            at_end.callback(self._draw)
            bar = at_end.enter_context(self._progress_bar(step))
            request = at_end.enter_context(defer_signals())
            if resume:
                self._call_back_again(step)
            while step < self.total_steps:
                row = self.update(step, batches)
                step += 1
                self._log(row)
                bar.set_postfix(main_terms(row), refresh=False)
                bar.update()
                if step % self.checkpoint_every == 0 or step == self.total_steps:
                    self._save(step)
                self._stop_if_asked(request, step)
                self._call_back(row)
                self._stop_if_asked(request, step)

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Inside, the model has the running mean of its weights, if one is kept."""
        with self.average.in_place() if self.average else contextlib.nullcontext():
            yield

    def update(self, step: int, batches: Iterator[Batch]) -> dict[str, int | float]:
        """Do one update.

        Args:
            step: Updates done before.
            batches: The parts of this one come next.

        Returns:
            Its log row.

        Raises:
            NonFiniteLossError: As `fit`.
        """
        started = time.perf_counter()
        parts = list(itertools.islice(batches, self.accumulate))
        waited = time.perf_counter() - started
        self._set_learning_rates(step)
        seed_step(self.seed, step, rank())  # after the loader, which may draw too
        computed = self._accumulate_gradients(parts, step)
        grad_norm = self._clip_gradients()
        measured, failure = measure_update(
            [part.image_ids for part in parts],
            computed,
            grad_norm,
            may_overflow=self.precision.may_overflow(),
        )
        if failure is not None:
            raise self._failure(step, *failure)
        self._previous_grad_norm = measured.get("grad_norm")
        self.precision.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update()
        seconds = time.perf_counter() - started
        images = world_size() * sum(len(part.images) for part in parts)
        memory = peak_memory(self.device)
        return {
            "step": step + 1,
            **measured,
            "lr": max(group["lr"] for group in self.optimizer.param_groups),
            "lr_backbone": min(group["lr"] for group in self.optimizer.param_groups),
            "seconds": round(seconds, 4),
            "seconds_waiting": round(waited, 4),
            "images_per_second": round(images / seconds, 3),
            **({} if memory is None else {"memory_gib": round(memory, 3)}),
        }

    def _begin(self, resume: bool) -> int:
        """Open the folder; returns the step to begin at."""
        if resume:
            return self.state.restore(self.total_steps)
        self.state.open()
        self._save(0)
        return 0

    def _save(self, step: int) -> None:
        self.state.save(step)
        if time.monotonic() - self._drawn_at > SECONDS_BETWEEN_PICTURES:
            self._draw()
            self._drawn_at = time.monotonic()

    def _draw(self) -> None:
        if not is_main():
            return
        try:
            self.logbook.draw()
        except (OSError, ValueError) as error:  # no reason to stop, nor to hide why a run stops
            logger.warning("no curves of %s: %s", self.folder, error)

    def _progress_bar(self, step: int) -> tqdm:
        disable = None if self.progress is None else not self.progress
        return tqdm(
            initial=step,
            total=self.total_steps,
            unit="step",
            disable=disable if is_main() else True,
        )

    def _set_learning_rates(self, step: int) -> None:
        multiplier = self.schedule.multiplier(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * multiplier

    def _accumulate_gradients(self, parts: Sequence[Batch], step: int) -> list[PartLosses]:
        """Forward and backward; returns loss terms of each part."""
        computed: list[PartLosses] = []
        losses_of_parts = iter(self.compute_losses(parts))
        for part in parts:
            try:
                with self.precision.autocast():
                    losses, hits = next(losses_of_parts)
            except ValueError as error:
                if "finite" not in str(error):
                    raise
                raise self._failure(step, part.image_ids, {"loss": str(error)}) from error
            self.precision.backward(torch.stack([*losses.values()]).sum() / self.accumulate)
            computed.append(PartLosses({k: v.detach() for k, v in losses.items()}, hits))
        return computed

    def _clip_gradients(self) -> Tensor:
        """Scale the gradient down to `clip_norm`; returns its norm before."""
        self.precision.unscale(self.optimizer)
        limit = math.inf if self.clip_norm is None else self.clip_norm
        return nn.utils.clip_grad_norm_(self.parameters, limit)

    def _failure(
        self, step: int, image_ids: tuple[int | str, ...], terms: Mapping[str, str]
    ) -> NonFiniteLossError:
        report = FailureReport(
            step=step + 1,
            image_ids=image_ids,
            terms=terms,
            lr=max(group["lr"] for group in self.optimizer.param_groups),
            previous_grad_norm=self._previous_grad_norm,
        )
        try:
            report.write(self.folder)
        except OSError as error:  # a full disk: the message of the failure says all that it holds
            logger.warning("cannot write the report into %s: %s", self.folder, error)
        return NonFiniteLossError(report, self.folder)

    def _log(self, row: Mapping[str, int | float]) -> None:
        if is_main():
            self.logbook.write(row)

    def _call_back(self, row: Mapping[str, int | float]) -> None:
        if self.callbacks:
            with self.averaged_weights():
                for callback in self.callbacks:
                    callback(row)
            self.model.train()

    def _call_back_again(self, step: int) -> None:
        rows = self.logbook.rows()[-1:] if is_main() else []
        for row in from_main([row for row in rows if row["step"] == step]):
            self._call_back(row)

    def _stop_if_asked(self, request: StopRequest, step: int) -> None:
        if number := max_over_processes(request.signal):
            self._save(step)
            raise StoppedRunError(f"stopped after step {step}; resume to go on.", number)


def _identity(
    recipe: Mapping[str, Any],
    clip_norm: float | None,
    autocast: str | None,
    ema_decay: float | None,
    schedule: Schedule,
) -> dict[str, Any]:
    """What must not change between a run and its continuation, as JSON would give it back."""
    settings = {
        "clip_norm": clip_norm,
        "autocast": autocast,
        "ema_decay": ema_decay,
        "schedule": dataclasses.asdict(schedule),
    }
    return json.loads(json.dumps({"recipe": dict(recipe), "trainer": settings}))


def _check_counts(counts: Mapping[str, int | None]) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be >= 1, got {name}={count}.")
