"""Cityscapes annotations as the official tools prepare them: a JSON file and panoptic PNGs.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (Cityscapes); not drawn in Figure 2.

    gtFine/cityscapes_panoptic_train.json
    gtFine/cityscapes_panoptic_train/aachen_000000_000019_gtFine_panoptic.png

Not here: preparing them (`data/prepare.py`), annotations as downloaded (`data/cityscapes.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch.utils.data import Dataset

from minioneformer.data.annotation_checks import (
    Entry,
    brief_list,
    check_entries,
    inside,
    load_json,
    refuse_repeated,
)
from minioneformer.data.cityscapes_files import (
    IMAGE_END,
    choose_catalog,
    find_files,
    refuse_orphans,
)
from minioneformer.data.cityscapes_segments import CATEGORIES
from minioneformer.data.coco import check_panoptic_png
from minioneformer.data.coco_json import ANNOTATION_KEYS, parse_segments
from minioneformer.data.packed_json import PackedJson
from minioneformer.panoptic_png import read_panoptic_png
from minioneformer.pixels import read_image
from minioneformer.structures import TASKS, Category, PanopticSample, Task


class CityscapesPanoptic(Dataset[PanopticSample]):
    """Images with the panoptic annotation that the official tools prepare.

    The files differ from COCO's: names of images in the JSON are not those on disk, which are
    found by the id; older files list no images and no categories.

    Args:
        json_path: The annotation file. In one whose name ends in `_trainId`, the categories are
            labels of the catalogue; in others, label ids.
        image_dir: Folder of the images, searched with all folders in it.
        png_dir: Folder of the annotation PNGs; their `file_name` is relative to it.
        categories: The catalogue whose positions are the labels, matched by `dataset_id`; None
            takes the catalogue "cityscapes".

    Attributes:
        categories: The catalogue; position = label.
        tasks: All three.
        unannotated: How many images were left out for want of an annotation.

    Raises:
        FileNotFoundError: If there is no such annotation file or folder.
        ValueError: If the file is no JSON (with the position), has no annotations or one without
            its keys; if an image id occurs twice or has no image; if a category has a name that
            is not that of its id. When a sample is read: see `__getitem__`.
    """

    def __init__(
        self,
        json_path: str | Path,
        *,
        image_dir: str | Path,
        png_dir: str | Path,
        categories: Sequence[Category] | None = None,
    ) -> None:
        self.json_path, self.image_dir = Path(json_path), Path(image_dir)
        self.png_dir = Path(png_dir)
        self.tasks: tuple[Task, ...] = TASKS
        self.categories = choose_catalog(categories, self.json_path)
        positions = {category.dataset_id: i for i, category in enumerate(self.categories)}
        uses_train_ids = self.json_path.stem.endswith("_trainId")
        ids = [i if uses_train_ids else c.dataset_id for i, c in enumerate(CATEGORIES)]
        self._labels = {i: positions[c.dataset_id] for i, c in zip(ids, CATEGORIES, strict=True)}

        annotations = _read_annotations(self.json_path, ids)
        images = find_files(self.image_dir, IMAGE_END)
        found = dict.fromkeys(annotation["image_id"] for annotation in annotations)
        refuse_orphans(found, images, self.json_path, self.image_dir)
        self._images = tuple(images[image_id] for image_id in found)
        self._annotations = PackedJson(annotations)
        self.unannotated = len(images) - len(found)

    def __len__(self) -> int:
        """How many images have an annotation."""
        return len(self._annotations)

    def __getitem__(self, index: int) -> PanopticSample:
        """Read one image and its annotation.

        Args:
            index: Position among the annotations.

        Returns:
            The sample, groups as crowds, areas as the file states them.

        Raises:
            IndexError: If there is no such position.
            FileNotFoundError: If the image or the PNG is missing.
            ValueError: If a path leaves its folder; if a file cannot be read; if sizes differ; if
                a segment has an unknown category or an id used before; if ids of the PNG and of
                the segments are not the same.
        """
        annotation = self._annotations[index]
        where = f"{self.json_path}, image {annotation['image_id']!r}"
        png_path = inside(self.png_dir, annotation["file_name"], where)
        segments = parse_segments(annotation, self._labels, where)
        image = read_image(self.image_dir / self._images[index])
        segment_map = read_panoptic_png(png_path)
        check_panoptic_png(png_path, segment_map, image, segments)
        return PanopticSample(
            image=image,
            segment_map=segment_map,
            segments=segments,
            image_id=annotation["image_id"],
            file_name=self._images[index],
        )


def _read_annotations(path: Path, ids: Sequence[int]) -> list[Entry]:
    """Annotations of a file whose categories, if it lists any, are those of Cityscapes.

    Args:
        path: Of the file.
        ids: By which it names the classes of the catalogue.
    """
    content = load_json(path)
    if not isinstance(content, dict) or "annotations" not in content:
        raise ValueError(f"{path}: must be an object with annotations, got {str(content)[:60]!r}.")
    annotations, categories = content["annotations"], content.get("categories", [])
    check_entries(annotations, ANNOTATION_KEYS, "annotation", path)
    check_entries(categories, {"id": (int,), "name": (str,)}, "category", path)
    refuse_repeated([entry["image_id"] for entry in annotations], "image_ids", path)
    names = {i: category.name for i, category in zip(ids, CATEGORIES, strict=True)}
    wrong = [(c["id"], c["name"]) for c in categories if names.get(c["id"]) != c["name"]]
    if wrong:
        raise ValueError(
            f"{path}: categories must be those of Cityscapes, by label id or, in a file called "
            f"*_trainId.json, by train id, got {brief_list(wrong)}."
        )
    return annotations
