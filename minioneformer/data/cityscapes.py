"""Cityscapes as it lies on disk after the download.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (Cityscapes); not drawn in Figure 2.

    leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
    gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png
    gtFine/cityscapes_panoptic_train.json, gtFine/cityscapes_panoptic_train/     once prepared

and the same with `val` and `test`. `Cityscapes` makes the panoptic annotation of the instance ids
when a sample is read; the prepared one (`data/cityscapes_panoptic.py`) is the same.

Not here: what the ids mean (`data/cityscapes_segments.py`), preparing (`data/prepare.py`), polygons
and coarse annotations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from torch.utils.data import Dataset

from minioneformer.data.cityscapes_files import (
    IMAGE_END,
    INSTANCE_END,
    LABEL_END,
    choose_catalog,
    find_files,
    find_root,
    refuse_orphans,
)
from minioneformer.data.cityscapes_panoptic import CityscapesPanoptic
from minioneformer.data.cityscapes_segments import CATEGORIES, instance_segments, label_segments
from minioneformer.label_png import read_label_png
from minioneformer.pixels import read_image
from minioneformer.structures import TASKS, Category, PanopticSample, Task


class Cityscapes(Dataset[PanopticSample]):
    """Images with a map of instance ids, or at least of label ids.

    Args:
        image_dir: Folder of the images, searched with all folders in it.
        annotation_dir: Folder of the annotations, searched in the same way.
        categories: The catalogue whose positions are the labels, matched by `dataset_id`; None
            takes the catalogue "cityscapes".

    Attributes:
        categories: The catalogue; position = label.
        tasks: All three with instance ids, else the semantic one alone.
        ids: Of the images: city, sequence and frame, joined by underscores; sorted.
        unannotated: How many images were left out for want of an annotation.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If an annotation has no image, two files share an id, there is no
            annotation, or the given categories lack some of those of Cityscapes. When a sample
            is read: see `__getitem__`.
    """

    def __init__(
        self,
        *,
        image_dir: str | Path,
        annotation_dir: str | Path,
        categories: Sequence[Category] | None = None,
    ) -> None:
        self.image_dir, self.annotation_dir = Path(image_dir), Path(annotation_dir)
        end = INSTANCE_END
        annotations = find_files(self.annotation_dir, end)
        if not annotations:
            end = LABEL_END
            annotations = find_files(self.annotation_dir, end)
        if not annotations:
            raise ValueError(
                f"{self.annotation_dir}: needs files *{INSTANCE_END} or *{LABEL_END}, got none."
            )
        self.tasks: tuple[Task, ...] = TASKS if end == INSTANCE_END else ("semantic",)
        images = find_files(self.image_dir, IMAGE_END)
        refuse_orphans(annotations, images, self.annotation_dir, self.image_dir)
        self.ids = tuple(annotations)
        self._images = tuple(images[image_id] for image_id in self.ids)
        self._annotations = tuple(annotations.values())
        self.unannotated = len(images) - len(self.ids)
        self.categories = choose_catalog(categories, self.annotation_dir)
        labels = {category.dataset_id: i for i, category in enumerate(self.categories)}
        self._labels = [labels[category.dataset_id] for category in CATEGORIES]

    @classmethod
    def from_root(
        cls, data_root: str | Path, split: str, *, categories: Sequence[Category] | None = None
    ) -> Cityscapes | CityscapesPanoptic:
        """Find the folders of a split, prepared or as downloaded.

        Args:
            data_root: The folder that holds `leftImg8bit` and `gtFine`, or the one above it if
                it is called `cityscapes`.
            split: "train", "val" or "test" (whose public annotations are void).
            categories: As for the class.

        Returns:
            The prepared annotations if they are there, with label ids or else with train ids;
            else the downloaded ones, semantic only without instance ids.

        Raises:
            FileNotFoundError: If there are no such folders.
            ValueError: If `split` is unknown.
        """
        root = find_root(data_root, split)
        image_dir = root / "leftImg8bit" / split
        for name in (f"cityscapes_panoptic_{split}", f"cityscapes_panoptic_{split}_trainId"):
            json_path, png_dir = root / "gtFine" / f"{name}.json", root / "gtFine" / name
            if json_path.is_file() and png_dir.is_dir():
                return CityscapesPanoptic(
                    json_path, image_dir=image_dir, png_dir=png_dir, categories=categories
                )
        return cls(
            image_dir=image_dir, annotation_dir=root / "gtFine" / split, categories=categories
        )

    def __len__(self) -> int:
        """How many images have an annotation."""
        return len(self.ids)

    def annotation_path(self, index: int) -> Path:
        """Where the annotation of an image is."""
        return self.annotation_dir / self._annotations[index]

    def __getitem__(self, index: int) -> PanopticSample:
        """Read one image and its annotation.

        Args:
            index: Position in the order of the ids.

        Returns:
            The sample; the id of a segment is its instance id.

        Raises:
            IndexError: If there is no such position.
            FileNotFoundError: If a file has gone.
            ValueError: If a file cannot be read, sizes differ, or a value is no instance id.
        """
        path = self.annotation_path(index)
        image = read_image(self.image_dir / self._images[index])
        values = read_label_png(path)
        if image.shape[1:] != values.shape:
            raise ValueError(
                f"{path}: annotation and image must have one size, "
                f"got PNG (H, W) = {tuple(values.shape)}, image {tuple(image.shape[1:])}."
            )
        read_segments = instance_segments if self.tasks == TASKS else label_segments
        segment_map, segments = read_segments(values, path)
        return PanopticSample(
            image=image,
            segment_map=segment_map,
            segments=tuple(dataclasses.replace(s, label=self._labels[s.label]) for s in segments),
            image_id=self.ids[index],
            file_name=self._images[index],
        )
