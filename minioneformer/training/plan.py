"""What a recipe comes to, without running it: sizes, parameter groups, memory, epochs.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

The model is built from shapes alone, so this takes a fraction of a second and no memory.

Not here: activations, which depend on images and device and have to be measured
(`training/dry_run.py`); the table of all recipes (`training/recipes_table.py`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.config import OneFormerConfig
from minioneformer.data.categories import load_catalog
from minioneformer.data.toy_scene import CATEGORIES as TOY_CATEGORIES
from minioneformer.presets.published import published_models
from minioneformer.structures import Category
from minioneformer.training.optimizer import parameter_groups
from minioneformer.training.parts import load_tokenizer, resolve_config
from minioneformer.training.published_recipes import published_start
from minioneformer.training.recipe import Recipe

GIB = 2**30
STEP_COUNTER = 4  # bytes that AdamW keeps per tensor beside its two running means


@dataclass(frozen=True, kw_only=True)
class GroupPlan:
    """A parameter group of the optimizer.

    Args:
        part: "backbone" or "rest".
        tensors: How many.
        elements: Numbers in them.
        lr: Learning rate before the schedule.
        weight_decay: Of AdamW.
    """

    part: str
    tensors: int
    elements: int
    lr: float
    weight_decay: float


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What a recipe comes to.

    Args:
        recipe: With class names and vocabulary size filled in.
        groups: Of the optimizer.
        parameters: Of model and criterion, text branch included, trained or not.
        weight_bytes: Parameters and buffers.
        gradient_bytes: Of all that is trained.
        optimizer_bytes: State of AdamW.
        average_bytes: Running mean of the weights, if one is kept.
        images_seen: Steps times batch.
        epochs: The same over the images of the training split; None where they are not known.
        remarks: How the start of this run differs from that of the published one.
    """

    recipe: Recipe
    groups: tuple[GroupPlan, ...]
    parameters: int
    weight_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    average_bytes: int
    images_seen: int
    epochs: float | None
    remarks: tuple[str, ...]

    @property
    def state_bytes(self) -> int:
        """All that stays in memory from step to step; activations and batches come on top."""
        held = self.weight_bytes + self.gradient_bytes + self.optimizer_bytes
        return held + self.average_bytes

    def text(self) -> str:
        """A few lines for a person."""
        plan = self.recipe.optimization
        lines = ["parameter groups (AdamW):"]
        lines += [
            f"  {group.part:8} {group.tensors:4} tensors {group.elements:12,} numbers  "
            f"lr {group.lr:.2g}  weight decay {group.weight_decay:g}"
            for group in self.groups
        ]
        epochs = "" if self.epochs is None else f", {self.epochs:.1f} epochs"
        lines.append(
            f"steps: {plan.steps:,} of {plan.batch_size} images, {self.images_seen:,} images"
            f"{epochs}; schedule {plan.schedule}, {_milestones(plan.milestones)}"
        )
        lines.append(f"parameters: {self.parameters:,}, the text branch included")
        lines.append(
            f"memory: {self.state_bytes / GIB:.2f} GiB = weights {self.weight_bytes / GIB:.2f} + "
            f"gradients {self.gradient_bytes / GIB:.2f} + AdamW {self.optimizer_bytes / GIB:.2f}"
            + (f" + mean weights {self.average_bytes / GIB:.2f}" if self.average_bytes else "")
            + "; activations come on top"
        )
        return "\n".join([*lines, *(f"note: {remark}" for remark in self.remarks)])


