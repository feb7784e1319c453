"""Masks of objects as annotators draw them: polygons, run lengths; and how they share pixels.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.
After: the mask formats of COCO; pycocotools rasterises.

In a panoptic annotation a pixel has one owner; outlines drawn by hand overlap. **The smaller
object wins**: the tie is in front of the man, the cup in front of the table, and a small object
under a large one would vanish. Of two equally large ones the earlier wins. A crowd, drawn roughly
around others, lies below everything.

Not here: which file says what (`data/coco_instance.py`, `data/labelme.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy import ndarray
from pycocotools import mask as coco_mask
from torch import Tensor

Runs = dict[str, Any]  # a mask as pycocotools has it: {"size": [H, W], "counts": bytes}

MARGIN = 1.0  # pixels by which drawing tools round beyond the border


def polygon_runs(polygons: object, size: tuple[int, int], where: str) -> Runs:
    """Rasterise the parts of one object.

    Args:
        polygons: One list x, y, x, y, ... per part, in pixels; (0, 0) is the corner of the image.
        size: (H, W) of the image.
        where: File and object, for messages.

    Returns:
        The union of the parts. It may be empty: a sliver covers no pixel.

    Raises:
        ValueError: If there is no part, a part has fewer than 3 points or an odd count of
            numbers, or a coordinate is no finite number or more than 1 pixel outside the image.

    Example:
        [[0, 0, 2, 0, 2, 1, 0, 1]] covers the first two pixels of the first row.
    """
    if not isinstance(polygons, list) or not polygons:
        raise ValueError(
            f"{where}: needs an outline, got segmentation={polygons!r:.60}. "
            f"A box alone does not say which pixels belong to the object."
        )
    for polygon in polygons:
        _check_polygon(polygon, size, where)
    parts = coco_mask.frPyObjects(polygons, *size)
    return coco_mask.merge(parts)


def segmentation_runs(segmentation: object, size: tuple[int, int], where: str) -> Runs:
    """Read a mask in any form that COCO files have: polygons, run lengths, packed run lengths.

    Args:
        segmentation: As the file has it.
        size: (H, W) of the image.
        where: File and object, for messages.

    Returns:
        The mask.

    Raises:
        ValueError: As `polygon_runs`; if run lengths have another size than the image, are
            negative or do not fill it, or a packed text is broken.

    Example:
        {"size": [2, 2], "counts": [1, 2, 1]} counts down the columns: the lower left and the
        upper right pixel.
    """
    if not isinstance(segmentation, dict):
        return polygon_runs(segmentation, size, where)
    counts = segmentation.get("counts")
    stated = segmentation.get("size")
    if stated != list(size):
        raise ValueError(
            f"{where}: run lengths must have the size of the image, got size={stated!r:.60}, "
            f"image (H, W) = {size}."
        )
    # subtle: pycocotools writes past its memory where runs do not fill the image exactly
    lengths = _unpack(counts, where) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(type(n) is int and n >= 0 for n in lengths):
        raise ValueError(f"{where}: run lengths must be integers >= 0, got {counts!r:.60}.")
    if sum(lengths) != size[0] * size[1]:
        raise ValueError(
            f"{where}: run lengths must fill the image, got {sum(lengths)} of "
            f"{size[0] * size[1]} pixels."
        )
    return coco_mask.frPyObjects({"size": list(size), "counts": lengths}, *size)


def flatten_masks(
    masks: Sequence[Runs], is_crowd: Sequence[bool], size: tuple[int, int]
) -> tuple[Int64[Tensor, "H W"], int]:
    """Give each pixel to one object: the smaller wins, crowds lie below.

    Args:
        masks: May overlap.
        is_crowd: True for crowds.
        size: (H, W) of the image.

    Returns:
        Position + 1 of the owner of each pixel, 0 where there is none; how many pixels were lost
        to another object, counted once per loser.

    Example:
        A table of 6 pixels with a cup of 2 on it: the table keeps 4, 2 are lost.
    """
    owners = np.zeros(size, np.int64)
    areas = [int(coco_mask.area(runs)) for runs in masks]
    # painted in this order, the last is on top: the smallest, of equals the earliest
    order = sorted(range(len(masks)), key=lambda i: (not is_crowd[i], -areas[i], -i))
    for i in order:
        owners[_decode(masks[i])] = i + 1
    return torch.from_numpy(owners), sum(areas) - int(np.count_nonzero(owners))


def _decode(runs: Runs) -> Bool[ndarray, "H W"]:
    """Write a mask out; pycocotools' own way warns with NumPy 2."""
    height, width = runs["size"]
    lengths = _unpack(runs["counts"].decode(), "a mask of pycocotools")
    inside = np.arange(len(lengths)) % 2 == 1  # runs alternate, the first is outside
    return np.repeat(inside, lengths).reshape(width, height).T  # down the columns


def _check_polygon(polygon: object, size: tuple[int, int], where: str) -> None:
    # subtle: pycocotools takes four numbers for a box, and NaN for a place
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(f"{where}: a polygon is x, y of at least 3 points, got {polygon!r:.60}.")
    for position, value in enumerate(polygon):
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValueError(f"{where}: coordinates must be finite numbers, got {value!r:.60}.")
        axis, longest = ("y", size[0]) if position % 2 else ("x", size[1])
        if not -MARGIN <= value <= longest + MARGIN:
            raise ValueError(
                f"{where}: the polygon leaves the image of (H, W) = {size}, got {axis}={value}. "
                f"Cut it off at the border; were the coordinates made for another size?"
            )


def _unpack(text: str, where: str) -> list[int]:
    """Read the packed run lengths of COCO: 5 bits a character, from the third on differences."""
    lengths: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError(f"{where}: broken run lengths, got {character=} in {text!r:.60}.")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more to come
            continue
        if bits & 16:  # negative
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError(f"{where}: run lengths are cut off, got {text!r:.60}.")
    return lengths
