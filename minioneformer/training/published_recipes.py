"""The recipes of the published models, and the same for one small GPU.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.

One function per data set says how its images are changed; sizes, thresholds and queries are those
of the published model. What the paper, the released configuration and the released code say
differently stands here by name, and docs/guides/recipes.md argues for each default.

Not here: the models (`presets/published.py`), finding a recipe by its name
(`training/recipes.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from minioneformer.config import DinatConfig, ResNetConfig
from minioneformer.presets.published import published_model, published_models
from minioneformer.presets.published_model import PublishedModel
from minioneformer.training.recipe import (
    DataRecipe,
    InferenceRecipe,
    OptimizationRecipe,
    Recipe,
)

# The released code draws the task from the cumulative bounds 0.33 and 0.66.
ALIKE = (0.33, 0.33, 0.34)
WITHOUT_INSTANCE = (0.5, 0.0, 0.5)  # both bounds are 0.50, so the instance task never comes

WEIGHT_DECAY = 0.05  # of every released configuration
WEIGHT_DECAY_OF_PAPER = 0.1  # on ADE20K and Cityscapes
CONFIGURED_CLIP_NORM = 0.01  # and never applied: the released code clips nothing

COCO_50_EPOCHS, COCO_100_EPOCHS = 368_750, 737_500
MILESTONES_50_EPOCHS = (327_778, 355_092)
MILESTONES_100_EPOCHS = (655_556, 710_184)
# The released configuration of Swin-L, and of it alone: probably a slip.
MILESTONES_AS_RELEASED = (655_556, 735_184)

# Of the shorter side, in tenths of a base size.
TENTHS = range(5, 21)

# Recipes for one GPU of 24 GB: the published one that each is made of, and parts of a batch.
ONE_GPU: Mapping[str, tuple[str, int]] = {
    "ade20k_swin_tiny_24gb": ("ade20k_swin_tiny", 4),
    "cityscapes_resnet50_24gb": ("cityscapes_resnet50", 8),
    "coco_swin_tiny_24gb": ("coco_swin_tiny", 8),
}


def published_recipe(model: PublishedModel) -> Recipe:
    """The recipe that a published model was trained with.

    Args:
        model: Its sizes are taken over.

    Returns:
        The recipe, with random first weights and the vocabulary that ships. `published_start`
        names the weights that the published run began with.

    Fidelity:
        Official code: fp16 with loss scaling where we have bf16. Tasks, sizes, steps, learning
        rates and decay are the same.
    """
    data, optimization = _BY_DATASET[model.dataset](model)
    return Recipe(
        name=model.name,
        model=dataclasses.replace(model.config, is_training=True),
        data=data,
        optimization=optimization,
        inference=InferenceRecipe(
            object_threshold=model.object_threshold, overlap_threshold=model.overlap_threshold
        ),
    )


def one_gpu_recipe(name: str) -> Recipe:
    """A published recipe on one GPU of 24 GB: the same batch in parts, in less memory.

    Args:
        name: One of `ONE_GPU`.

    Returns:
        The recipe; the update is that of the whole batch.
    """
    published, parts = ONE_GPU[name]
    recipe = published_recipe(published_model(published))
    plan = dataclasses.replace(
        recipe.optimization,
        accumulate=parts,
        autocast="bf16",
        checkpoint_blocks=True,
        sync_batch_norm=False,
    )
    return dataclasses.replace(recipe, name=name, optimization=plan)


def published_start(name: str) -> PublishedModel | None:
    """Find the published model that a recipe follows.

    Args:
        name: Of a recipe.

    Returns:
        The model, whose `starts_from` names the first weights of its run; None for a recipe
        that follows none.

    Example:
        "ade20k_swin_tiny_24gb" follows "ade20k_swin_tiny"; "toy" follows none.
    """
    name = ONE_GPU[name][0] if name in ONE_GPU else name
    return next((model for model in published_models() if model.name == name), None)


def _ade20k(model: PublishedModel) -> tuple[DataRecipe, OptimizationRecipe]:
    data = _cropped(model, base=model.shortest_edge, pad_to_crop=True, task_probabilities=ALIKE)
    return data, _plan(model, steps=160_000)


def _cityscapes(model: PublishedModel) -> tuple[DataRecipe, OptimizationRecipe]:
    # Nothing is padded: the shortest of the shorter sides is as high as the crop.
    data = _cropped(model, base=model.shortest_edge, pad_to_crop=False, task_probabilities=ALIKE)
    return data, _plan(model, steps=90_000)


def _mapillary_vistas(model: PublishedModel) -> tuple[DataRecipe, OptimizationRecipe]:
    data = _cropped(
        model,
        base=model.shortest_edge,
        pad_to_crop=True,
        task_probabilities=ALIKE if model.is_pretraining else WITHOUT_INSTANCE,
    )
    data = dataclasses.replace(data, num_workers=10)
    return data, _plan(model, steps=300_000, every=30_000)


def _coco(model: PublishedModel) -> tuple[DataRecipe, OptimizationRecipe]:
    data = DataRecipe(
        dataset=model.dataset,
        crop_size=model.crop_size,
        large_scale_jitter=True,
        test_shortest_edge=model.shortest_edge,
        test_longest_edge=model.longest_edge,
        task_probabilities=ALIKE,
        num_workers=4,
    )
    if model.backbone in ("resnet50", "swin_tiny"):
        steps, milestones = COCO_50_EPOCHS, MILESTONES_50_EPOCHS
    else:
        steps, milestones = COCO_100_EPOCHS, MILESTONES_100_EPOCHS
    if model.backbone == "swin_large":
        milestones = MILESTONES_AS_RELEASED
    return data, _plan(model, steps=steps, schedule="step_decay", milestones=milestones)


_BY_DATASET: Mapping[str, Callable[[PublishedModel], tuple[DataRecipe, OptimizationRecipe]]] = {
    "ade20k": _ade20k,
    "cityscapes": _cityscapes,
    "coco": _coco,
    "mapillary_vistas": _mapillary_vistas,
}


def _cropped(
    model: PublishedModel,
    *,
    base: int,
    pad_to_crop: bool,
    task_probabilities: tuple[float, float, float],
) -> DataRecipe:
    """What the images of all data sets but COCO have in common; `base` is a shorter side."""
    return DataRecipe(
        dataset=model.dataset,
        # subtle: the product of floats in this order decides what is rounded down
        shortest_edges=tuple(int(tenths * 0.1 * base) for tenths in TENTHS),
        longest_edge=4 * base,
        crop_size=model.crop_size,
        pad_to_crop=pad_to_crop,
        color_augmentation=True,
        test_shortest_edge=model.shortest_edge,
        test_longest_edge=model.longest_edge,
        task_probabilities=task_probabilities,
        num_workers=4,
    )


def _plan(
    model: PublishedModel,
    *,
    steps: int,
    schedule: str = "poly",
    milestones: tuple[int, ...] = (),
    every: int = 5_000,
) -> OptimizationRecipe:
    """What all plans have in common; what is not here has its default, the published value."""
    backbone = model.config.backbone_config
    # As released: DiNAT everywhere, Swin-L on COCO.
    full_precision = isinstance(backbone, DinatConfig) or model.name == "coco_swin_large"
    return OptimizationRecipe(
        steps=steps,
        weight_decay=WEIGHT_DECAY,
        schedule=schedule,
        milestones=milestones,
        autocast=None if full_precision else "bf16",
        sync_batch_norm=isinstance(backbone, ResNetConfig) and not backbone.frozen_batch_norm,
        checkpoint_every=every,
        evaluate_every=every,
    )
