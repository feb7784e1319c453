"""Two steps of a recipe on generated images: how long they take here, and how much memory.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Model, augmentation, batch, losses, optimizer and schedule are those of the run. Only the images are
not: scenes of the size of the crop, with labels from the catalogue of the data set. Nothing is read
from disk but the vocabulary and first weights, and nothing stays on it.

Not here: what can be known without running (`training/plan.py`).
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from minioneformer.data.miniature import TOY_LABELS
from minioneformer.data.stream import TrainingStream
from minioneformer.data.toy import ToyPanoptic
from minioneformer.processes import world_size
from minioneformer.structures import TASKS, Batch, Category, PanopticSample, Task
from minioneformer.training.batches import batches_on_device
from minioneformer.training.memory import peak_memory
from minioneformer.training.parts import build_predictor, build_pretrained, build_stream
from minioneformer.training.plan import known_classes
from minioneformer.training.recipe import Recipe
from minioneformer.training.run import build_trainer, default_device, prepare_modules

STEPS = 2
OBJECTS = 16  # in an image at most; with stuff about as many segments as an image of ADE20K
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a few steps have measured.

    Args:
        device: That they ran on.
        processes: That shared each step, with a device each.
        images: Of a step, over all processes.
        rows: Of the log, one per step.
        peak_gib: Of memory, in this process: with CUDA what tensors have taken of the GPU,
            otherwise all that it had; None where the system is not asked.
        total_steps: Of the whole run.
    """

    device: str
    processes: int
    images: int
    rows: tuple[Mapping[str, int | float], ...]
    peak_gib: float | None
    total_steps: int

    @property
    def seconds_per_step(self) -> float:
        """Of the last step, without waiting for images: the first one warms up."""
        return self.rows[-1]["seconds"] - self.rows[-1]["seconds_waiting"]

    @property
    def hours(self) -> float:
        """Of the whole run at this pace, on these devices."""
        return self.total_steps * self.seconds_per_step / SECONDS_PER_HOUR

    def text(self) -> str:
        """A few lines for a person."""
        lines = [
            f"step {row['step']}: loss {row['loss']:.3f}, "
            f"{row['seconds'] - row['seconds_waiting']:.2f} s, and "
            f"{row['seconds_waiting']:.2f} s for the generated images"
            for row in self.rows
        ]
        what = "of the GPU" if self.device.startswith("cuda") else "of the process"
        peak = "unknown" if self.peak_gib is None else f"{self.peak_gib:.2f} GiB"
        lines.append(f"peak memory {what}: {peak}, {self.images} images of generated scenes a step")
        lines.append(
            f"the whole run at this pace, on {self.processes} x {self.device}: {self.hours:,.1f} h "
            f"for {self.total_steps:,} steps, without reading images and without evaluations"
        )
        return "\n".join(lines)


class GeneratedScenes(Dataset[PanopticSample]):
    """Toy scenes of any size under the labels of another catalogue.

    Args:
        recipe: Whose images they stand for.
        length: How many.
    """

    def __init__(self, recipe: Recipe, length: int) -> None:
        data = recipe.data
        self.categories: tuple[Category, ...] = known_classes(recipe)
        self.tasks: tuple[Task, ...] = TASKS
        self.labels: Sequence[int] = TOY_LABELS.get(data.dataset, TOY_LABELS["coco_panoptic"])
        self.scenes = ToyPanoptic(
            size=data.crop_size or data.image_size, length=length, max_objects=OBJECTS
        )

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.scenes)

    def __getitem__(self, index: int) -> PanopticSample:
        """Draw a scene.

        Args:
            index: From 0.

        Returns:
            The scene with its new labels.

        Raises:
            IndexError: If there is no such scene.
        """
        sample = self.scenes[index]
        segments = (dataclasses.replace(s, label=self.labels[s.label]) for s in sample.segments)
        return dataclasses.replace(sample, segments=tuple(segments))


def dry_run(recipe: Recipe, *, steps: int = STEPS, device: str | None = None) -> DryRun:
    """Take the first steps of a recipe on generated images.

    Args:
        recipe: Any; a model that it starts from is not read.
        steps: How many, no more than the recipe has.
        device: None takes CUDA if there is one.

    Returns:
        What was measured.

    Raises:
        ValueError: If numbers of the recipe do not fit together.
        FileNotFoundError: If the vocabulary or the weights of the backbone are missing.
        NonFiniteLossError: If a loss is not finite.
    """
    scenes = GeneratedScenes(recipe, length=steps * recipe.optimization.batch_size)
    return take_steps(recipe, scenes, steps=steps, device=device)


def take_steps(
    recipe: Recipe, dataset: Any, *, steps: int = STEPS, device: str | None = None
) -> DryRun:
    """Take the first steps of a recipe and keep nothing.

    Args:
        recipe: Any; a model that it starts from is not read.
        dataset: Of training images, with `categories` and `tasks`.
        steps: How many, no more than the recipe has.
        device: None takes CUDA if there is one.

    Returns:
        What was measured.

    Raises:
        ValueError: If numbers of the recipe do not fit together, or the labels cannot teach it.
        NonFiniteLossError: If a loss is not finite.
    """
    where = device or default_device()
    steps = min(steps, recipe.optimization.steps)
    pretrained = build_pretrained(recipe, dataset.categories)
    build_predictor(pretrained)  # refuses thresholds that only results need, as a run does
    prepare_modules(pretrained.modules, recipe, where)
    resolved = dataclasses.replace(recipe, model=pretrained.config)
    stream = build_stream(resolved, pretrained, dataset)
    with tempfile.TemporaryDirectory() as folder:  # the trainer wants one for reports of failures
        trainer = build_trainer(
            resolved, pretrained, stream, Path(folder), where, progress=False, callbacks=()
        )
        pretrained.modules.train()
        batches = batches_on_device(lambda first: _from(stream, first), 0, torch.device(where))
        rows = tuple(trainer.update(step, batches) for step in range(steps))
    return DryRun(
        device=where,
        processes=world_size(),
        images=resolved.optimization.batch_size,
        rows=rows,
        peak_gib=peak_memory(torch.device(where)),
        total_steps=recipe.optimization.steps,
    )


def _from(stream: TrainingStream, first: int) -> Iterator[Batch]:
    """Made one after the other, in this process: what workers save is not measured here."""
    return (stream[number] for number in itertools.count(first))
