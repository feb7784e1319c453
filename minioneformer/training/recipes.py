"""Recipes: everything a training run depends on, as functions that return frozen data.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.

A run writes its resolved recipe to `recipe.json`; another run can be started from that file.

Not here: how a recipe becomes a run (`training/run.py`), how single values are changed
(`training/settings.py`).
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from minioneformer.config import OneFormerConfig, SwinConfig, check_fields
from minioneformer.field_types import fit_fields
from minioneformer.training.settings import change_values

# What data set and tokenizer decide, whatever a recipe says.
FILLED_IN = ("model.id2label", "model.text_encoder_vocab_size", "model.is_training")
LARGEST_SEED = 2**63 - 1


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

    Raises:
        ValueError: If there would be no image to train on or to evaluate on.
    """

    dataset: Literal["toy", "coco_panoptic"] = "coco_panoptic"
    train_split: str = "train"
    val_split: str = "val"
    image_size: tuple[int, int] = (64, 64)
    train_images: int = 1_000_000
    val_images: int = 200
    color_overlap: float = 0.16
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

    def __post_init__(self) -> None:
        """Refuse empty data; whoever uses the other values checks them."""
        if min(self.train_images, self.val_images) < 1:
            raise ValueError(
                f"needs images to train and to evaluate on, got {self.train_images=}, "
                f"{self.val_images=}."
            )


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
        evaluate_every: Steps between evaluations on the validation split; None has none.
        keep_best: Figure that decides which evaluated model is kept as `best`.
        seed: Of weights, data order, augmentation and points.

    Raises:
        ValueError: If the seed does not fit 63 bits.
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
    evaluate_every: int | None = None
    keep_best: Literal["pq", "ap", "miou"] = "pq"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a seed that torch cannot take; whoever uses the other values checks them."""
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ValueError(f"seed must be in 0 .. 2**63 - 1, got {self.seed=}.")


@dataclass(frozen=True, kw_only=True)
class InferenceRecipe:
    """Post-processing.

    Args:
        object_threshold: Class probability a panoptic segment must exceed.
        overlap_threshold: Share of its mask a panoptic segment must own.
        separate_parts: Pixels that a connected part of a thing must have to be an object of its
            own; 0 keeps things whole. For compact objects such as cells.
    """

    object_threshold: float = 0.8
    overlap_threshold: float = 0.8
    separate_parts: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run.

    Args:
        name: As on the command line.
        vocabulary: "shipped", or a folder with vocab.json and merges.txt, or the original
            merges file.
        init: Model to start from, see `read_start` in `training/initialize.py`; None starts from
            random weights.
        model: Class names and vocabulary size are filled in from data set and tokenizer.
        data: What is read.
        optimization: How weights are changed.
        inference: Thresholds stored with the weights.
    """

    name: str
    vocabulary: str = "shipped"
    init: str | None = None
    model: OneFormerConfig = field(default_factory=OneFormerConfig)
    data: DataRecipe = field(default_factory=DataRecipe)
    optimization: OptimizationRecipe = field(default_factory=OptimizationRecipe)
    inference: InferenceRecipe = field(default_factory=InferenceRecipe)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, nested."""
        values = dataclasses.asdict(self) | {"model": self.model.to_dict()}
        return json.loads(json.dumps(values))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Read what `to_dict` wrote.

        Args:
            values: By key; what is missing has its default, but a recipe needs a name.

        Returns:
            The recipe.

        Raises:
            ValueError: If a key is unknown (near matches are named), a value is of another type
                than declared, there is no name, or sizes do not fit together.
        """
        fitted = fit_fields(cls, values, "recipe")
        check_fields(cls, fitted)
        if "name" not in fitted:
            raise ValueError(f"a recipe needs a name, got the keys {', '.join(fitted) or 'none'}.")
        sections = {
            "model": OneFormerConfig.from_dict(fitted.pop("model", {})),
            "data": _section(DataRecipe, fitted.pop("data", {})),
            "optimization": _section(OptimizationRecipe, fitted.pop("optimization", {})),
            "inference": _section(InferenceRecipe, fitted.pop("inference", {})),
        }
        return cls(**sections, **fitted)


