"""What the official preparation of ADE20K writes, image by image.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Not here: writing it (`data/prepare.py`), which segments an image has (`data/ade20k_segments.py`).
"""

from __future__ import annotations

import functools
import io
from pathlib import Path

from jaxtyping import Int64
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from minioneformer.data.ade20k import FOLDER, SPLITS, Ade20k, find_split
from minioneformer.data.ade20k_segments import CATEGORIES, PREPARED_COLORS
from minioneformer.data.categories import catalog_rows
from minioneformer.data.coco_writer import bounding_box
from minioneformer.data.prepare_source import (
    PanopticSource,
    PreparedImage,
    annotation_row,
    image_row,
)
from minioneformer.image_bytes import BROKEN_FILE_ERRORS, read_image_bytes


def ade20k_sources(data_root: str | Path) -> list[PanopticSource]:
    """List the splits of ADE20K that are there.

    Args:
        data_root: `ADEChallengeData2016` or the folder that holds it.

    Returns:
        At least one split.

    Raises:
        FileNotFoundError: If no split has `annotations_instance`, or another folder is missing.
        ValueError: If images and annotations do not belong together; if this is the full ADE20K.
    """
    root = Path(data_root)
    root = root if (root / "images").is_dir() else root / FOLDER
    objects = root / "annotations_instance"
    found = [split for split, folder in SPLITS.items() if (objects / folder).is_dir()]
    if not found:
        for split in SPLITS:
            find_split(data_root, split)  # says if it is another data set, or none
        raise FileNotFoundError(
            f"the objects of ADE20K, a download of its own, are not there, got no folder "
            f"{str(objects / 'training')!r}. Without them the data set is semantic only, and "
            f"needs no preparation."
        )
    return [_ade20k_source(root, split) for split in found]


def _ade20k_source(root: Path, split: str) -> PanopticSource:
    folder = SPLITS[split]
    dataset = Ade20k(
        image_dir=root / "images" / folder,
        semantic_dir=root / "annotations" / folder,
        instance_dir=root / "annotations_instance" / folder,
    )
    rows = [
        {
            "name": row["name"],
            "id": row["dataset_id"],
            "isthing": row["isthing"],
            "color": list(PREPARED_COLORS.get(row["id"], row["color"])),
        }
        for row in catalog_rows("ade20k")
    ]
    return PanopticSource(
        json_path=root / f"ade20k_panoptic_{split}.json",
        png_names=[f"{stem}.png" for stem in dataset.stems],
        image_ids=dataset.stems,
        categories=rows,
        make=functools.partial(_make_ade20k, dataset),
    )


def _make_ade20k(dataset: Ade20k, index: int) -> PreparedImage:
    semantic, segment_map, segments = dataset.annotation(index)
    name, stem = dataset.pairs.image_name(index), dataset.stems[index]
    _check_image_size(dataset.pairs.image_dir / name, segment_map)
    boxes = {
        # of stuff as before objects were painted over it, like its area
        segment.id: bounding_box(
            segment_map == segment.id
            if CATEGORIES[segment.label].is_thing
            else semantic == segment.label + 1
        )
        for segment in segments
    }
    return PreparedImage(
        segment_map=segment_map,
        image=image_row(stem, name, segment_map),
        annotation=annotation_row(stem, f"{stem}.png", segments, boxes, CATEGORIES),
    )


def _check_image_size(path: Path, segment_map: Int64[Tensor, "H W"]) -> None:
    try:
        with Image.open(io.BytesIO(read_image_bytes(path))) as image:
            width, height = image.size
    except UnidentifiedImageError:
        raise ValueError(f"not an image, got path={str(path)!r}.") from None
    except BROKEN_FILE_ERRORS as error:
        raise ValueError(f"broken image file, got path={str(path)!r}: {error}.") from None
    if (height, width) != segment_map.shape:
        raise ValueError(
            f"{path}: annotation and image must have one size, got image (H, W) = "
            f"{(height, width)}, annotation {tuple(segment_map.shape)}."
        )
