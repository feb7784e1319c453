"""A recipe: everything a training run depends on, as frozen data.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.

A run writes its resolved recipe to `recipe.json`; another run can be started from that file.

Not here: the recipes there are (`training/recipes.py`), how one becomes a run
(`training/run.py`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from minioneformer.config import OneFormerConfig, check_fields
from minioneformer.field_types import fit_fields
from minioneformer.text.text_list import TEMPLATE

LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """What is read and how it is changed on the way.

    Args:
        dataset: "toy" (generated), or what lies below the data root: "coco_panoptic", "coco",
            "ade20k", "cityscapes", "mapillary_vistas", "own" (described in `dataset.json`).
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
        large_scale_jitter: The augmentation of the COCO recipe instead: a flip, a scale between 0.1
            and 2, a crop of `crop_size` or padding to it.
        color_augmentation: Photometric distortion in training.
        flip: Horizontal flips in training.
        test_shortest_edge: Of the shorter side at test; None keeps the size.
        test_longest_edge: Upper bound of the longer side at test; None sets none.
        task_probabilities: Of semantic, instance, panoptic; they sum to 1. None: equal among those
            that the labels can teach.
        text_template: Of the text of a mask in training: {name} stands for the name of its class,
            {type} for "thing" or "stuff".
        num_workers: Processes that make batches; 0 makes them in the training process.

    Raises:
        ValueError: If there would be no image to train on or to evaluate on, or values of both
            augmentations are given.
    """

    dataset: Literal[
        "toy", "coco_panoptic", "coco", "ade20k", "cityscapes", "mapillary_vistas", "own"
    ] = "coco_panoptic"
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
    large_scale_jitter: bool = False
    color_augmentation: bool = False
    flip: bool = True
    test_shortest_edge: int | None = None
    test_longest_edge: int | None = None
    task_probabilities: tuple[float, float, float] | None = None
    text_template: str = TEMPLATE
    num_workers: int = 0

    def __post_init__(self) -> None:
        """Refuse empty data; whoever uses the other values checks them."""
        if min(self.train_images, self.val_images) < 1:
            raise ValueError(
                f"needs images to train and to evaluate on, got {self.train_images=}, "
                f"{self.val_images=}."
            )
        others = bool(self.shortest_edges) or self.color_augmentation or self.longest_edge
        if self.large_scale_jitter and (others or self.crop_size is None):
            raise ValueError(
                "large_scale_jitter needs a crop_size and takes no shortest_edges, longest_edge or "
                f"color_augmentation, got {self.crop_size=}, {self.shortest_edges=}, "
                f"{self.longest_edge=}, {self.color_augmentation=}."
            )


@dataclass(frozen=True, kw_only=True)
class OptimizationRecipe:
    """How weights are changed; defaults are the published ones where there are any.

    Args:
        steps: Updates.
        batch_size: Images per update, over all processes.
        accumulate: Parts that the share of a process is cut into, so that it fits into memory; the
            update is that of the whole batch.
        base_lr: Learning rate outside the backbone.
        backbone_multiplier: Of the backbone's learning rate; 1 when it starts from nothing.
        weight_decay: Of AdamW.
        decay_convnext_norms: Whether it falls on ConvNeXt's LayerNorms too, as in the published
            code, which knows the LayerNorm of torch only.
        clip_norm: Largest gradient norm; None does not clip (as the published code, in effect).
        schedule: "poly", "one_cycle" or "step_decay".
        warmup_fraction: Share of the steps with a rising learning rate.
        milestones: Steps at which "step_decay" divides the learning rate by ten.
        autocast: "bf16", "fp16" (with loss scaling) or None.
        checkpoint_blocks: Whether the backbone's activations are computed again in the backward
            pass instead of kept: less memory, about a third more time in the backbone.
        compile: Whether `torch.compile` translates the backbone.
        sync_batch_norm: Whether batch norms that learn take their statistics over all processes.
        ema_decay: Of the running mean of the weights, which then is the model that is evaluated and
            saved; None keeps none.
        checkpoint_every: Steps between checkpoints.
        keep_checkpoints: Newest checkpoints that stay on disk.
        keep_every: Checkpoints of steps divisible by it stay for good; None: of none.
        evaluate_every: Steps between evaluations on the validation split; None has none.
        keep_best: Figure that decides which evaluated model is kept as `best`; None takes the first
            of PQ, AP and mIoU that the labels can measure.
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
    decay_convnext_norms: bool = True
    clip_norm: float | None = None
    schedule: str = "poly"
    warmup_fraction: float = 0.0
    milestones: tuple[int, ...] = ()
    autocast: Literal["bf16", "fp16"] | None = None
    checkpoint_blocks: bool = False
    compile: bool = False
    sync_batch_norm: bool = False
    ema_decay: float | None = None
    checkpoint_every: int = 1000
    keep_checkpoints: int = 2
    keep_every: int | None = None
    evaluate_every: int | None = None
    keep_best: Literal["pq", "ap", "miou"] | None = None
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
        backbone_weights: File of an ImageNet classifier that the backbone starts from, see
            `load_backbone` in `checkpoints/imagenet.py`; None starts it from random weights.
        model: Class names and vocabulary size are filled in from data set and tokenizer.
        data: What is read.
        optimization: How weights are changed.
        inference: Thresholds stored with the weights.

    Raises:
        ValueError: If both `init` and `backbone_weights` are given.
    """

    name: str
    vocabulary: str = "shipped"
    init: str | None = None
    backbone_weights: str | None = None
    model: OneFormerConfig = field(default_factory=OneFormerConfig)
    data: DataRecipe = field(default_factory=DataRecipe)
    optimization: OptimizationRecipe = field(default_factory=OptimizationRecipe)
    inference: InferenceRecipe = field(default_factory=InferenceRecipe)

    def __post_init__(self) -> None:
        """Refuse two sources of the same weights."""
        if self.init is not None and self.backbone_weights is not None:
            raise ValueError(
                "a model to start from brings its backbone along, got "
                f"{self.init=}, {self.backbone_weights=}. Leave one of them out."
            )

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


def _section(section: type, values: Mapping[str, Any]) -> Any:
    check_fields(section, values)
    return section(**values)
