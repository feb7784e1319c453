"""Recipes: everything a training run depends on, as functions that return frozen data.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.

A run writes its resolved recipe to `recipe.json` and can be compared with it on resuming.

Not here: how a recipe becomes a run (`training/run.py`).
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from minioneformer.config import OneFormerConfig, SwinConfig


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """What is read and how it is changed on the way.

    Args:
        dataset: "toy" (generated) or "coco_panoptic" (files below the data root).
        train_split: Name of the training split.
        val_split: Name of the validation split.
        image_size: (H, W) of generated images.
        train_images: Generated images in an epoch.
        val_images: Generated images that are evaluated; files are all evaluated.
        color_overlap: Of generated images, see `data/toy.py`.
        shortest_edges: In training the shorter side becomes one of these; empty keeps the size.
        longest_edge: Upper bound of the longer side in training.
        crop_size: (H, W) of random crops in training; None crops nothing.
        pad_to_crop: Whether smaller images are padded to the crop.
        color_augmentation: Photometric distortion in training.
        flip: Horizontal flips in training.
        test_shortest_edge: Of the shorter side at test; None keeps the size.
        test_longest_edge: Upper bound of the longer side at test; None sets none.
        task_probabilities: Of semantic, instance, panoptic; they sum to 1.
        num_workers: Processes that make batches; 0 makes them in the training process.
    """

    dataset: Literal["toy", "coco_panoptic"] = "coco_panoptic"
    train_split: str = "train"
    val_split: str = "val"
    image_size: tuple[int, int] = (64, 64)
    train_images: int = 1_000_000
    val_images: int = 200
    color_overlap: float = 0.2
    shortest_edges: tuple[int, ...] = ()
    longest_edge: int | None = None
    crop_size: tuple[int, int] | None = None
    pad_to_crop: bool = False
    color_augmentation: bool = False
    flip: bool = True
    test_shortest_edge: int | None = None
    test_longest_edge: int | None = None
    task_probabilities: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    num_workers: int = 0


@dataclass(frozen=True, kw_only=True)
class OptimizationRecipe:
    """How weights are changed; defaults are the published ones where there are any.

    Args:
        steps: Updates.
        batch_size: Images per batch.
        accumulate: Batches per update.
        base_lr: Learning rate outside the backbone.
        backbone_multiplier: Of the backbone's learning rate; 1 when it starts from nothing.
        weight_decay: Of AdamW.
        clip_norm: Largest gradient norm; None does not clip (as the published code, in effect).
        schedule: "poly", "one_cycle" or "step_decay".
        warmup_fraction: Share of the steps with a rising learning rate.
        milestones: Steps at which "step_decay" divides the learning rate by ten.
        autocast: "bf16" or None.
        checkpoint_every: Steps between checkpoints.
        seed: Of weights, data order, augmentation and points.
    """

    steps: int = 160_000
    batch_size: int = 16
    accumulate: int = 1
    base_lr: float = 1e-4
    backbone_multiplier: float = 0.1
    weight_decay: float = 0.05
    clip_norm: float | None = None
    schedule: str = "poly"
    warmup_fraction: float = 0.0
    milestones: tuple[int, ...] = ()
    autocast: str | None = None
    checkpoint_every: int = 1000
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class InferenceRecipe:
    """Thresholds of post-processing.

    Args:
        object_threshold: Class probability a panoptic segment must exceed.
        overlap_threshold: Share of its mask a panoptic segment must own.
    """

    object_threshold: float = 0.8
    overlap_threshold: float = 0.8


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run.

    Args:
        name: As on the command line.
        vocabulary: "shipped", or a folder with vocab.json and merges.txt, or the original
            merges file.
        model: Class names and vocabulary size are filled in from data set and tokenizer.
        data: What is read.
        optimization: How weights are changed.
        inference: Thresholds stored with the weights.
    """

    name: str
    vocabulary: str = "shipped"
    model: OneFormerConfig = field(default_factory=OneFormerConfig)
    data: DataRecipe = field(default_factory=DataRecipe)
    optimization: OptimizationRecipe = field(default_factory=OptimizationRecipe)
    inference: InferenceRecipe = field(default_factory=InferenceRecipe)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, nested."""
        return dataclasses.asdict(self) | {"model": self.model.to_dict()}


def toy() -> Recipe:
    """The demo: a small model from scratch on generated 64 x 64 scenes.

    Returns:
        A recipe for a laptop without a GPU; figures stand in docs/results.md.
    """
    return Recipe(
        name="toy",
        model=_small_model(num_queries=24),
        data=DataRecipe(dataset="toy", flip=False),
        optimization=OptimizationRecipe(
            steps=1600,
            batch_size=16,
            base_lr=1e-3,
            backbone_multiplier=1.0,
            clip_norm=1.0,
            schedule="one_cycle",
            warmup_fraction=0.1,
            checkpoint_every=200,
        ),
        inference=InferenceRecipe(object_threshold=0.5),
    )


RECIPES: Mapping[str, Callable[[], Recipe]] = {"toy": toy}


def recipe_named(name: str) -> Recipe:
    """A recipe by its name on the command line.

    Args:
        name: One of `RECIPES`.

    Returns:
        The recipe.

    Raises:
        ValueError: If there is no such recipe; near matches are named.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=3) or list(RECIPES)
        raise ValueError(f"unknown recipe, got {name!r}. Near matches: {', '.join(near)}.")
    return RECIPES[name]()