def toy() -> Recipe:
    """The demo: a small model from scratch on generated 64 x 64 scenes.

    Returns:
        A recipe for a laptop without a GPU; figures stand in docs/results.md.
    """
    return Recipe(
        name="toy",
        model=_small_model(num_queries=24),
        # Half as large again as drawn: patches of 4 x 4 pixels then are finer than the shapes.
        data=DataRecipe(
            dataset="toy",
            flip=False,
            shortest_edges=(96,),
            longest_edge=192,
            test_shortest_edge=96,
            test_longest_edge=192,
        ),
        optimization=OptimizationRecipe(
            steps=1050,
            batch_size=16,
            base_lr=2e-3,
            backbone_multiplier=1.0,
            clip_norm=0.1,
            schedule="one_cycle",
            warmup_fraction=0.1,
            checkpoint_every=200,
        ),
        inference=InferenceRecipe(object_threshold=0.5, overlap_threshold=0.6),
    )


def nuclei() -> Recipe:
    """Microscopy images in the layout of COCO panoptic, from scratch on two CPU cores.

    Made for 256 to 360 pixels with up to a hundred small objects of one class, such as those of
    the 2018 Data Science Bowl; any folder of that layout will do.

    Returns:
        A recipe; figures stand in docs/results.md.
    """
    return Recipe(
        name="nuclei",
        model=_small_model(num_queries=104),
        data=DataRecipe(
            dataset="coco_panoptic",
            crop_size=(192, 192),
            shortest_edges=(224, 256, 288, 320),
            longest_edge=400,
            color_augmentation=True,
        ),
        optimization=OptimizationRecipe(
            steps=2600,
            batch_size=2,
            base_lr=1e-3,
            backbone_multiplier=1.0,
            clip_norm=0.1,
            schedule="one_cycle",
            warmup_fraction=0.1,
            checkpoint_every=100,
        ),
        inference=InferenceRecipe(object_threshold=0.5, overlap_threshold=0.6),
    )


RECIPES: Mapping[str, Callable[[], Recipe]] = {"toy": toy, "nuclei": nuclei}


def recipe_named(name: str) -> Recipe:
    """A recipe by its name on the command line, or from a file.

    Args:
        name: One of `RECIPES`, or the path of a JSON file such as a run's `recipe.json`.

    Returns:
        The recipe.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such recipe (near matches are named), or the file holds none.
    """
    if name in RECIPES:
        return RECIPES[name]()
    if Path(name).suffix == ".json":
        return _read_recipe(Path(name))
    near = difflib.get_close_matches(name, RECIPES, n=3)
    hint = f"Near matches: {', '.join(near)}." if near else f"There are: {', '.join(RECIPES)}."
    raise ValueError(f"unknown recipe, got {name!r}. {hint} The path of a .json file will do too.")


def override(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Change values of a recipe, all of them together.

    Args:
        recipe: To start from.
        settings: Each "section.key=value" (or "key=value" at the top level), for instance
            "optimization.base_lr=1e-3" or "model.backbone_config.depths=(2,2,2,2)".

    Returns:
        A new recipe.

    Raises:
        ValueError: If a setting has no "=", names an unknown key (near matches are named), one
            that another setting names too, or one that data set and tokenizer decide; if its
            value is of another type than the key's; if the new values do not fit together.
    """
    for setting in settings:
        if setting.partition("=")[0] in FILLED_IN:
            raise ValueError(f"data set and tokenizer decide this key, got {setting!r}.")
    return change_values(recipe, settings)


def _section(section: type, values: Mapping[str, Any]) -> Any:
    check_fields(section, values)
    return section(**values)


def _read_recipe(path: Path) -> Recipe:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"it must hold one object, got a {type(values).__name__}.")
        return Recipe.from_dict(values)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no recipe {str(path)!r}.") from None
    except (ValueError, RecursionError) as error:  # broken JSON and UTF-8 too
        raise ValueError(f"{path} is no recipe: {error}") from error


def _small_model(*, num_queries: int) -> OneFormerConfig:
    """A few million parameters, for 64-pixel images on two CPU cores."""
    return OneFormerConfig(
        backbone_config=SwinConfig(
            embed_dim=32,
            depths=(1, 1, 2, 1),
            num_heads=(2, 4, 8, 16),
            window_size=6,
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
