"""Panoptic annotations in the COCO format: a JSON file, a folder of PNGs, a folder of images.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

The JSON (`data/coco_json.py`) names images, PNGs, segments and categories. The colour of a PNG
pixel is the id of its segment, R + 256 G + 65536 B; 0 is void.

The JSON itself is checked when the data set is made, each annotation when it is read. Nothing is
repaired: what does not fit is an error of one line that names the file.

Not here: writing this format (`data/coco_writer.py`), the classes of COCO itself
(`data/categories.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from minioneformer.data.annotation_checks import brief_list, inside
from minioneformer.data.coco_json import (
    choose_categories,
    parse_segments,
    read_entries,
)
from minioneformer.data.sample_steps import visible_ids
from minioneformer.panoptic_png import read_panoptic_png
from minioneformer.pixels import read_image
from minioneformer.structures import (
    TASKS,
    VOID_ID,
    Category,
    PanopticSample,
    Segment,
    Task,
)


class CocoPanoptic(Dataset[PanopticSample]):
    """Images with panoptic annotations, in the order of the file's `images`.

    Args:
        json_path: The annotation file.
        image_dir: Folder of the images; their `file_name` is relative to it.
        png_dir: Folder of the annotation PNGs; their `file_name` is relative to it.
        categories: The catalogue whose positions are the labels, matched by `dataset_id`; None
            takes the file's categories in file order (a missing colour is made up, spread
            over the colour circle).
        covered: True keeps segments that have no pixel in the PNG, as the preparation of ADE20K
            writes them for stuff that objects cover completely; False refuses them.

    Attributes:
        categories: The catalogue; position = label.
        tasks: All three.
        unannotated: How many images of the file were left out for want of an annotation.

    Raises:
        FileNotFoundError: If there is no such annotation file.
        ValueError: If the file is no JSON (with the position), lacks `images`, `annotations`
            or, unless given, `categories`; if an entry lacks a key; if a category id is not
            among those given; if an id of an image, an annotation or a category occurs twice;
            if an annotation is of no image. When a sample is read: see `__getitem__`.

    Fidelity:
        Official code: drops COCO images without any non-crowd instance from training; here
        every annotated image is kept.
    """

    def __init__(
        self,
        json_path: str | Path,
        *,
        image_dir: str | Path,
        png_dir: str | Path,
        categories: Sequence[Category] | None = None,
        covered: bool = False,
    ) -> None:
        self.tasks: tuple[Task, ...] = TASKS
        self.covered = covered
        self.json_path = Path(json_path)
        self.image_dir = Path(image_dir)
        self.png_dir = Path(png_dir)
        self._entries, declared, self.unannotated = read_entries(self.json_path)
        self.categories = choose_categories(declared, categories, self.json_path)
        self._labels = {category.dataset_id: i for i, category in enumerate(self.categories)}

    @classmethod
    def from_root(
        cls, data_root: str | Path, split: str, *, categories: Sequence[Category] | None = None
    ) -> CocoPanoptic:
        """Find the three parts of a split in their usual places.

        `annotations/panoptic_{split}.json`, the images in `{split}/`, the PNGs in
        `annotations/panoptic_{split}/` or `panoptic_{split}/`; or the same with the year,
        `{split}2017`, as COCO itself has it.

        Args:
            data_root: Folder that holds them.
            split: "train", "val", or whatever the folders are called.
            categories: As for the class.

        Returns:
            The data set.

        Raises:
            FileNotFoundError: If one of the three is in none of its places; the places are named.
        """
        root = Path(data_root)
        names = (split, f"{split}2017")
        json_path = _first_existing([root / "annotations" / f"panoptic_{n}.json" for n in names])
        name = json_path.stem  # panoptic_{split} or panoptic_{split}2017
        return cls(
            json_path,
            image_dir=_first_existing([root / name.removeprefix("panoptic_")]),
            png_dir=_first_existing([root / "annotations" / name, root / name]),
            categories=categories,
        )

    def __len__(self) -> int:
        """How many images have an annotation."""
        return len(self._entries)

    def __getitem__(self, index: int) -> PanopticSample:
        """Read one image and its annotation.

        Args:
            index: Position among the annotated images.

        Returns:
            The sample, crowd segments included, areas as the file states them.

        Raises:
            IndexError: If there is no such position.
            FileNotFoundError: If the image or the PNG is missing.
            ValueError: If a path leaves its folder (nothing is opened then); if the image or
                the PNG cannot be read; if their sizes differ; if a segment lacks a key, has an
                unknown category, an id below 1 or an id used before; if ids of the PNG and of
                the segments are not the same (see `covered`).
        """
        image_entry, annotation = self._entries[index]
        where = f"{self.json_path}, image {image_entry['id']!r}"
        image_path = inside(self.image_dir, image_entry["file_name"], where)
        png_path = inside(self.png_dir, annotation["file_name"], where)
        segments = parse_segments(annotation, self._labels, where)

        image = read_image(image_path)
        segment_map = read_panoptic_png(png_path)
        check_panoptic_png(png_path, segment_map, image, segments, covered=self.covered)
        return PanopticSample(
            image=image,
            segment_map=segment_map,
            segments=segments,
            image_id=image_entry["id"],
            file_name=image_entry["file_name"],
        )


def check_panoptic_png(
    path: Path,
    segment_map: Int[Tensor, "H W"],
    image: UInt8[Tensor, "3 imageH imageW"],
    segments: Sequence[Segment],
    *,
    covered: bool = False,
) -> None:
    """Refuse a PNG that does not fit to its image or to its list of segments.

    Args:
        path: Of the PNG, for messages.
        segment_map: What it holds.
        image: That it annotates.
        segments: That its file lists.
        covered: True allows segments without a pixel.

    Raises:
        ValueError: If the sizes differ; if a pixel has an id that is not listed; if a listed
            segment has no pixel, unless that is allowed.
    """
    if image.shape[1:] != segment_map.shape:
        raise ValueError(
            f"{path}: annotation and image must have one size, "
            f"got PNG (H, W) = {tuple(segment_map.shape)}, image {tuple(image.shape[1:])}."
        )
    painted = visible_ids(segment_map) - {VOID_ID}
    listed = {segment.id for segment in segments}
    if painted - listed:
        raise ValueError(
            f"{path}: every id in the PNG must be in segments_info, "
            f"got unlisted ids {brief_list(sorted(painted - listed))}."
        )
    if listed - painted and not covered:
        raise ValueError(
            f"{path}: every segment in segments_info must have a pixel in the PNG, "
            f"got ids without one {brief_list(sorted(listed - painted))}."
        )


def _first_existing(candidates: Sequence[Path]) -> Path:
    for candidate in candidates:
        if candidate.exists():
            return candidate
    tried = ", ".join(str(candidate) for candidate in candidates)
    raise FileNotFoundError(f"a part of the data set is missing, got none of: {tried}.")
