"""Evaluation during a run: figures, pictures, and the best model so far.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Nothing here changes a run: the mode of the model is as before, and every step seeds itself. With
several processes each evaluates its share, and the first one writes.

Not here: the metrics (`evaluation/`), the loop (`training/trainer.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minioneformer.atomic import write_text_atomically
from minioneformer.checkpoints.pretrained import Pretrained, save_pretrained
from minioneformer.evaluation.evaluator import evaluate
from minioneformer.inference.predictor import Predictor
from minioneformer.processes import from_main, is_main
from minioneformer.structures import Task
from minioneformer.training.logbook import read_rows
from minioneformer.visualize import draw_demo

EVALUATIONS, BEST, SAMPLES = "evaluations.jsonl", "best", "samples"
NUM_SAMPLES = 4
METRICS: Mapping[Task, str] = {"panoptic": "pq", "instance": "ap", "semantic": "miou"}


class Validation:
    """Called after every update; evaluates after some.

    Args:
        pretrained: The model in training, with all that belongs to it.
        predictor: Of that model.
        dataset: To evaluate on, with the `tasks` that its labels can measure.
        folder: Of the run.
        every: Updates between evaluations, >= 1.
        metric: Decides which model is the best: a key of the figures, such as "pq"; None takes the
            first of PQ, AP and mIoU that the labels of the data set can measure.
        batch_size: Images that are predicted together; 1 unless all are of one size.

    Raises:
        ValueError: If `every` is below 1, or the labels cannot measure the metric.
    """

    def __init__(
        self,
        *,
        pretrained: Pretrained,
        predictor: Predictor,
        dataset: Any,
        folder: Path,
        every: int,
        metric: str | None = None,
        batch_size: int = 1,
    ) -> None:
        if every < 1:
            raise ValueError(f"evaluate_every must be >= 1, got {every=}.")
        self.pretrained = pretrained
        self.predictor = predictor
        self.dataset = dataset
        self.folder = folder
        self.every = every
        measured = [name for task, name in METRICS.items() if task in dataset.tasks]
        if metric not in (None, *measured):
            raise ValueError(
                f"keep_best must be one of {', '.join(measured)}, which the labels can measure, "
                f"got {metric!r}."
            )
        self.metric = metric or measured[0]
        self.batch_size = batch_size
        self._called = False

    def __call__(self, row: Mapping[str, int | float]) -> None:
        """Evaluate, if it is time; every process must call it.

        Args:
            row: Of the log; its "step" counts updates. A resumed run gives that of the step that it
                goes on from; nothing is done if that has been evaluated.

        Raises:
            ValueError: If the file of evaluations is broken.
            OSError: If figures, pictures or the model cannot be written.
        """
        step = int(row["step"])
        first_call, self._called = not self._called, True
        if step % self.every:
            return
        if first_call and from_main(any(past["step"] == step for past in self._past())):
            return
        modules = self.pretrained.modules
        was_training = modules.training
        modules.eval()
        try:
            figures = self._evaluate()
            if is_main():
                self._draw_samples(step)
        finally:
            modules.train(was_training)
        if is_main():
            self._keep(step, figures)

    def _keep(self, step: int, figures: Mapping[str, Any]) -> None:
        """Note the figures, and the model if it is the best so far."""
        # a resumed run does steps again that had been evaluated
        before = [past for past in self._past() if past["step"] < step]
        best = max((past[self.metric] or 0.0 for past in before), default=-1.0)
        if (figures[self.metric] or 0.0) > best:
            save_pretrained(self.folder / BEST, self.pretrained)
        lines = [json.dumps(known) + "\n" for known in [*before, {"step": step, **figures}]]
        write_text_atomically(self.folder / EVALUATIONS, "".join(lines))

    def _evaluate(self) -> dict[str, Any]:
        result = evaluate(
            self.predictor,
            self.dataset,
            categories=self.pretrained.categories,
            tasks=self.dataset.tasks,
            batch_size=self.batch_size,
            progress=False,
        )
        return {
            key: None if value != value else value  # nan: not defined
            for key, value in result.to_dict().items()
            if isinstance(value, int | float)
        }

    def _draw_samples(self, step: int) -> None:
        count = min(NUM_SAMPLES, len(self.dataset))
        samples = [self.dataset[index] for index in range(count)]
        tasks = self.dataset.tasks  # what the labels do not teach would only show noise
        rows = [{task: self.predictor.predict(s.image, task) for task in tasks} for s in samples]
        path = self.folder / SAMPLES / f"step_{step:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_demo(samples, rows, self.pretrained.categories, path=path)

    def _past(self) -> list[dict[str, Any]]:
        return read_rows(self.folder / EVALUATIONS)