def plan_training(recipe: Recipe) -> TrainingPlan:
    """Work out what a recipe comes to.

    Args:
        recipe: Its vocabulary is read; its data and first weights are not.

    Returns:
        The plan. Where the data decide the classes, it is that for the generated data set's.

    Raises:
        FileNotFoundError: If the vocabulary is missing.
        ValueError: If a number is out of range.

    Example:
        A parameter of float32 that is trained takes 16 bytes: itself, its gradient and two
        running means, and each tensor 4 bytes more.
    """
    plan = recipe.optimization
    resolved = resolve(recipe)
    modules = _shapes(_without_names(resolved.model))
    groups = parameter_groups(
        modules,
        base_lr=plan.base_lr,
        backbone_multiplier=plan.backbone_multiplier,
        weight_decay=plan.weight_decay,
        decay_convnext_norms=plan.decay_convnext_norms,
    )
    parameters = list(modules.parameters())
    trained = [tensor for group in groups for tensor in group["params"]]
    gradient_bytes = _bytes(trained)
    images = _train_images(recipe)
    return TrainingPlan(
        recipe=resolved,
        groups=tuple(
            GroupPlan(
                part="backbone" if "backbone" in group["names"][0].split(".") else "rest",
                tensors=len(group["params"]),
                elements=sum(tensor.numel() for tensor in group["params"]),
                lr=group["lr"],
                weight_decay=group["weight_decay"],
            )
            for group in groups
        ),
        parameters=sum(parameter.numel() for parameter in parameters),
        weight_bytes=_bytes([*parameters, *modules.buffers()]),
        gradient_bytes=gradient_bytes,
        optimizer_bytes=2 * gradient_bytes + STEP_COUNTER * len(trained),
        average_bytes=0 if plan.ema_decay is None else _bytes(parameters),
        images_seen=plan.steps * plan.batch_size,
        epochs=None if images is None else plan.steps * plan.batch_size / images,
        remarks=start_remarks(recipe),
    )


def resolve(recipe: Recipe) -> Recipe:
    """Fill in what data set and tokenizer decide, without opening the data set.

    Args:
        recipe: Of a run.

    Returns:
        The recipe of that run; where the data decide the classes, with those of generated data.
    """
    config = resolve_config(recipe, known_classes(recipe), load_tokenizer(recipe.vocabulary))
    return dataclasses.replace(recipe, model=config)


def known_classes(recipe: Recipe) -> tuple[Category, ...]:
    """The classes of a data set that has a catalogue; otherwise those of generated data.

    Args:
        recipe: Of a run.
    """
    published = {model.dataset for model in published_models()}
    return load_catalog(recipe.data.dataset) if recipe.data.dataset in published else TOY_CATEGORIES


def start_remarks(recipe: Recipe) -> tuple[str, ...]:
    """Say how the start of a run differs from that of the published run it follows.

    Args:
        recipe: Of the run.

    Returns:
        One line per difference; none for a recipe that follows no published run.
    """
    model = published_start(recipe.name)
    if model is None:
        return ()
    remarks = []
    if model.starts_from.endswith(".pth") and recipe.init is None:
        remarks.append(
            f"starts from random weights; the published run from the model {model.starts_from}: "
            "--set init=FILE"
        )
    elif recipe.init is None and recipe.backbone_weights is None:
        remarks.append(
            f"the backbone starts from random weights; the published run from {model.starts_from}: "
            "--set backbone_weights=FILE"
        )
    if recipe.vocabulary == "shipped":
        remarks.append(
            "texts in the vocabulary that ships; the published run in CLIP's: "
            "--set vocabulary=bpe_simple_vocab_16e6.txt.gz"
        )
    return tuple(remarks)


def _milestones(milestones: tuple[int, ...]) -> str:
    if not milestones:
        return "no milestones"
    return f"milestones {', '.join(f'{step:,}' for step in milestones)}"


def _train_images(recipe: Recipe) -> int | None:
    if recipe.data.dataset == "toy":
        return recipe.data.train_images
    sizes: dict[str, int] = {model.dataset: model.train_images for model in published_models()}
    return sizes.get(recipe.data.dataset)


def _bytes(tensors: Sequence[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _without_names(config: OneFormerConfig) -> OneFormerConfig:
    """The same sizes; data sets with as many classes share a model of shapes."""
    return dataclasses.replace(config, id2label={}, num_labels=config.num_labels)


@functools.lru_cache(maxsize=64)
def _shapes(config: OneFormerConfig) -> TrainedModules:
    with torch.device("meta"):
        return TrainedModules.from_config(config)
