"""Instance annotations in the COCO format: polygons or run lengths of objects in a JSON file.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Only objects are annotated, so such a file teaches the instance task: what no object covers is void.
For the other tasks say what the rest is (`data/background.py`, `data/instance_and_semantic.py`).
Where masks overlap, the smaller object wins (`data/object_masks.py`).

Not here: panoptic annotations of COCO (`data/coco.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from minioneformer.data.annotation_checks import (
    Entry,
    KeyTypes,
    brief_list,
    check_entries,
    inside,
    load_json,
    refuse_repeated,
)
from minioneformer.data.coco_json import choose_categories
from minioneformer.data.object_masks import Runs, flatten_masks, segmentation_runs
from minioneformer.data.packed_json import PackedJson
from minioneformer.pixels import read_image
from minioneformer.structures import Category, PanopticSample, Segment, Task

IMAGE_KEYS: KeyTypes = {"id": (int, str), "file_name": (str,)}
OBJECT_KEYS: KeyTypes = {
    "id": (int, str),
    "image_id": (int, str),
    "category_id": (int,),
    "segmentation": (list, dict),
}
KEPT_KEYS = ("id", "category_id", "segmentation", "iscrowd")


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskOverlap:
    """What the objects of one image lost to each other.

    Args:
        pixels: That an object lost to another, counted once per loser.
        hidden: Ids of the annotations that have no pixel left, or never had one.
    """

    pixels: int
    hidden: tuple[int | str, ...]


class CocoInstance(Dataset[PanopticSample]):
    """Images with masks of objects, in the order of the file's `images`.

    An image without an annotation is an image without an object.

    Args:
        json_path: The annotation file.
        image_dir: Folder of the images; their `file_name` is relative to it.
        categories: The catalogue whose positions are the labels, matched by `dataset_id`; None
            takes the file's categories in file order, things unless `isthing` says otherwise.

    Attributes:
        categories: The catalogue; position = label.
        tasks: Instance.
        stems: Path of each image below its folder, without its ending.
        without_objects: How many images have no annotation.

    Raises:
        FileNotFoundError: If there is no such annotation file.
        ValueError: If the file is no JSON (with the position), lacks `images`, `annotations` or,
            unless given, `categories`; if an entry lacks a key; if an id occurs twice; if an
            annotation is of no image or of no category. When a sample is read: see
            `__getitem__`.
    """

    def __init__(
        self,
        json_path: str | Path,
        *,
        image_dir: str | Path,
        categories: Sequence[Category] | None = None,
    ) -> None:
        self.json_path = Path(json_path)
        self.image_dir = Path(image_dir)
        images, objects, declared = _read(self.json_path)
        self.categories = choose_categories(declared, categories, self.json_path)
        self.tasks: tuple[Task, ...] = ("instance",)
        self._labels = {category.dataset_id: i for i, category in enumerate(self.categories)}
        of_image = _group(images, objects, self._labels, self.json_path)
        self.stems = tuple(str(Path(image["file_name"]).with_suffix("")) for image in images)
        self.without_objects = sum(not group for group in of_image)
        self._entries = PackedJson(zip(images, of_image, strict=True))

    def __len__(self) -> int:
        """How many images the file has."""
        return len(self._entries)

    def __getitem__(self, index: int) -> PanopticSample:
        """Read one image and rasterise its objects.

        Args:
            index: Position in the file's `images`.

        Returns:
            The sample. Ids of segments count the image's annotations from 1; an object that lost
            all its pixels to smaller ones is left out (see `overlap`).

        Raises:
            IndexError: If there is no such position.
            FileNotFoundError: If the image is missing.
            ValueError: If a path leaves its folder; if the image cannot be read or has another
                size than the file says; if a mask does not fit (see `segmentation_runs`).
        """
        image_entry, objects = self._entries[index]
        where = f"{self.json_path}, image {image_entry['id']!r}"
        image = read_image(inside(self.image_dir, image_entry["file_name"], where))
        size = (image.shape[1], image.shape[2])
        stated = (image_entry.get("height", size[0]), image_entry.get("width", size[1]))
        if stated != size:
            raise ValueError(
                f"{where}: the image must have the size that the file states, "
                f"got (H, W) = {size}, stated {stated}. Was it resized or turned?"
            )
        segment_map, _ = flatten_masks(
            _masks(objects, size, where), [bool(o.get("iscrowd", 0)) for o in objects], size
        )
        visible = set(segment_map.unique().tolist())
        return PanopticSample(
            image=image,
            segment_map=segment_map,
            segments=tuple(
                Segment(
                    id=position,
                    label=self._labels[entry["category_id"]],
                    is_crowd=bool(entry.get("iscrowd", 0)),
                )
                for position, entry in enumerate(objects, start=1)
                if position in visible
            ),
            image_id=image_entry["id"],
            file_name=image_entry["file_name"],
        )

    def overlap(self, index: int) -> MaskOverlap:
        """Count what flattening costs; the image file is read for its size.

        Args:
            index: Position in the file's `images`.

        Returns:
            Pixels lost, annotations without a pixel.

        Raises:
            ValueError: As `__getitem__`.
        """
        sample = self[index]
        objects = self._entries[index][1]
        size = (sample.segment_map.shape[0], sample.segment_map.shape[1])
        masks = _masks(objects, size, str(self.json_path))
        _, lost = flatten_masks(masks, [bool(o.get("iscrowd", 0)) for o in objects], size)
        visible = {segment.id for segment in sample.segments}
        hidden = tuple(o["id"] for i, o in enumerate(objects, start=1) if i not in visible)
        return MaskOverlap(pixels=lost, hidden=hidden)


def _read(path: Path) -> tuple[list[Entry], list[Entry], list[Entry]]:
    """Images, annotations and categories of a file, each entry with the keys it needs."""
    content = load_json(path)
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: must be an object with images, annotations and categories, "
            f"got a {type(content).__name__}."
        )
    for key in ("images", "annotations"):
        if key not in content:
            raise ValueError(f"{path}: needs {key!r}, got keys {brief_list(sorted(content))}.")
    images, objects = content["images"], content["annotations"]
    check_entries(images, IMAGE_KEYS, "image", path, {"height": (int,), "width": (int,)})
    if isinstance(objects, list) and objects and "segments_info" in objects[0]:
        raise ValueError(
            f"{path}: these are panoptic annotations, got 'segments_info'. "
            f"Open them with CocoPanoptic."
        )
    check_entries(objects, OBJECT_KEYS, "annotation", path, {"iscrowd": (int,)})
    declared = content.get("categories", [])
    check_entries(declared, {"id": (int,)}, "category", path)
    refuse_repeated([image["id"] for image in images], "image ids", path)
    refuse_repeated([entry["id"] for entry in objects], "annotation ids", path)
    refuse_repeated([category["id"] for category in declared], "category ids", path)
    return images, objects, [{"isthing": 1, **category} for category in declared]


def _group(
    images: list[Entry], objects: list[Entry], labels: dict[int, int], path: Path
) -> list[list[dict[str, Any]]]:
    """The objects of each image, in file order."""
    groups: dict[int | str, list[dict[str, Any]]] = {image["id"]: [] for image in images}
    for entry in objects:
        if entry["image_id"] not in groups:
            raise ValueError(
                f"{path}: annotation {entry['id']!r} is of no image, "
                f"got image_id={entry['image_id']!r}."
            )
        if entry["category_id"] not in labels:
            raise ValueError(
                f"{path}: annotation {entry['id']!r} has an unknown category, "
                f"got category_id={entry['category_id']}."
            )
        kept = {key: entry[key] for key in KEPT_KEYS if key in entry}
        groups[entry["image_id"]].append(kept)
    return [groups[image["id"]] for image in images]


def _masks(objects: list[Entry], size: tuple[int, int], where: str) -> list[Runs]:
    return [
        segmentation_runs(entry["segmentation"], size, f"{where}, annotation {entry['id']!r}")
        for entry in objects
    ]
