"""What is to be prepared of a split, and rows of its annotation file.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Not here: writing it (`data/prepare.py`), the data sets (`data/prepare_ade20k.py`,
`data/prepare_cityscapes.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Int64
from torch import Tensor

from minioneformer.data.annotation_checks import Entry
from minioneformer.structures import Category, Segment


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedImage:
    """What is written about one image.

    Args:
        segment_map: For the PNG.
        image: Row of the JSON's `images`.
        annotation: Row of the JSON's `annotations`.
    """

    segment_map: Int64[Tensor, "H W"]
    image: Entry
    annotation: Entry


@dataclass(frozen=True, kw_only=True, slots=True)
class PanopticSource:
    """A split that can be prepared.

    Args:
        json_path: To write.
        png_names: To write, below the folder that is called like the JSON.
        image_ids: One per PNG.
        categories: Rows of the JSON.
        make: Reads the annotation of the image at a position.
    """

    json_path: Path
    png_names: Sequence[str]
    image_ids: Sequence[str]
    categories: list[Entry]
    make: Callable[[int], PreparedImage]

    @property
    def png_dir(self) -> Path:
        """Folder of the PNGs."""
        return self.json_path.with_suffix("")


def image_row(image_id: str, name: str, segment_map: Int64[Tensor, "H W"]) -> Entry:
    """Make a row of `images`.

    Args:
        image_id: Of the image.
        name: Of its file.
        segment_map: Of its size.

    Returns:
        The row.
    """
    height, width = segment_map.shape
    return {"id": image_id, "file_name": name, "width": width, "height": height}


def annotation_row(
    image_id: str,
    name: str,
    segments: Sequence[Segment],
    boxes: Mapping[int, list[int]],
    categories: Sequence[Category],
) -> Entry:
    """Make a row of `annotations`.

    Args:
        image_id: Of the image.
        name: Of the PNG.
        segments: In the order that they are to be listed.
        boxes: Left, top, width, height of each segment, by its id.
        categories: That the labels of the segments index.

    Returns:
        The row.
    """
    rows = [
        {
            "id": segment.id,
            "category_id": categories[segment.label].dataset_id,
            "area": segment.area,
            "bbox": boxes[segment.id],
            "iscrowd": int(segment.is_crowd),
        }
        for segment in segments
    ]
    return {"image_id": image_id, "file_name": name, "segments_info": rows}
