"""Write samples in the on-disk layout of COCO panoptic.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (COCO); not drawn in Figure 2.

    folder/{name}/000000000007.png                  the image (or .jpg, as in the original)
    folder/panoptic_{name}/000000000007.png         its segment map
    folder/annotations/panoptic_{name}.json         images, annotations, categories

Not here: reading it back (`data/coco.py`), the colour code of the PNGs (`panoptic_png.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from minioneformer.atomic import write_text_atomically
from minioneformer.panoptic_png import write_panoptic_png
from minioneformer.structures import VOID_ID, Category, PanopticSample

IMAGE_SUFFIXES = (".png", ".jpg")


def write_coco_panoptic(
    samples: Iterable[PanopticSample],
    categories: Sequence[Category],
    folder: str | Path,
    *,
    name: str = "train",
    image_suffix: str = ".png",
) -> Path:
    """Write images, panoptic PNGs and the annotation file, the latter last and in one step.

    Args:
        samples: Read once, in order; they may come from a generator.
        categories: The catalogue that the samples' labels refer to.
        folder: Root of the layout; created if missing.
        name: Of the split.
        image_suffix: Of the images; ".jpg" is what COCO has, and loses a little.

    Returns:
        The annotation file, `annotations/panoptic_{name}.json`.

    Raises:
        FileExistsError: If that file is there already.
        ValueError: If two samples share an id, an id is no plain file name, a label is not in
            the catalogue, segments and segment map name different ids, or images would be neither
            PNG nor JPEG files.
    """
    if image_suffix not in IMAGE_SUFFIXES:
        raise ValueError(f"images end in {' or '.join(IMAGE_SUFFIXES)}, got {image_suffix=}.")
    folder = Path(folder)
    json_path = folder / "annotations" / f"panoptic_{name}.json"
    if json_path.exists():
        raise FileExistsError(
            f"there is a data set already, got {str(json_path)!r}. "
            f"Choose another folder or name, or delete it first."
        )
    image_folder, png_folder = folder / name, folder / f"panoptic_{name}"
    for needed in (image_folder, png_folder, json_path.parent):
        needed.mkdir(parents=True, exist_ok=True)

    images: dict[int | str, dict[str, Any]] = {}
    annotations = []
    for sample in samples:
        stem = _stem(sample.image_id)
        if sample.image_id in images:
            raise ValueError(f"two samples share an id, got image_id={sample.image_id!r}.")
        image_path, png_path = image_folder / f"{stem}{image_suffix}", png_folder / f"{stem}.png"
        rows = {"image_id": sample.image_id, "file_name": png_path.name}
        annotations.append(rows | {"segments_info": _segments_info(sample, categories)})
        _write_image(sample, image_path)
        write_panoptic_png(png_path, sample.segment_map)
        height, width = sample.segment_map.shape
        size = {"width": width, "height": height}
        images[sample.image_id] = {"id": sample.image_id, "file_name": image_path.name} | size
    content = {
        "images": list(images.values()),
        "annotations": annotations,
        "categories": [_category_row(category) for category in categories],
    }
    write_text_atomically(json_path, json.dumps(content))
    return json_path


def _write_image(sample: PanopticSample, path: Path) -> None:
    pixels = rearrange(sample.image, "C H W -> H W C").contiguous()
    Image.fromarray(pixels.numpy()).save(path, quality=95)  # of JPEG; a PNG has none


def _stem(image_id: int | str) -> str:
    """COCO's twelve digits for a number; the id itself otherwise."""
    stem = f"{image_id:012d}" if isinstance(image_id, int) else image_id
    # subtle: an id such as "../x" would write outside the folder
    if not stem or Path(stem).name != stem:
        raise ValueError(f"an image id must be a plain file name, got {image_id=}.")
    return stem


def _segments_info(sample: PanopticSample, categories: Sequence[Category]) -> list[dict[str, Any]]:
    drawn = set(sample.segment_map.unique().tolist()) - {VOID_ID}
    listed = {segment.id for segment in sample.segments}
    if drawn != listed or len(listed) != len(sample.segments):
        raise ValueError(
            f"segments and segment map must name the same ids, once each, got "
            f"segments={[segment.id for segment in sample.segments]}, in the map "
            f"{sorted(drawn)}, image_id={sample.image_id!r}."
        )
    rows = []
    for segment in sample.segments:
        if not 0 <= segment.label < len(categories):
            raise ValueError(
                f"a label must be in 0 .. {len(categories) - 1}, got {segment.label=}, "
                f"image_id={sample.image_id!r}."
            )
        mask = sample.segment_map == segment.id
        rows.append(
            {
                "id": segment.id,
                "category_id": categories[segment.label].dataset_id,
                "area": int(mask.sum()),
                "bbox": bounding_box(mask),
                "iscrowd": int(segment.is_crowd),
            }
        )
    return rows


def bounding_box(mask: Bool[Tensor, "H W"]) -> list[int]:
    """Find the smallest box around a mask.

    Args:
        mask: Not empty.

    Returns:
        Left, top, width, height in pixels.

    Example:
        A mask whose one pixel is at x = 3, y = 1 has the box [3, 1, 1, 1].
    """
    rows = torch.nonzero(mask.any(dim=1)).flatten()
    columns = torch.nonzero(mask.any(dim=0)).flatten()
    top, left = int(rows[0]), int(columns[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def _category_row(category: Category) -> dict[str, Any]:
    return {
        "id": category.dataset_id,
        "name": category.name,
        "isthing": int(category.is_thing),
        "color": list(category.color),
    }
