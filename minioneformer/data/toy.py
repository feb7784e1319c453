"""The toy panoptic data set: generated scenes of stuff and things, seeded, without a download.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2, our own data in place of Sec. 4.1's.

Bands of sky, grass and water, and things in front of them. A thing shows its class by its shape,
and by a hue from a range that overlaps its neighbours' ranges. Objects hide each other, leave the
image, and come in groups of one class that touch. A grey pebble is of no class: void.

Not here: how a scene is drawn (`data/toy_scene.py`), the layout on disk (`data/coco_writer.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.data.toy_scene import CATEGORIES, draw_scene
from minioneformer.structures import TASKS, PanopticSample

SPLITS = ("train", "val")
SMALLEST_SIDE = 16


class ToyPanoptic(Dataset[PanopticSample]):
    """Scenes of three stuff and five thing classes; sample i is a function of its arguments only.

    Args:
        split: "train" or "val"; the two draw from disjoint random streams.
        size: Of the images; with `min_size`, the largest size.
        min_size: When given, each image draws its height and width between this and `size`.
        length: Number of samples. A longer data set starts with the samples of a shorter one.
        seed: Another seed, another data set; >= 0.
        color_overlap: How much of the colour wheel a thing class may use: 0 a narrow range of
            its own, 1 all of it, so that only the shape tells the class. From 0.15 on, the
            ranges of neighbouring classes overlap. Scenes differ in nothing but the colours.
        max_objects: Most things in a scene.

    Raises:
        ValueError: If `split` is unknown, a side is under 16 pixels, `min_size` exceeds `size`,
            or a number is out of its range.

    Example:
        `ToyPanoptic(split="val", length=3)[2]` is the same sample on every run.
    """

    def __init__(
        self,
        *,
        split: str = "train",
        size: tuple[int, int] = (64, 64),
        min_size: tuple[int, int] | None = None,
        length: int = 1000,
        seed: int = 0,
        color_overlap: float = 0.16,
        max_objects: int = 4,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {split=}.")
        smallest = size if min_size is None else min_size
        if min(smallest) < SMALLEST_SIDE or smallest[0] > size[0] or smallest[1] > size[1]:
            raise ValueError(
                f"sides must be >= {SMALLEST_SIDE} and min_size <= size, got {size=}, {min_size=}."
            )
        if length < 0 or seed < 0 or max_objects < 0:
            raise ValueError(f"these must be >= 0, got {length=}, {seed=}, {max_objects=}.")
        if not 0.0 <= color_overlap <= 1.0:
            raise ValueError(f"color_overlap must be in [0, 1], got {color_overlap=}.")
        self.categories = CATEGORIES
        self.tasks: tuple[Task, ...] = TASKS
        self.split = split
        self.size = size
        self.min_size = smallest
        self.length = length
        self.seed = seed
        self.color_overlap = color_overlap
        self.max_objects = max_objects

    def __len__(self) -> int:
        """Number of samples, as asked for."""
        return self.length

    def __getitem__(self, index: int) -> PanopticSample:
        """Draw a sample.

        Args:
            index: From 0; also the sample's image id.

        Returns:
            The sample.

        Raises:
            IndexError: If `index` is negative or not below the length.
        """
        if not 0 <= index < self.length:
            raise IndexError(f"index must be in 0 .. {self.length - 1}, got {index=}.")
        # subtle: the spawn key holds the split, so no train stream is ever a val stream
        seeds = np.random.SeedSequence(self.seed, spawn_key=(SPLITS.index(self.split), index))
        rng = np.random.default_rng(seeds)
        height, width = (
            int(low + rng.random() * (high + 1 - low))
            for low, high in zip(self.min_size, self.size, strict=True)
        )

        image, segment_map, segments = draw_scene(
            rng,
            height,
            width,
            color_overlap=self.color_overlap,
            max_objects=self.max_objects,
        )
        return PanopticSample(
            image=torch.from_numpy(image),
            segment_map=torch.from_numpy(segment_map),
            segments=segments,
            image_id=index,
        )

    def write_coco_panoptic(self, folder: str | Path) -> Path:
        """Write the data set in the layout of COCO panoptic, named after the split.

        Args:
            folder: Root of the layout; created if missing.

        Returns:
            The annotation file, `annotations/panoptic_{split}.json`.

        Raises:
            FileExistsError: If that file is there already.
        """
        samples = (self[index] for index in range(len(self)))
        return write_coco_panoptic(samples, self.categories, folder, name=self.split)
