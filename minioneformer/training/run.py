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
from torch.utils.data import DataLoader, Dataset

from minioneformer.atomic import write_text_atomically
from minioneformer.checkpoints.image_settings import ImageSettings
from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.checkpoints.pretrained import Pretrained, save_pretrained
from minioneformer.data.categories import class_names
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.coco_json import brief_list
from minioneformer.data.stream import TrainingStream, make_loader
from minioneformer.data.toy import ToyPanoptic
from minioneformer.data.transforms import TrainTransform
from minioneformer.inference.predictor import Predictor
from minioneformer.structures import TASKS, Batch, Category, PanopticSample
from minioneformer.text.tokenizer import BPETokenizer
from minioneformer.training.initialize import read_start, start_from
from minioneformer.training.optimizer import build_optimizer
from minioneformer.training.recipes import DataRecipe, Recipe
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


def build_dataset(
    data: DataRecipe, part: str, data_root: str | Path | None
) -> tuple[Dataset[PanopticSample], tuple[Category, ...]]:
    """Open a data set.

    Args:
        data: Which one.
        part: "train" or "val".
        data_root: Where its files are; generated data need none.

    Returns:
        The data set and its classes.

    Raises:
        ValueError: If a root is missing or not needed, or files are broken.
        FileNotFoundError: If files are missing.
    """
    if data.dataset == "toy":
        if data_root is not None:
            raise ValueError(f"the toy data set is generated, got data_root={str(data_root)!r}.")
        toy = ToyPanoptic(
            split="train" if part == "train" else "val",
            size=data.image_size,
            length=data.train_images if part == "train" else data.val_images,
            color_overlap=data.color_overlap,
        )
        return toy, toy.categories
    if data_root is None:
        raise ValueError(f"dataset {data.dataset!r} lies on disk: give its data_root.")
    split = data.train_split if part == "train" else data.val_split
    coco = CocoPanoptic.from_root(data_root, split)
    return coco, coco.categories


def build_pretrained(recipe: Recipe, categories: Sequence[Category]) -> Pretrained:
    """A model with random weights and everything around it.

    Args:
        recipe: Its seed decides the weights.
        categories: The classes.

    Returns:
        The parts, on the CPU.
    """
    tokenizer = load_tokenizer(recipe.vocabulary)
    config = dataclasses.replace(
        recipe.model,
        id2label=dict(enumerate(class_names(categories))),
        num_labels=None,
        text_encoder_vocab_size=tokenizer.vocab_size,
        is_training=True,
    )
    torch.manual_seed(recipe.optimization.seed)
    modules = TrainedModules.from_config(config)
    settings = ImageSettings(
        shortest_edge=recipe.data.test_shortest_edge,
        longest_edge=recipe.data.test_longest_edge,
        object_threshold=recipe.inference.object_threshold,
        overlap_threshold=recipe.inference.overlap_threshold,
        separate_parts=recipe.inference.separate_parts,
    )
    return Pretrained(
        config=config,
        modules=modules,
        tokenizer=tokenizer,
        categories=tuple(categories),
        settings=settings,
    )


def load_tokenizer(vocabulary: str) -> BPETokenizer:
    """Open a vocabulary.

    Args:
        vocabulary: "shipped", a folder, or the original merges file.

    Returns:
        The tokenizer.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is broken.
    """
    if vocabulary == "shipped":
        return BPETokenizer.shipped()
    path = Path(vocabulary)
    return BPETokenizer.from_folder(path) if path.is_dir() else BPETokenizer.from_merges_file(path)


def build_predictor(pretrained: Pretrained, *, class_threshold: float | None = None) -> Predictor:
    """A predictor with the settings that the weights carry.

    Args:
        pretrained: A trained model.
        class_threshold: Instances at or below this class probability are left out; None keeps
            all, as AP needs them.

    Returns:
        The predictor; its model is in evaluation mode.
    """
    return Predictor(
        model=pretrained.model,
        tokenizer=pretrained.tokenizer,
        categories=pretrained.categories,
        class_threshold=class_threshold,
        context_length=pretrained.config.task_seq_len,
        **dataclasses.asdict(pretrained.settings),
    )


def build_stream(
    recipe: Recipe, pretrained: Pretrained, dataset: Dataset[PanopticSample]
) -> TrainingStream:
    """The batches of a run.

    Args:
        recipe: How images are changed, and how many make a batch.
        pretrained: Whose classes, tokenizer and sizes the batches are for.
        dataset: The images.

    Returns:
        The stream.

    Raises:
        ValueError: If prompts and texts would be of different lengths, or a value is out of range.
    """
    data, config = recipe.data, pretrained.config
    if config.task_seq_len != config.text_encoder_context_length:
        raise ValueError(
            "prompts and texts are tokenized to one length, got "
            f"{config.task_seq_len=}, {config.text_encoder_context_length=}."
        )
    return TrainingStream(
        dataset=dataset,
        transform=TrainTransform(
            crop_size=data.crop_size,
            shortest_edges=data.shortest_edges or None,
            longest_edge=data.longest_edge,
            color_augmentation=data.color_augmentation,
            flip=data.flip,
            pad_to_crop=data.pad_to_crop,
        ),
        categories=pretrained.categories,
        tokenizer=pretrained.tokenizer,
        num_text=config.num_text if config.contrastive_weight else None,
        batch_size=recipe.optimization.batch_size,
        seed=recipe.optimization.seed,
        task_probabilities=dict(zip(TASKS, data.task_probabilities, strict=True)),
        context_length=config.task_seq_len,
    )


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
