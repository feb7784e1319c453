"""The parts of a run that a recipe describes: data, model, predictor, batches.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Not here: the run (`training/run.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from minioneformer.checkpoints.image_settings import ImageSettings
from minioneformer.checkpoints.imagenet import load_backbone
from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.checkpoints.pretrained import Pretrained
from minioneformer.config import OneFormerConfig
from minioneformer.data.categories import class_names
from minioneformer.data.large_scale_jitter import LargeScaleJitter
from minioneformer.data.named import open_on_disk
from minioneformer.data.stream import UNIFORM, TrainingStream
from minioneformer.data.task_support import check_tasks, restrict
from minioneformer.data.toy import ToyPanoptic
from minioneformer.data.transforms import TrainTransform
from minioneformer.inference.predictor import Predictor
from minioneformer.processes import world_size
from minioneformer.structures import TASKS, Category
from minioneformer.text.tokenizer import BPETokenizer
from minioneformer.training.recipe import DataRecipe, Recipe


def build_dataset(
    data: DataRecipe, part: str, data_root: str | Path | None
) -> tuple[Any, tuple[Category, ...]]:
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
    split = data.train_split if part == "train" else data.val_split
    found = open_on_disk(data.dataset, data_root, split)
    return found, found.categories


def build_pretrained(recipe: Recipe, categories: Sequence[Category]) -> Pretrained:
    """A model with first weights and everything around it.

    Args:
        recipe: Its seed decides the weights, but for the backbone if that is read from a file.
        categories: The classes.

    Returns:
        The parts, on the CPU.

    Raises:
        FileNotFoundError: If a file of the vocabulary or of the backbone is missing.
        ValueError: If it is broken, or of another backbone.
    """
    tokenizer = load_tokenizer(recipe.vocabulary)
    config = resolve_config(recipe, categories, tokenizer)
    torch.manual_seed(recipe.optimization.seed)
    modules = TrainedModules.from_config(
        config, checkpoint_blocks=recipe.optimization.checkpoint_blocks
    )
    report = None
    if recipe.backbone_weights is not None:
        backbone = modules.model.backbone
        report = load_backbone(backbone, config.backbone_config, recipe.backbone_weights).tensors
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
        report=report,
    )


def resolve_config(
    recipe: Recipe, categories: Sequence[Category], tokenizer: BPETokenizer
) -> OneFormerConfig:
    """The configuration with what data set and tokenizer decide.

    Args:
        recipe: Of a run.
        categories: The classes.
        tokenizer: Of prompts and texts.

    Returns:
        The configuration of the model that is trained.
    """
    return dataclasses.replace(
        recipe.model,
        id2label=dict(enumerate(class_names(categories))),
        num_labels=None,
        text_encoder_vocab_size=tokenizer.vocab_size,
        is_training=recipe.model.contrastive_weight > 0,  # nothing else reads the texts
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


def build_stream(recipe: Recipe, pretrained: Pretrained, dataset: Any) -> TrainingStream:
    """The batches of a run: for each process as many, of one part each.

    Args:
        recipe: How images are changed, and how many make a batch.
        pretrained: Whose classes, tokenizer and sizes the batches are for.
        dataset: The images, a data set with the `tasks` that its labels can teach.

    Returns:
        The stream.

    Raises:
        ValueError: If prompts and texts would be of different lengths, a value is out of range,
            the batch cannot be shared evenly among processes and parts, or the labels cannot teach
            a task that the recipe wants.
    """
    data, config = recipe.data, pretrained.config
    if config.task_seq_len != config.text_encoder_context_length:
        raise ValueError(
            "prompts and texts are tokenized to one length, got "
            f"{config.task_seq_len=}, {config.text_encoder_context_length=}."
        )
    probabilities = restrict(UNIFORM, dataset.tasks)
    if data.task_probabilities is not None:
        probabilities = dict(zip(TASKS, data.task_probabilities, strict=True))
    check_tasks(probabilities, dataset.tasks, data.dataset)
    plan = recipe.optimization
    pieces = world_size() * plan.accumulate
    if pieces < 1 or plan.batch_size % pieces:
        raise ValueError(
            "batch_size must be a multiple of processes x accumulate, got "
            f"{plan.batch_size=}, {world_size()=}, {plan.accumulate=}."
        )
    return TrainingStream(
        dataset=dataset,
        transform=_build_transform(data),
        categories=pretrained.categories,
        tokenizer=pretrained.tokenizer,
        num_text=config.num_text if config.contrastive_weight else None,
        batch_size=plan.batch_size // pieces,
        seed=plan.seed,
        task_probabilities=probabilities,
        text_template=data.text_template,
        context_length=config.task_seq_len,
    )


def _build_transform(data: DataRecipe) -> TrainTransform | LargeScaleJitter:
    if data.large_scale_jitter and data.crop_size is not None:
        return LargeScaleJitter(crop_size=data.crop_size, flip=data.flip)
    return TrainTransform(
        crop_size=data.crop_size,
        shortest_edges=data.shortest_edges or None,
        longest_edge=data.longest_edge,
        color_augmentation=data.color_augmentation,
        flip=data.flip,
        pad_to_crop=data.pad_to_crop,
    )
