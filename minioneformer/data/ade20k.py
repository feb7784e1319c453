"""ADE20K (SceneParse150) as it lies on disk after the download.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (ADE20K); not drawn in Figure 2.

    images/training/ADE_train_00000001.jpg
    annotations/training/ADE_train_00000001.png             class of each pixel
    annotations_instance/training/ADE_train_00000001.png    objects, a download of its own
    ade20k_panoptic_train.json, ade20k_panoptic_train/      after `minioneformer prepare`

and the same with `validation`, `val`. Without a prepared file, the panoptic annotation is made
when a sample is read, and is the same.

Not here: how the two annotations become one (`data/ade20k_segments.py`), writing the prepared
files (`data/prepare.py`), the full ADE20K of 2017 or 2020, whose classes are others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import Dataset

from minioneformer.data.ade20k_segments import (
    CATEGORIES,
    panoptic_segments,
    semantic_segments,
)
from minioneformer.data.annotation_checks import brief_list
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.coco_json import choose_categories
from minioneformer.data.image_pairs import ImagePairs
from minioneformer.label_png import read_byte_png, read_label_png
from minioneformer.structures import TASKS, Category, PanopticSample, Segment, Task

FOLDER = "ADEChallengeData2016"  # what the download calls itself
SPLITS = {"train": "training", "val": "validation"}


class Ade20k(Dataset[PanopticSample]):
    """Images with a map of classes and, where there is one, a map of objects.

    Args:
        image_dir: Folder of the images.
        semantic_dir: Folder of the maps of classes, under the same names.
        instance_dir: Folder of the maps of objects, under the same names; None if there are none.
        categories: The catalogue whose positions are the labels, matched by `dataset_id`; None
            takes the catalogue "ade20k".

    Attributes:
        categories: The catalogue; position = label.
        tasks: All three with maps of objects, else the semantic one alone.
        pairs: Names of the images and of their maps of classes.
        unannotated: How many images were left out for want of a map of classes.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If an annotation has no image, a map of classes has no map of objects, there
            is nothing to read, or the given categories lack some of ADE20K's. When a sample is
            read: see `__getitem__`.

    Fidelity:
        As the official preparation, but for the ids of the second and later objects of a class
        in an image, which it draws at random.
    """

    def __init__(
        self,
        *,
        image_dir: str | Path,
        semantic_dir: str | Path,
        instance_dir: str | Path | None = None,
        categories: Sequence[Category] | None = None,
    ) -> None:
        self.instance_dir = None if instance_dir is None else Path(instance_dir)
        self.tasks: tuple[Task, ...] = ("semantic",) if instance_dir is None else TASKS
        self.pairs = ImagePairs.find(image_dir, semantic_dir)
        self.unannotated = self.pairs.unannotated
        if self.instance_dir is not None:
            _check_same_stems(self.pairs, self.instance_dir)
        own = [{"id": category.dataset_id} for category in CATEGORIES]
        self.categories = (
            CATEGORIES
            if categories is None
            else choose_categories(own, categories, self.pairs.png_dir)
        )
        labels = {category.dataset_id: i for i, category in enumerate(self.categories)}
        self._labels = [labels[category.dataset_id] for category in CATEGORIES]

    @classmethod
    def from_root(
        cls, data_root: str | Path, split: str, *, categories: Sequence[Category] | None = None
    ) -> Ade20k | CocoPanoptic:
        """Find the folders of a split, prepared or as downloaded.

        Args:
            data_root: `ADEChallengeData2016` or the folder that holds it.
            split: "train" or "val".
            categories: As for the class.

        Returns:
            The prepared annotations if they are there; else the downloaded ones, semantic only
            without `annotations_instance`.

        Raises:
            FileNotFoundError: If there are no such folders.
            ValueError: If `split` is unknown; if this is the full ADE20K, another data set.
        """
        root, folder = find_split(data_root, split)
        name = f"ade20k_panoptic_{split}"
        if (root / f"{name}.json").is_file() and (root / name).is_dir():
            return CocoPanoptic(
                root / f"{name}.json",
                image_dir=root / "images" / folder,
                png_dir=root / name,
                categories=CATEGORIES if categories is None else categories,
                covered=True,
            )
        objects = root / "annotations_instance" / folder
        return cls(
            image_dir=root / "images" / folder,
            semantic_dir=root / "annotations" / folder,
            instance_dir=objects if objects.is_dir() else None,
            categories=categories,
        )

    @property
    def stems(self) -> tuple[str, ...]:
        """Name of each image without its ending, which is its id too."""
        return self.pairs.stems

    def __len__(self) -> int:
        """How many images have a map of classes."""
        return len(self.pairs.stems)

    def __getitem__(self, index: int) -> PanopticSample:
        """Read one image and its annotations.

        Args:
            index: Position in the order of the names.

        Returns:
            The sample: stuff in the order of its classes, then objects by number. A segment of
            stuff that objects cover keeps its area, and is listed even if nothing of it is left.

        Raises:
            IndexError: If there is no such position.
            FileNotFoundError: If a file has gone.
            ValueError: If a file cannot be read, sizes differ, or a value is that of no class.
        """
        image, semantic = self.pairs.read(index)
        segment_map, segments = self._segments(index, semantic)
        return PanopticSample(
            image=image,
            segment_map=segment_map,
            segments=tuple(dataclasses.replace(s, label=self._labels[s.label]) for s in segments),
            image_id=self.stems[index],
            file_name=self.pairs.image_name(index),
        )

    def annotation(
        self, index: int
    ) -> tuple[Int64[Tensor, "H W"], Int64[Tensor, "H W"], tuple[Segment, ...]]:
        """Read the annotations of an image alone.

        Args:
            index: Position in the order of the names.

        Returns:
            The map of classes, its values as the file has them; the segment map; the segments,
            with labels of the catalogue "ade20k".

        Raises:
            IndexError: If there is no such position.
            FileNotFoundError: If a file has gone.
            ValueError: As `__getitem__`, but for the image.
        """
        semantic = read_label_png(self.pairs.png_path(index))
        return semantic, *self._segments(index, semantic)

    def _segments(
        self, index: int, semantic: Int64[Tensor, "H W"]
    ) -> tuple[Int64[Tensor, "H W"], tuple[Segment, ...]]:
        path = self.pairs.png_path(index)
        if self.instance_dir is None:
            return semantic_segments(semantic, semantic_path=path)
        instance_path = self.instance_dir / f"{self.stems[index]}.png"
        return panoptic_segments(
            semantic,
            read_byte_png(instance_path),
            semantic_path=path,
            instance_path=instance_path,
        )


def find_split(data_root: str | Path, split: str) -> tuple[Path, str]:
    """Find `ADEChallengeData2016`, and what it calls a split.

    Args:
        data_root: That folder, or the one that holds it.
        split: "train" or "val".

    Returns:
        The folder; "training" or "validation".

    Raises:
        FileNotFoundError: If there are no images of the split.
        ValueError: If `split` is unknown; if this is the full ADE20K, another data set.
    """
    if split not in SPLITS:
        raise ValueError(f"the splits of ADE20K are {' and '.join(SPLITS)}, got {split=}.")
    roots = [Path(data_root), Path(data_root) / FOLDER]
    for root in roots:
        if (root / "images" / SPLITS[split]).is_dir():
            return root, SPLITS[split]
    if (roots[0] / SPLITS[split]).is_dir():
        raise ValueError(
            f"this looks like the full ADE20K of 2017 or 2020, whose classes are others, "
            f"got data_root={str(data_root)!r}. SceneParse150 ({FOLDER}) is needed: "
            f"images/{SPLITS[split]} and annotations/{SPLITS[split]}."
        )
    places = ", ".join(str(root / "images" / SPLITS[split]) for root in roots)
    raise FileNotFoundError(f"ADE20K is not there, got none of: {places}.")


def _check_same_stems(pairs: ImagePairs, instance_dir: Path) -> None:
    if not instance_dir.is_dir():
        raise FileNotFoundError(f"there is no such folder, got {str(instance_dir)!r}.")
    found = {path.name.removesuffix(".png") for path in instance_dir.glob("*.png")}
    missing = sorted(set(pairs.stems) - found)
    if missing:
        raise ValueError(
            f"{instance_dir}: every map in {pairs.png_dir} needs a map of objects, got none for "
            f"{brief_list(missing)}."
        )
    if found - set(pairs.stems):
        raise ValueError(
            f"{instance_dir}: every map of objects needs a map of classes in {pairs.png_dir}, got "
            f"none for {brief_list(sorted(found - set(pairs.stems)))}."
        )
