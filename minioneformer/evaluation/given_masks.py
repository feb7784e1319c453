"""Masks as files hold them, made into compressed run lengths that are safe to compare.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

The COCO format knows three: polygons, plain and compressed run lengths. pycocotools believes
whatever it is given: run lengths that are cut off make it run forever, and masks of another size
than the annotation's just never match.

Not here: masks of a model (`average_precision.py`), scoring (`coco_scores.py`).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from pycocotools import mask as run_lengths

from minioneformer.evaluation.score_files import check_rows, is_number

Size: TypeAlias = tuple[int, int]
FIRST_CODE = 48  # the character of 0
BITS = 5  # of a number in one character; the sixth says that more follow
MAX_CHARACTERS = 7  # of a number


def given_runs(segmentation: Any, size: Size, where: str) -> dict[str, Any]:
    """Compressed run lengths of whatever a file holds.

    Args:
        segmentation: Polygons, plain or compressed run lengths.
        size: (H, W) of the image in pixels.
        where: File and entry, for messages.

    Returns:
        `size` and `counts` (bytes).

    Raises:
        ValueError: If it is none of the three, a mask has another size than the image, or run
            lengths do not fill it.
    """
    if isinstance(segmentation, list):
        return _polygon_runs(segmentation, size, where)
    check_rows([segmentation], {"size": (list,), "counts": (str, list)}, where)
    if segmentation["size"] != list(size):
        raise ValueError(
            f"{where}: a mask must have the size of its image, got size="
            f"{segmentation['size']} (height, width) for an image of {list(size)}."
        )
    counts = segmentation["counts"]
    try:
        pixels = _sum(counts) if isinstance(counts, list) else count_pixels(counts)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if pixels != size[0] * size[1]:
        raise ValueError(
            f"{where}: run lengths must fill the mask, got {pixels} pixels of "
            f"{size[0]} x {size[1]}."
        )
    if isinstance(counts, list):
        return run_lengths.frPyObjects(segmentation, *size)
    return {"size": list(size), "counts": counts.encode()}


def count_pixels(counts: str | bytes) -> int:
    """Pixels that compressed run lengths cover, inside and outside of the mask.

    Args:
        counts: As pycocotools writes them.

    Returns:
        The sum of the runs.

    Raises:
        ValueError: If a character is none of the code, the last number is cut off, or a run is
            negative.

    Example:
        "34" are runs of 3 and 4 pixels, 7 in all.
    """
    codes = np.frombuffer(counts.encode() if isinstance(counts, str) else counts, np.uint8)
    digits = codes.astype(np.int64) - FIRST_CODE
    if not len(digits):
        return 0
    last = digits & 32 == 0  # of its number
    if digits.min() < 0 or digits.max() > 63 or not last[-1]:
        raise ValueError(f"no run lengths, got counts={counts[:20]!r}.")
    first = np.flatnonzero(np.r_[True, last[:-1]])  # of each number
    place = np.arange(len(digits)) - np.repeat(first, np.diff(np.r_[first, len(digits)]))
    if place.max() >= MAX_CHARACTERS:
        raise ValueError(f"no run lengths, got counts={counts[:20]!r}.")
    runs = np.add.reduceat((digits & 31) << (BITS * place), first)
    negative = digits[last] & 16 != 0
    runs[negative] -= 1 << (BITS * (place[last][negative] + 1))
    # subtle: from the fourth on, a run is the difference to the one before the last
    for start in (1, 2):
        runs[start::2] = np.cumsum(runs[start::2])
    if runs.min() < 0:
        raise ValueError(f"no run lengths, got counts={counts[:20]!r}.")
    return int(runs.sum())


def _sum(runs: list[Any]) -> int:
    if not all(isinstance(run, int) and run >= 0 for run in runs):
        raise ValueError(f"runs must be whole numbers from 0, got counts={str(runs)[:40]}.")
    return sum(runs)


def _polygon_runs(polygons: list[Any], size: Size, where: str) -> dict[str, Any]:
    def is_polygon(points: Any) -> bool:
        pairs = isinstance(points, list) and len(points) >= 6 and len(points) % 2 == 0
        return pairs and all(is_number(coordinate) for coordinate in points)

    if not polygons or not all(is_polygon(polygon) for polygon in polygons):
        raise ValueError(
            f"{where}: polygons must be lists of x, y, x, y, ... of three points or more, "
            f"got segmentation={str(polygons)[:60]}."
        )
    return run_lengths.merge(run_lengths.frPyObjects(polygons, *size))
