"""LabelMe annotations: one JSON file of named shapes per image.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.
After: the file format of the LabelMe drawing tool.

A shape is a polygon, a rectangle, a circle or a painted mask; shapes of one label and one
`group_id` are parts of one object. All shapes of a stuff class are one segment. Where shapes
overlap, the smaller wins (`data/object_masks.py`).

Not here: how a shape becomes a mask (`data/labelme_shapes.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pycocotools import mask as coco_mask
from torch.utils.data import Dataset

from minioneformer.data.annotation_checks import (
    Entry,
    KeyTypes,
    brief_list,
    check_entries,
    inside,
    load_json,
)
from minioneformer.data.labelme_shapes import shape_runs
from minioneformer.data.object_masks import Runs, flatten_masks
from minioneformer.data.own_classes import IGNORE, label_of, own_categories
from minioneformer.pixels import read_image
from minioneformer.structures import TASKS, Category, PanopticSample, Segment, Task

SHAPE_KEYS: KeyTypes = {"label": (str,), "points": (list,)}
SHAPE_OPTIONAL_KEYS: KeyTypes = {"group_id": (int, str, type(None)), "shape_type": (str,)}


class LabelMe(Dataset[PanopticSample]):
    """Images with named shapes, in the order of the files' names.

    Args:
        json_dir: Folder of the JSON files, folders in it included.
        classes: The class names in the order of the labels; or class name, or "ignore", of each
            label in the files.
        stuff: Names of the classes that are not countable. Naming one says that the files
            annotate the whole image, as far as it is not void.
        image_dir: Folder of the images, where they lie by the name that the files give them; None
            looks beside each file, along the path in it.
        categories: A catalogue that has these names, instead of `stuff`.

    Attributes:
        categories: The catalogue; position = label.
        tasks: Instance; all where there is a stuff class.
        stems: Path of each file below its folder, without its ending.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no JSON, or classes and stuff do not agree. When a sample is
            read: see `__getitem__`.
    """

    def __init__(
        self,
        json_dir: str | Path,
        *,
        classes: Sequence[str] | Mapping[str, str],
        stuff: Collection[str] = (),
        image_dir: str | Path | None = None,
        categories: Sequence[Category] | None = None,
    ) -> None:
        self.json_dir = Path(json_dir)
        if not self.json_dir.is_dir():
            raise FileNotFoundError(f"there is no such folder, got {str(json_dir)!r}.")
        self.image_dir = None if image_dir is None else Path(image_dir)
        paths = sorted(self.json_dir.rglob("*.json"))
        if not paths:
            raise ValueError(f"there is no JSON file in the folder, got {str(json_dir)!r}.")
        self.stems = tuple(
            path.relative_to(self.json_dir).with_suffix("").as_posix() for path in paths
        )
        self.class_of = (
            dict(classes) if isinstance(classes, Mapping) else {name: name for name in classes}
        )
        names = [name for name in dict.fromkeys(self.class_of.values()) if name != IGNORE]
        unknown = sorted(set(stuff) - set(names))
        if unknown:
            raise ValueError(f"stuff must be classes, got {unknown}. Classes: {brief_list(names)}.")
        if categories is not None and stuff:
            raise ValueError(f"the catalogue says what is stuff, got {stuff=} too. Omit one.")
        self.categories = own_categories(
            {name: i for i, name in enumerate(names, start=1)},
            things=() if categories is not None else set(names) - set(stuff),
            categories=categories,
        )
        labels = {label_of(name, self.categories, "classes") for name in names}
        whole = any(not self.categories[label].is_thing for label in labels)
        self.tasks: tuple[Task, ...] = TASKS if whole else ("instance",)

    def __len__(self) -> int:
        """How many files there are."""
        return len(self.stems)

    def __getitem__(self, index: int) -> PanopticSample:
        """Read one file, its image, and rasterise its shapes.

        Args:
            index: Position in `stems`.

        Returns:
            The sample, objects in the order of their first shapes; those that lost all their
            pixels to smaller ones are left out.

        Raises:
            IndexError: If there is no such position.
            FileNotFoundError: If the image is missing.
            ValueError: If the file is no JSON or lacks a key; if the path of the image leaves its
                folder; if the image cannot be read or has another size than the file says; if
                a label is unknown (the nearest is named); if a shape has no area or does not
                fit.
        """
        path = self.json_dir / f"{self.stems[index]}.json"
        inside(self.json_dir, path.relative_to(self.json_dir).as_posix(), str(path))
        content = _load(path)
        image_path = self._image_path(path, content["imagePath"])
        if not image_path.is_file():
            raise FileNotFoundError(f"{path}: its image is missing, got {str(image_path)!r}.")
        image = read_image(image_path)
        size = (image.shape[1], image.shape[2])
        stated = (content.get("imageHeight") or size[0], content.get("imageWidth") or size[1])
        if stated != size:
            raise ValueError(
                f"{path}: the image must have the size that the file states, got (H, W) = {size}, "
                f"stated {stated}. Was it resized or turned?"
            )
        labels, masks = self._objects(content["shapes"], size, path)
        segment_map, _ = flatten_masks(masks, [False] * len(masks), size)
        visible = set(segment_map.unique().tolist())
        return PanopticSample(
            image=image,
            segment_map=segment_map,
            segments=tuple(
                Segment(id=position, label=label)
                for position, label in enumerate(labels, start=1)
                if position in visible
            ),
            image_id=self.stems[index],
            file_name=image_path.name,
        )

    def _image_path(self, path: Path, name: str) -> Path:
        posix = PurePosixPath(name.replace("\\", "/"))  # files written on Windows
        if self.image_dir is not None:
            return inside(self.image_dir, posix.name, str(path))
        beside = PurePosixPath(path.parent.relative_to(self.json_dir).as_posix())
        try:
            return inside(self.json_dir, (beside / posix).as_posix(), str(path))
        except ValueError as error:
            raise ValueError(f"{error} Pass image_dir= if the images lie elsewhere.") from error

    def _objects(
        self, shapes: list[Entry], size: tuple[int, int], path: Path
    ) -> tuple[list[int], list[Runs]]:
        """Label and mask of each object: shapes joined by group, stuff by class."""
        parts: dict[tuple[object, ...], list[Runs]] = {}
        for position, shape in enumerate(shapes):
            where = f"{path}, shape {position} {shape['label']!r}"
            name = self._class_name(shape["label"], where)
            if name == IGNORE:
                continue
            label = label_of(name, self.categories, where)
            group = shape.get("group_id")
            # an object without a group is alone: its position tells it from all others
            key: tuple[object, ...] = (label, "shape", position)
            if not self.categories[label].is_thing:
                key = (label,)
            elif group is not None:
                key = (label, "group", group)
            parts.setdefault(key, []).append(shape_runs(shape, size, where))
        labels = [key[0] for key in parts if isinstance(key[0], int)]
        return labels, [coco_mask.merge(runs) for runs in parts.values()]

    def _class_name(self, label: str, where: str) -> str:
        if label in self.class_of:
            return self.class_of[label]
        raise ValueError(
            f"{where}: classes has no such label, got {label!r}. "
            f"Known: {brief_list(list(self.class_of))}. Add it, as {IGNORE!r} if it is no class."
        )


def _load(path: Path) -> Entry:
    content = load_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must be an object with shapes, got {content!r:.60}.")
    check_entries(
        [content],
        {"shapes": (list,), "imagePath": (str,)},
        "LabelMe file",
        path,
        {"imageHeight": (int, type(None)), "imageWidth": (int, type(None))},
    )
    check_entries(content["shapes"], SHAPE_KEYS, "shape", path, SHAPE_OPTIONAL_KEYS)
    return content
