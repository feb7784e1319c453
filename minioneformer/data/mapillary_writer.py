"""Write samples in the on-disk layout of Mapillary Vistas, so that its reader runs on miniatures.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Images become JPEG files, as in the original, and lose a little.

Not here: the layout in words and its reader (`data/mapillary.py`); the polygons of v2.0, which
nothing reads.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange
from jaxtyping import UInt16
from numpy import ndarray
from PIL import Image

from minioneformer.atomic import write_text_atomically
from minioneformer.data.mapillary import CONFIG_NAMES, JSON_NAMES, OBJECTS_PER_LABEL
from minioneformer.panoptic_png import write_panoptic_png
from minioneformer.structures import Category, PanopticSample


def write_mapillary(
    samples: Iterable[PanopticSample],
    categories: Sequence[Category],
    folder: str | Path,
    *,
    split: str = "training",
    version: str = "v1.2",
) -> Path:
    """Write images, labels, instances and panoptic annotations; the JSON last and in one step.

    Args:
        samples: Read once, in order; they may come from a generator. The file names are the
            image ids. Crowds have no form in `instances`: there they are unlabeled.
        categories: Of the samples; the dataset ids are 1, 2, ... in this order.
        folder: Root of the layout; created if missing.
        split: "training" or "validation".
        version: "v1.2" (annotations beside the images) or "v2.0" (in a folder of that name).

    Returns:
        The panoptic annotation file.

    Raises:
        FileExistsError: If that file is there already.
        ValueError: If the version is unknown; if dataset ids are not 1, 2, ... or more than 255;
            if a class has more than 256 objects in an image; if an image id is no plain file
            name or occurs twice.
    """
    if version not in JSON_NAMES:
        raise ValueError(f"version must be one of {', '.join(JSON_NAMES)}, got {version=}.")
    dataset_ids = [category.dataset_id for category in categories]
    if dataset_ids != list(range(1, len(categories) + 1)) or len(categories) > 255:
        raise ValueError(f"dataset ids must be 1, 2, ... at most 255, got {dataset_ids=}.")
    root = Path(folder)
    target = root / split if version == "v1.2" else root / split / version
    json_path = target / "panoptic" / JSON_NAMES[version]
    if json_path.exists():
        raise FileExistsError(f"there is a data set already, got {str(json_path)!r}.")
    parts = [target / name for name in ("labels", "instances", "panoptic")]
    for needed in (root / split / "images", *parts):
        needed.mkdir(parents=True, exist_ok=True)

    content: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    for sample in samples:
        stem = str(sample.image_id)
        if not stem or Path(stem).name != stem:
            raise ValueError(f"an image id must be a plain file name, got {sample.image_id!r}.")
        if any(image["id"] == stem for image in content["images"]):
            raise ValueError(f"two samples share an id, got image_id={sample.image_id!r}.")
        _write_files(sample, stem, categories, root / split / "images", target)
        height, width = sample.segment_map.shape
        content["images"].append(
            {"id": stem, "file_name": f"{stem}.jpg", "height": height, "width": width}
        )
        content["annotations"].append(_annotation(stem, sample, categories))
    content["categories"] = [_category_row(category) for category in categories]
    _write_config(root / CONFIG_NAMES[version][-1], categories, version)
    write_text_atomically(json_path, json.dumps(content))
    return json_path


def _write_files(
    sample: PanopticSample,
    stem: str,
    categories: Sequence[Category],
    image_dir: Path,
    target: Path,
) -> None:
    """The image and its three kinds of annotation."""
    values = _instance_values(sample, categories)
    pixels = rearrange(sample.image, "C H W -> H W C").contiguous().numpy()
    Image.fromarray(pixels).save(image_dir / f"{stem}.jpg", quality=95)
    _label_picture(values, categories).save(target / "labels" / f"{stem}.png")
    Image.fromarray(values).save(target / "instances" / f"{stem}.png")
    write_panoptic_png(target / "panoptic" / f"{stem}.png", sample.segment_map)


def _instance_values(
    sample: PanopticSample, categories: Sequence[Category]
) -> UInt16[ndarray, "H W"]:
    """256 * label + number of the object within its class; stuff has number 0."""
    segment_map = sample.segment_map.numpy()
    values = np.full(segment_map.shape, len(categories) * OBJECTS_PER_LABEL, np.uint16)
    numbers: Counter[int] = Counter()
    for segment in sample.segments:
        if segment.is_crowd:
            continue
        number = numbers[segment.label] if categories[segment.label].is_thing else 0
        if number >= OBJECTS_PER_LABEL:
            raise ValueError(
                f"at most {OBJECTS_PER_LABEL} objects of a class have a number, got more of "
                f"{categories[segment.label].name!r} in image {sample.image_id!r}."
            )
        values[segment_map == segment.id] = segment.label * OBJECTS_PER_LABEL + number
        numbers[segment.label] += 1
    return values


def _label_picture(values: UInt16[ndarray, "H W"], categories: Sequence[Category]) -> Image.Image:
    picture = Image.fromarray((values // OBJECTS_PER_LABEL).astype(np.uint8))
    picture.putpalette([c for category in categories for c in category.color] + [0, 0, 0])
    return picture


def _annotation(
    stem: str, sample: PanopticSample, categories: Sequence[Category]
) -> dict[str, Any]:
    return {
        "image_id": stem,
        "file_name": f"{stem}.png",
        "segments_info": [
            {
                "id": segment.id,
                "category_id": categories[segment.label].dataset_id,
                "area": int((sample.segment_map == segment.id).sum()),
                "iscrowd": int(segment.is_crowd),
            }
            for segment in sample.segments
        ],
    }


def _category_row(category: Category) -> dict[str, Any]:
    return {
        "id": category.dataset_id,
        "name": category.name,
        "isthing": int(category.is_thing),
        "color": list(category.color),
    }


def _write_config(path: Path, categories: Sequence[Category], version: str) -> None:
    rows = [
        {
            "name": category.name,
            "readable": category.name,
            "instances": category.is_thing,
            "evaluate": True,
            "color": list(category.color),
        }
        for category in categories
    ]
    unlabeled = {"name": "void--unlabeled", "readable": "Unlabeled", "color": [0, 0, 0]}
    rows.append({**unlabeled, "instances": False, "evaluate": False})
    write_text_atomically(path, json.dumps({"labels": rows, "version": version.removeprefix("v")}))
