"""Label maps of files: grey or palette PNGs as they are, panoptic PNGs by way of their JSON.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

Not here: comparing them (`score_semantic.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from minioneformer.evaluation.coco_panoptic_files import (
    MAP_KEYS,
    annotated_segments,
    file_categories,
)
from minioneformer.evaluation.mean_iou import semantic_labels
from minioneformer.evaluation.score_files import (
    Row,
    check_rows,
    read_lists,
    refuse_repeated,
)
from minioneformer.label_png import RGB, read_label_png, read_png_kind
from minioneformer.panoptic_png import read_panoptic_png


class LabelFolder:
    """A folder of PNGs that hold a label per pixel.

    Args:
        folder: Of the PNGs.
        json_path: What the segments of panoptic PNGs are; None means `{folder}.json`. Not opened
            where there are no panoptic PNGs.
        num_classes: Labels are 0 .. num_classes - 1.
        ignore_index: Value of label PNGs that is no label.
        from_one: Whether label PNGs count from 1, and 0 is no label either.
        categories_of: Another folder, whose categories a JSON without any refers to.

    Raises:
        NotADirectoryError: If there is no such folder.
    """

    def __init__(
        self,
        folder: str | Path,
        json_path: str | Path | None = None,
        *,
        num_classes: int,
        ignore_index: int,
        from_one: bool = False,
        categories_of: LabelFolder | None = None,
    ) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise NotADirectoryError(f"no folder of PNGs, got {str(folder)!r}.")
        resolved = self.folder.resolve()
        self.json_path = Path(json_path or resolved.with_name(f"{resolved.name}.json"))
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.from_one = from_one
        self.categories_of = categories_of

    def names(self) -> list[str]:
        """The PNGs, relative to the folder, sorted.

        Raises:
            FileNotFoundError: If there are none.
        """
        names = sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*.png"))
        if not names:
            raise FileNotFoundError(f"no PNG in the folder, got {str(self.folder)!r}.")
        return names

    def read(self, name: str, *, outside: int) -> Int64[Tensor, "H W"]:
        """The labels of one image.

        Args:
            name: Relative to the folder.
            outside: Label of pixels that are of no class: ignored, void or crowd.

        Raises:
            FileNotFoundError: If there is no such file, or no JSON for a panoptic one.
            ValueError: If the file is no readable PNG, holds a value that is no label, or the
                JSON does not fit it.
        """
        path = self.folder / name
        if _is_panoptic(path):
            return self._panoptic(name, outside)
        values = read_label_png(path)
        first = int(self.from_one)
        none = (values == self.ignore_index) | (values < first)
        labels = torch.where(none, outside, values - first)
        unknown = values[~none & (labels >= self.num_classes)].unique()
        if len(unknown):
            raise ValueError(
                f"{path}: values must be labels {first} .. {self.num_classes - 1 + first} or "
                f"ignore_index={self.ignore_index}, got {unknown[:5].tolist()}."
            )
        return labels

    def _panoptic(self, name: str, outside: int) -> Int64[Tensor, "H W"]:
        if self.from_one:
            raise ValueError(
                f"{self.folder / name}: a panoptic PNG names classes by its JSON, there is no zero "
                f"label to take away, got reduce_zero_label=True."
            )
        if name not in self._entries:
            raise ValueError(f"{self.json_path}: lists no such PNG, got file_name={name!r}.")
        segments = annotated_segments(
            self._entries[name], self._labels, f"{self.json_path}, file_name={name!r}"
        )
        try:
            return semantic_labels(
                read_panoptic_png(self.folder / name), segments, ignore_label=outside
            )
        except ValueError as error:
            raise ValueError(f"{self.folder / name}: {error}") from None

    @cached_property
    def _entries(self) -> Mapping[str, Row]:
        """What the JSON says of each PNG."""
        if not self.json_path.is_file():
            raise FileNotFoundError(
                f"{self.folder} holds RGB PNGs; if they are panoptic, their JSON is needed, but "
                f"there is no {str(self.json_path)!r}. Labels are to be grey or palette PNGs."
            )
        rows = read_lists(self.json_path, ("annotations",))["annotations"]
        check_rows(rows, MAP_KEYS, f"{self.json_path}: annotations")
        refuse_repeated([row["file_name"] for row in rows], "file names", self.json_path)
        return {row["file_name"]: row for row in rows}

    @cached_property
    def _labels(self) -> Mapping[int, int]:
        """Label of each category id: its place in the list of the annotation's categories."""
        if self.categories_of is not None and self.categories_of.json_path.is_file():
            return self.categories_of._labels
        rows = read_lists(self.json_path, ("categories",))["categories"]
        categories = file_categories(rows, self.json_path)
        if len(categories) != self.num_classes:
            raise ValueError(
                f"{self.json_path}: lists {len(categories)} categories, "
                f"got num_classes={self.num_classes}."
            )
        return {category.dataset_id: label for label, category in enumerate(categories)}


def _is_panoptic(path: Path) -> bool:
    """Whether the pixels of a PNG are three bytes, and so no labels."""
    try:
        _, kind = read_png_kind(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"every annotated PNG needs a prediction of the same name, got none: {str(path)!r}."
        ) from None
    return kind == RGB
