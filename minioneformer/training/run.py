"""From a recipe to a trained model: the parts put together.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Not here: the loop (`training/trainer.py`), the numbers (`training/recipes.py`).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from minioneformer.atomic import write_text_atomically
from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.checkpoints.pretrained import Pretrained, save_pretrained
from minioneformer.data.categories import class_names
from minioneformer.data.coco_json import brief_list
from minioneformer.data.stream import TrainingStream, make_loader
from minioneformer.inference.predictor import Predictor
from minioneformer.layers.sync_batch_norm import synchronise_batch_norms
from minioneformer.processes import (
    from_main,
    is_main,
    joined_processes,
    max_over_processes,
    rank,
    world_size,
)
from minioneformer.structures import Batch, Category
from minioneformer.training.checkpoint import latest_checkpoint
from minioneformer.training.initialize import read_start, start_from
from minioneformer.training.optimizer import build_optimizer
from minioneformer.training.parts import (
    build_dataset,
    build_predictor,
    build_pretrained,
    build_stream,
)
from minioneformer.training.recipe import Recipe
from minioneformer.training.report import leave_report
from minioneformer.training.schedule import Schedule
from minioneformer.training.tensorboard import TensorBoardWriter
from minioneformer.training.trainer import Trainer
from minioneformer.training.update import UpdateLosses
from minioneformer.training.validation import Validation
from minioneformer.training.versions import record_versions

MODEL_FOLDER, RECIPE = "model", "recipe.json"
RESTART_COUNTS = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
EVALUATION_BATCH = 20  # generated images are all of one size


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    data_root: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    tensorboard: bool = False,
    progress: bool | None = None,
    callbacks: Sequence[Callable[[Mapping[str, int | float]], None]] = (),
) -> Pretrained:
    """Train a model from a recipe and save it.

    Under `torchrun` every process calls this; they share each batch, and the first one writes.

    Args:
        recipe: What to do.
        folder: Of the run: `recipe.json`, `versions.json`, `log.jsonl`, `curves.png`, checkpoints,
            and at the end `report.html` and the model below `model`.
        data_root: Of the data set, if it lies on disk.
        resume: Whether to go on with the run in `folder`. A process that `torchrun` or Slurm has
            started again does so unasked.
        device: None takes CUDA if there is one.
        tensorboard: Whether to write events for TensorBoard too, into `tensorboard`.
        progress: Whether to draw a progress bar; None only on a terminal.
        callbacks: Called after each update with its log row.

    Returns:
        The trained model with all that belongs to it, on `device`.

    Raises:
        ValueError: If recipe and data do not fit together, or the folder holds another run.
        FileNotFoundError: If data are missing.
        NotADirectoryError: If there is a file in the folder's place.
        NonFiniteLossError: If training diverges.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"a run needs a folder, got the file {str(folder)!r}.")
    with ExitStack() as at_end:
        at_end.enter_context(joined_processes())
        dataset, categories = build_dataset(recipe.data, "train", data_root)
        device = device or default_device()
        pretrained = _first_model(recipe, categories)
        predictor = build_predictor(pretrained)  # refuses now thresholds that only results need
        prepare_modules(pretrained.modules, recipe, device)
        # With class names and vocabulary size: a run on other classes is another run.
        recipe = dataclasses.replace(recipe, model=pretrained.config)
        stream = build_stream(recipe, pretrained, dataset)
        if recipe.optimization.evaluate_every is not None:
            validation = _build_validation(recipe, pretrained, predictor, folder, data_root)
            callbacks = [*callbacks, validation]
        if tensorboard:
            board = TensorBoardWriter(folder)
            at_end.callback(board.close)
            callbacks = [*callbacks, board]
        trainer = build_trainer(
            recipe, pretrained, stream, folder, device, progress=progress, callbacks=callbacks
        )
        # subtle: of several machines, only those know it whose own process failed
        started_again = bool(max_over_processes(int(was_started_again())))
        again = started_again and from_main(latest_checkpoint(folder)) is not None
        trainer.fit(resume=resume or again)
        if trainer.average is not None:
            trainer.average.exchange()  # the mean is what is saved and returned
        if is_main():
            save_pretrained(folder / MODEL_FOLDER, pretrained)
    pretrained.modules.eval()
    return pretrained


def _first_model(recipe: Recipe, categories: Sequence[Category]) -> Pretrained:
    """The model before the first step: random weights, or those of another model."""
    pretrained = build_pretrained(recipe, categories)
    if recipe.init is None:
        return pretrained
    report = start_from(pretrained.modules, read_start(recipe.init), class_names(categories))
    return dataclasses.replace(pretrained, report=report)


