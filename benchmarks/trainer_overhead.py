"""Share of a training step that is neither forward, nor backward, nor optimizer.

Run: python benchmarks/trainer_overhead.py [steps]   (210 unless given)
Trains the recipe "toy", its checkpoint every 200 steps included, with two data workers, and times
the parts of every step after the first ten. Prints milliseconds per step and shares. To the
optimizer belong, beside its update, the clipping of the gradient (in the official code a part of
the update) and dropping it; each is named. Waiting and saving are parts of the rest.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from minioneformer.structures import Batch
from minioneformer.training.parts import build_dataset, build_pretrained, build_stream
from minioneformer.training.recipes import override, toy
from minioneformer.training.run import build_trainer
from minioneformer.training.update import PartLosses

WARM_UP = 10
WORK = ("forward", "backward", "clipping", "update", "dropping")


class Stopwatch:
    """Seconds by name, of functions that are called through it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time counted under a name."""

        def call(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[name] += time.perf_counter() - started

        return call

    def timed_losses(
        self, compute_losses: Callable[[Sequence[Batch]], Iterator[PartLosses]]
    ) -> Callable[[Sequence[Batch]], Iterator[PartLosses]]:
        """The same for losses that come one part at a time."""

        def call(parts: Sequence[Batch]) -> Iterator[PartLosses]:
            losses = compute_losses(parts)
            for _ in parts:
                yield self.timed("forward", next)(losses)

        return call


def main() -> None:
    """Train, and print where the time went."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 210
    recipe = override(toy(), [f"optimization.steps={steps}", "data.num_workers=2"])
    dataset, categories = build_dataset(recipe.data, "train", None)
    pretrained = build_pretrained(recipe, categories)
    watch = Stopwatch()
    ends: list[float] = []

    def note_end(row: Any) -> None:
        watch.seconds["waiting"] += row["seconds_waiting"]
        write(row)
        ends.append(time.perf_counter())
        if row["step"] == WARM_UP:
            watch.seconds.clear()

    with tempfile.TemporaryDirectory() as folder:
        stream = build_stream(recipe, pretrained, dataset)
        trainer = build_trainer(
            recipe,
            pretrained,
            stream,
            Path(folder) / "run",
            "cpu",
            progress=False,
            callbacks=[],
        )
        write, trainer.logbook.write = trainer.logbook.write, note_end
        trainer.compute_losses = watch.timed_losses(trainer.compute_losses)
        trainer.precision.backward = watch.timed("backward", trainer.precision.backward)
        trainer.precision.step = watch.timed("update", trainer.precision.step)
        trainer._clip_gradients = watch.timed("clipping", trainer._clip_gradients)
        trainer.optimizer.zero_grad = watch.timed("dropping", trainer.optimizer.zero_grad)
        trainer._save = watch.timed("saving", trainer._save)
        trainer.fit()
    whole = ends[-1] - ends[WARM_UP - 1]
    measured = steps - WARM_UP
    for name, seconds in [*watch.seconds.items(), ("whole step", whole)]:
        print(f"{name:10}  {1000 * seconds / measured:8.2f} ms  {seconds / whole:6.1%}")
    work = sum(watch.seconds[name] for name in WORK)
    print(f"{'rest':10}  {1 - work / whole:.2%} of the step")


if __name__ == "__main__":
    main()
