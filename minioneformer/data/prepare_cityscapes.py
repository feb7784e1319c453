"""What the official preparation of Cityscapes writes, image by image.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Not here: writing it (`data/prepare.py`), which segments an image has
(`data/cityscapes_segments.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from scipy.ndimage import find_objects

from minioneformer.data.categories import catalog_rows
from minioneformer.data.cityscapes_files import FOLDER, IMAGE_END, INSTANCE_END, SPLITS, find_files
from minioneformer.data.cityscapes_segments import CATEGORIES, instance_segments
from minioneformer.data.prepare_source import (
    PanopticSource,
    PreparedImage,
    annotation_row,
    image_row,
)
from minioneformer.label_png import read_label_png


def cityscapes_sources(data_root: str | Path) -> list[PanopticSource]:
    """List the splits of Cityscapes that have instance ids; images are not needed.

    Args:
        data_root: The folder that holds `gtFine`, or the one above it if it is called
            `cityscapes`.

    Returns:
        At least one split.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If two files share an id.
    """
    root = Path(data_root)
    root = root if (root / "gtFine").is_dir() else root / FOLDER
    sources = []
    for split in SPLITS:
        folder = root / "gtFine" / split
        files = find_files(folder, INSTANCE_END) if folder.is_dir() else {}
        if files:
            sources.append(_cityscapes_source(root / "gtFine", split, files))
    if not sources:
        raise FileNotFoundError(
            f"Cityscapes is not there, got no file "
            f"{str(root / 'gtFine' / 'train' / '*')}/*{INSTANCE_END}."
        )
    return sources


def _cityscapes_source(folder: Path, split: str, files: Mapping[str, str]) -> PanopticSource:
    ids = tuple(files)
    rows = [
        {
            "id": row["dataset_id"],
            "name": row["name"],
            "color": row["color"],
            "supercategory": row["supercategory"],
            "isthing": row["isthing"],
        }
        for row in catalog_rows("cityscapes")
    ]
    return PanopticSource(
        json_path=folder / f"cityscapes_panoptic_{split}.json",
        png_names=[f"{image_id}_gtFine_panoptic.png" for image_id in ids],
        image_ids=ids,
        categories=rows,
        make=functools.partial(
            _make_cityscapes, ids, [folder / split / name for name in files.values()]
        ),
    )


def _make_cityscapes(ids: Sequence[str], paths: Sequence[Path], index: int) -> PreparedImage:
    image_id, path = ids[index], paths[index]
    segment_map, segments = instance_segments(read_label_png(path), path)
    slices = find_objects(segment_map.numpy())
    boxes = {}
    for segment in segments:
        rows, columns = slices[segment.id - 1]
        boxes[segment.id] = [
            columns.start,
            rows.start,
            columns.stop - columns.start,
            rows.stop - rows.start,
        ]
    # the official file has this name of the image, which is not the one on disk
    name = f"{image_id}_gtFine{IMAGE_END}"
    png_name = f"{image_id}_gtFine_panoptic.png"
    return PreparedImage(
        segment_map=segment_map,
        image=image_row(image_id, name, segment_map),
        annotation=annotation_row(image_id, png_name, segments, boxes, CATEGORIES),
    )