def was_started_again() -> bool:
    """True if `torchrun` or Slurm says that this is not the first start of the process."""
    counts = (os.environ.get(name, "0") for name in RESTART_COUNTS)
    return any(count.isdigit() and int(count) > 0 for count in counts)


def default_device() -> str:
    """CUDA if there is any, the CPU otherwise."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def prepare_modules(modules: TrainedModules, recipe: Recipe, device: str) -> None:
    """Move to the device; what the recipe says of the modules, other than their sizes.

    Args:
        modules: To change.
        recipe: Of the run.
        device: Of the run.
    """
    if recipe.optimization.sync_batch_norm:
        synchronise_batch_norms(modules)
    modules.to(device)
    if recipe.optimization.compile:
        modules.model.backbone.compile()


def _build_validation(
    recipe: Recipe,
    pretrained: Pretrained,
    predictor: Predictor,
    folder: Path,
    data_root: str | Path | None,
) -> Validation:
    dataset, categories = build_dataset(recipe.data, "val", data_root)
    if categories != pretrained.categories:
        raise ValueError(
            "training and validation split must have the same classes, got "
            f"{brief_list(class_names(pretrained.categories))} and "
            f"{brief_list(class_names(categories))}."
        )
    plan = recipe.optimization
    return Validation(
        pretrained=pretrained,
        predictor=predictor,
        dataset=dataset,
        folder=folder,
        every=plan.evaluate_every or plan.steps,
        metric=plan.keep_best,
        batch_size=EVALUATION_BATCH if recipe.data.dataset == "toy" else 1,
    )


def _loader_from(
    stream: TrainingStream, recipe: Recipe, path: Path, device: str, start: int
) -> DataLoader[Batch]:
    """Parts from number `start` on; before the first one the recipe is written to `path`."""
    # subtle: the trainer asks for them once it has found the folder free, or the run in it the
    # same, so this never describes a run that is not there.
    plan = recipe.optimization
    step = start // plan.accumulate
    if is_main():
        write_text_atomically(path, json.dumps(recipe.to_dict(), indent=1) + "\n")
        record_versions(path.parent, step=step, device=device)
    return make_loader(
        stream,
        start_step=step,
        end_step=plan.steps,
        parts=plan.accumulate,
        rank=rank(),
        processes=world_size(),
        num_workers=recipe.data.num_workers,
    )


def build_trainer(
    recipe: Recipe,
    pretrained: Pretrained,
    stream: TrainingStream,
    folder: Path,
    device: str,
    *,
    progress: bool | None,
    callbacks: Sequence[Callable[[Mapping[str, int | float]], None]],
) -> Trainer:
    """The trainer of a run, with its optimizer and schedule.

    Args:
        recipe: Of the run.
        pretrained: With its modules on the device.
        stream: The batches.
        folder: Of the run.
        device: Of the run.
        progress: As for `train`.
        callbacks: As for `train`.

    Returns:
        The trainer; nothing is written yet.

    Raises:
        ValueError: If a number of the recipe is out of range.
    """
    plan, modules = recipe.optimization, pretrained.modules
    return Trainer(
        model=modules,
        compute_losses=UpdateLosses(modules, deep=pretrained.config.use_auxiliary_loss),
        optimizer=build_optimizer(
            modules,
            base_lr=plan.base_lr,
            backbone_multiplier=plan.backbone_multiplier,
            weight_decay=plan.weight_decay,
            decay_convnext_norms=plan.decay_convnext_norms,
        ),
        schedule=Schedule(
            name=plan.schedule,
            total_steps=plan.steps,
            milestones=plan.milestones,
            warmup_fraction=plan.warmup_fraction,
        ),
        loader_from=functools.partial(_loader_from, stream, recipe, folder / RECIPE, device),
        total_steps=plan.steps,
        folder=folder,
        recipe=recipe.to_dict(),
        seed=plan.seed,
        device=device,
        accumulate=plan.accumulate,
        clip_norm=plan.clip_norm,
        autocast=plan.autocast,
        ema_decay=plan.ema_decay,
        checkpoint_every=plan.checkpoint_every,
        keep_checkpoints=plan.keep_checkpoints,
        keep_every=plan.keep_every,
        callbacks=callbacks,
        at_end=functools.partial(leave_report, folder),
        progress=progress,
    )
