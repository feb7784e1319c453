"""Folders of images and PNGs: a label per pixel, or an instance id per pixel.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

`SemanticFolder` reads label maps: the user says which class each raw value is. `InstanceFolder`
reads maps of objects: 0 is no object, every other value is one object.

Not here: both together (`data/instance_and_semantic.py`), what the rest of an instance map is
(`data/background.py`), reading a PNG (`label_png.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import Dataset

from minioneformer.data.annotation_checks import Entry, brief_list, load_json
from minioneformer.data.image_pairs import ImagePairs
from minioneformer.data.own_classes import IGNORE, label_of, own_categories
from minioneformer.structures import VOID_ID, Category, PanopticSample, Segment, Task

LARGEST_VALUE = 65535


class SemanticFolder(Dataset[PanopticSample]):
    """Images with a label map each; a sample has one segment per class present.

    Args:
        image_dir: Folder of the images, folders in it included.
        png_dir: Folder of the label maps, one channel, under the same names.
        values: Class name of each raw value, or "ignore". Several values may be one class. The
            order of the names is the order of the labels.
        things: Names of the countable classes; the labels do not tell their objects apart.
        categories: A catalogue that has these names, instead of `things`.
        png_suffix: What follows the stem in the name of a label map.

    Attributes:
        categories: The catalogue; position = label. The `dataset_id` is the class's first value.
        tasks: Semantic: a label map cannot teach where an object ends.
        stems: Name of each image without its ending.
        unannotated: How many images were left out for want of a label map.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If names of images and PNGs do not agree, or classes and things do not. When
            a sample is read: see `__getitem__`.

    Example:
        `values={0: "ignore", 7: "road", 26: "car"}`: the pixels of value 26 have label 1.
    """

    def __init__(
        self,
        image_dir: str | Path,
        *,
        png_dir: str | Path,
        values: Mapping[int, str],
        things: Collection[str] = (),
        categories: Sequence[Category] | None = None,
        png_suffix: str = ".png",
    ) -> None:
        self.pairs = ImagePairs.find(image_dir, png_dir, png_suffix=png_suffix)
        _check_values(values)
        first: dict[str, int] = {}
        for value, name in values.items():
            if name != IGNORE:
                first.setdefault(name, value)
        self.categories = own_categories(first, things=things, categories=categories)
        self.tasks: tuple[Task, ...] = ("semantic",)
        self.stems = self.pairs.stems
        self.unannotated = self.pairs.unannotated
        self.values = dict(values)
        self._ids = torch.zeros(LARGEST_VALUE + 1, dtype=torch.int64)
        for value, name in values.items():
            if name != IGNORE:  # the id of a segment is its label + 1
                self._ids[value] = label_of(name, self.categories, str(png_dir)) + 1

    def __len__(self) -> int:
        """How many images have a label map."""
        return len(self.pairs.stems)

    def __getitem__(self, index: int) -> PanopticSample:
        """Read one image and its label map.

        Args:
            index: Position among the annotated images.

        Returns:
            The sample, segments in the order of the labels.

        Raises:
            IndexError: If there is no such position.
            FileNotFoundError: If a file has gone.
            ValueError: If a file cannot be read, sizes differ, or the map has a value that
                `values` does not name (with the number of its pixels).
        """
        image, raw = self.pairs.read(index)
        present, counts = raw.unique(return_counts=True)
        for value, count in zip(present.tolist(), counts.tolist(), strict=True):
            if value not in self.values:
                raise ValueError(
                    f"{self.pairs.png_path(index)}: every value must be named, got {value=} in "
                    f"{count} pixels. Add {{{value}: class name or {IGNORE!r}}} to values."
                )
        segment_map = self._ids[raw]
        ids = sorted(set(self._ids[present].tolist()) - {VOID_ID})
        segments = tuple(Segment(id=segment_id, label=segment_id - 1) for segment_id in ids)
        return PanopticSample(
            image=image,
            segment_map=segment_map,
            segments=segments,
            image_id=self.pairs.stems[index],
            file_name=self.pairs.image_name(index),
        )


class InstanceFolder(Dataset[PanopticSample]):
    """Images with a map of objects each: 0 is no object, every other value is one object.

    Exactly one of `class_name`, `class_of` and `class_json` says what class an object has.

    Args:
        image_dir: Folder of the images, folders in it included.
        png_dir: Folder of the maps, one channel of 8 or 16 bits, under the same names.
        class_name: The class of all objects.
        class_of: Class name, or "ignore", of each value // `divisor`.
        class_json: A file {stem of the image: {value: class name or "ignore"}}.
        divisor: For `class_of`.
        categories: A catalogue that has these names; None takes the names as they come, for
            `class_json` in alphabetical order.
        png_suffix: What follows the stem in the name of a map.

    Attributes:
        categories: The catalogue; position = label.
        tasks: Instance: what no object covers is void.
        stems: Name of each image without its ending.
        unannotated: How many images were left out for want of a map.

    Raises:
        FileNotFoundError: If a folder or the file of classes is missing.
        ValueError: If not exactly one source of classes is given, `divisor` is below 1, the file
            of classes has another form, or names do not agree. When a sample is read: see
            `__getitem__`.

    Example:
        `class_of={24: "person", 26: "car"}`: value 26001 is a car.
    """

    def __init__(
        self,
        image_dir: str | Path,
        *,
        png_dir: str | Path,
        class_name: str | None = None,
        class_of: Mapping[int, str] | None = None,
        class_json: str | Path | None = None,
        divisor: int = 1000,
        categories: Sequence[Category] | None = None,
        png_suffix: str = ".png",
    ) -> None:
        if (class_name is not None) + (class_of is not None) + (class_json is not None) != 1:
            raise ValueError(
                f"needs exactly one of class_name, class_of and class_json, "
                f"got {class_name=}, {class_of=}, {class_json=}."
            )
        if divisor < 1:
            raise ValueError(f"divisor must be at least 1, got {divisor=}.")
        self.pairs = ImagePairs.find(image_dir, png_dir, png_suffix=png_suffix)
        self.divisor = divisor
        self.class_name = class_name
        self.class_of = None if class_of is None else dict(class_of)
        self.class_json = None if class_json is None else Path(class_json)
        self._listed = {} if self.class_json is None else _read_classes(self.class_json)
        names = self._names()
        self.categories = own_categories(
            names, things=() if categories is not None else set(names), categories=categories
        )
        self.tasks: tuple[Task, ...] = ("instance",)
        self.stems = self.pairs.stems
        self.unannotated = self.pairs.unannotated

    def _names(self) -> dict[str, int]:
        """The classes, each with the number by which the annotations know it."""
        if self.class_name is not None:
            return {self.class_name: 1}
        if self.class_of is not None:
            _check_values(self.class_of)
            numbers: dict[str, int] = {}
            for number, name in self.class_of.items():
                if name != IGNORE:
                    numbers.setdefault(name, number)
            return numbers
        listed = {name for classes in self._listed.values() for name in classes.values()}
        return {name: i for i, name in enumerate(sorted(listed - {IGNORE}), start=1)}

    def __len__(self) -> int:
        """How many images have a map."""
        return len(self.pairs.stems)

    def __getitem__(self, index: int) -> PanopticSample:
        """Read one image and its map of objects.

        Args:
            index: Position among the annotated images.

        Returns:
            The sample; the id of a segment is its value in the PNG, in ascending order.

        Raises:
            IndexError: If there is no such position.
            FileNotFoundError: If a file has gone.
            ValueError: If a file cannot be read, sizes differ, or an object has no known class
                (with the number of its pixels).
        """
        image, values = self.pairs.read(index)
        segments, ignored = [], []
        present, counts = values.unique(return_counts=True)
        for value, count in zip(present.tolist(), counts.tolist(), strict=True):
            if value == VOID_ID:
                continue
            where = f"{self.pairs.png_path(index)}, value {value} in {count} pixels"
            name = self._class_of_value(value, self.pairs.stems[index], where)
            if name == IGNORE:
                ignored.append(value)
            else:
                segments.append(Segment(id=value, label=label_of(name, self.categories, where)))
        return PanopticSample(
            image=image,
            segment_map=_without(values, ignored),
            segments=tuple(segments),
            image_id=self.pairs.stems[index],
            file_name=self.pairs.image_name(index),
        )

    def _class_of_value(self, value: int, stem: str, where: str) -> str:
        if self.class_name is not None:
            return self.class_name
        if self.class_of is not None:
            number = value // self.divisor
            if number in self.class_of:
                return self.class_of[number]
            raise ValueError(
                f"{where}: no class for value // {self.divisor}, got {number}. "
                f"Known: {brief_list(list(self.class_of))}."
            )
        if str(value) in self._listed.get(stem, {}):
            return self._listed[stem][str(value)]
        raise ValueError(f"{where}: {self.class_json} has no class for it, got {stem=}.")


def _check_values(values: Mapping[int, str]) -> None:
    wrong = [value for value in values if not 0 <= value <= LARGEST_VALUE]
    if wrong:
        raise ValueError(f"values of a PNG are 0 .. {LARGEST_VALUE}, got {brief_list(wrong)}.")


def _read_classes(path: Path) -> dict[str, dict[str, str]]:
    content: Entry = load_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must be an object of stems, got {content!r:.60}.")
    for stem, classes in content.items():
        fits = isinstance(classes, dict) and all(isinstance(c, str) for c in classes.values())
        if not fits:
            raise ValueError(
                f"{path}: {stem!r} must be an object {{value: class name}}, got {classes!r:.60}."
            )
    return content


def _without(values: Int64[Tensor, "H W"], ignored: list[int]) -> Int64[Tensor, "H W"]:
    """Make the pixels of some values void."""
    if not ignored:
        return values
    return torch.where(torch.isin(values, torch.tensor(ignored)), VOID_ID, values)
