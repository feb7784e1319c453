"""From a recipe to a trained model: the parts put together.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Not here: the loop (`training/trainer.py`), the numbers (`training/recipes.py`).
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from minioneformer.atomic import write_text_atomically
from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.checkpoints.pretrained import Pretrained, save_pretrained
from minioneformer.data.categories import class_names
from minioneformer.data.coco_json import brief_list
from minioneformer.data.stream import TrainingStream, make_loader
from minioneformer.inference.predictor import Predictor
from minioneformer.structures import Batch
from minioneformer.training.initialize import read_start, start_from
from minioneformer.training.optimizer import build_optimizer
from minioneformer.training.parts import (
    build_dataset,
    build_predictor,
    build_pretrained,
    build_stream,
)
from minioneformer.training.recipe import Recipe
from minioneformer.training.schedule import Schedule
from minioneformer.training.trainer import Trainer
from minioneformer.training.validation import Validation

MODEL_FOLDER, RECIPE = "model", "recipe.json"
EVALUATION_BATCH = 20  # generated images are all of one size


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    data_root: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    progress: bool | None = None,
    callbacks: Sequence[Callable[[Mapping[str, int | float]], None]] = (),
) -> Pretrained:
    """Train a model from a recipe and save it.

    Args:
        recipe: What to do.
        folder: Of the run: `recipe.json`, `log.jsonl`, `curves.png`, checkpoints, and at the end
            the model below `model`.
        data_root: Of the data set, if it lies on disk.
        resume: Whether to go on with the run in `folder`.
        device: None takes CUDA if there is one.
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
    dataset, categories = build_dataset(recipe.data, "train", data_root)
    device = device or default_device()
    pretrained = build_pretrained(recipe, categories)
    predictor = build_predictor(pretrained)  # refuses now the thresholds that only results need
    if recipe.init is not None:
        report = start_from(pretrained.modules, read_start(recipe.init), class_names(categories))
        pretrained = dataclasses.replace(pretrained, report=report)
    pretrained.modules.to(device)
    # With class names and vocabulary size: a run on other classes is another run.
    recipe = dataclasses.replace(recipe, model=pretrained.config)
    stream = build_stream(recipe, pretrained, dataset)
    if recipe.optimization.evaluate_every is not None:
        validation = _build_validation(recipe, pretrained, predictor, folder, data_root)
        callbacks = [*callbacks, validation]
    trainer = _build_trainer(
        recipe, pretrained, stream, folder, device, progress=progress, callbacks=callbacks
    )
    trainer.fit(resume=resume)
    save_pretrained(folder / MODEL_FOLDER, pretrained)
    pretrained.modules.eval()
    return pretrained


def default_device() -> str:
    """CUDA if there is any, the CPU otherwise."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def compute_losses(modules: TrainedModules, deep: bool, batch: Batch) -> dict[str, Tensor]:
    """Forward pass and all weighted losses.

    Args:
        modules: Model and criterion.
        deep: Whether the decoder's earlier predictions are supervised too.
        batch: On the device of the modules.

    Returns:
        Losses by name.
    """
    output = modules.model(batch.images, batch.task_tokens, batch.text_tokens, auxiliary=deep)
    return modules.criterion(
        [*output.auxiliary, output.predictions],
        batch.targets,
        output.object_queries,
        output.text_queries,
    )


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
    stream: TrainingStream, recipe: Recipe, path: Path, start: int
) -> DataLoader[Batch]:
    """Batches from a step on; before the first one the recipe is written to `path`."""
    # subtle: the trainer asks for them once it has found the folder free, or the run in it the
    # same, so this never describes a run that is not there.
    write_text_atomically(path, json.dumps(recipe.to_dict(), indent=1) + "\n")
    end = recipe.optimization.steps * recipe.optimization.accumulate
    return make_loader(stream, start_step=start, end_step=end, num_workers=recipe.data.num_workers)


def _build_trainer(
    recipe: Recipe,
    pretrained: Pretrained,
    stream: TrainingStream,
    folder: Path,
    device: str,
    *,
    progress: bool | None,
    callbacks: Sequence[Callable[[Mapping[str, int | float]], None]],
) -> Trainer:
    plan, modules = recipe.optimization, pretrained.modules
    return Trainer(
        model=modules,
        compute_losses=functools.partial(
            compute_losses, modules, pretrained.config.use_auxiliary_loss
        ),
        optimizer=build_optimizer(
            modules,
            base_lr=plan.base_lr,
            backbone_multiplier=plan.backbone_multiplier,
            weight_decay=plan.weight_decay,
        ),
        schedule=Schedule(
            name=plan.schedule,
            total_steps=plan.steps,
            milestones=plan.milestones,
            warmup_fraction=plan.warmup_fraction,
        ),
        loader_from=functools.partial(_loader_from, stream, recipe, folder / RECIPE),
        total_steps=plan.steps,
        folder=folder,
        recipe=recipe.to_dict(),
        device=device,
        accumulate=plan.accumulate,
        clip_norm=plan.clip_norm,
        autocast=plan.autocast,
        checkpoint_every=plan.checkpoint_every,
        callbacks=callbacks,
        progress=progress,
    )