def override(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Change single values of a recipe.

    Args:
        recipe: To start from.
        settings: Each "section.key=value" (or "key=value" at the top level), for instance
            "optimization.base_lr=1e-3" or "model.backbone_config.depths=(2,2,2,2)".

    Returns:
        A new recipe.

    Raises:
        ValueError: If a setting has no "=", names an unknown key (near matches are named), or
            its value is of another type than the one it replaces.
    """
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"settings look like key=value, got {setting!r}.")
        recipe = _replace(recipe, path.split("."), text, setting)
    return recipe


def _replace(owner: Any, path: list[str], text: str, setting: str) -> Any:
    names = [f.name for f in dataclasses.fields(owner)]
    if path[0] not in names:
        near = difflib.get_close_matches(path[0], names, n=3) or names
        raise ValueError(f"unknown key, got {setting!r}. Near matches: {', '.join(near)}.")
    old = getattr(owner, path[0])
    if len(path) > 1:
        if not dataclasses.is_dataclass(old):
            raise ValueError(f"{path[0]} has no keys of its own, got {setting!r}.")
        return dataclasses.replace(owner, **{path[0]: _replace(old, path[1:], text, setting)})
    if dataclasses.is_dataclass(old):
        keys = ", ".join(f.name for f in dataclasses.fields(old))
        raise ValueError(f"{path[0]} is a section, got {setting!r}. Its keys: {keys}.")
    return dataclasses.replace(owner, **{path[0]: _parse(owner, path[0], text, setting)})


def _parse(owner: Any, name: str, text: str, setting: str) -> Any:
    """Read a value as the type that the field declares."""
    declared = next(str(f.type) for f in dataclasses.fields(owner) if f.name == name)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if value is None and "None" in declared:
        return None
    if isinstance(value, bool) or "bool" in declared:
        fits = isinstance(value, bool) and "bool" in declared
    elif "tuple" in declared:
        value = tuple(value) if isinstance(value, list) else value
        fits = isinstance(value, tuple)
    elif "float" in declared:
        fits = isinstance(value, (int, float))
        value = float(value) if fits else value
    elif "int" in declared:
        fits = isinstance(value, int)
    else:
        value, fits = text, True
    if not fits:
        raise ValueError(f"{name} must be {declared}, got {setting!r}.")
    return value


def _small_model(*, num_queries: int) -> OneFormerConfig:
    """A few million parameters, for 64-pixel images on two CPU cores."""
    return OneFormerConfig(
        backbone_config=SwinConfig(
            embed_dim=32,
            depths=(1, 1, 2, 1),
            num_heads=(2, 4, 8, 16),
            window_size=4,
            drop_path_rate=0.0,
        ),
        num_queries=num_queries,
        text_encoder_n_ctx=4,
        text_encoder_width=96,
        text_encoder_num_layers=2,
        conv_dim=96,
        mask_dim=96,
        hidden_dim=96,
        num_attention_heads=4,
        encoder_layers=2,
        encoder_feedforward_dim=256,
        decoder_layers=4,
        dim_feedforward=256,
        train_num_points=512,
        dropout=0.0,
        is_training=True,
    )
