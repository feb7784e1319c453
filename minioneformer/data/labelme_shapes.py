"""Shapes of the LabelMe drawing tool as masks.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.
After: the file format of the LabelMe drawing tool.

Points are (x, y) in pixels; (0, 0) is the upper left corner of the image.

Not here: which shapes are one object (`data/labelme.py`).
"""

from __future__ import annotations

import base64
import binascii
import io
import math

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from minioneformer.data.annotation_checks import Entry
from minioneformer.data.object_masks import Runs, polygon_runs
from minioneformer.image_bytes import BROKEN_FILE_ERRORS, check_image_bytes

POINTS_OF = {"rectangle": 2, "circle": 2, "mask": 2}


def shape_runs(shape: Entry, size: tuple[int, int], where: str) -> Runs:
    """Rasterise one shape.

    Args:
        shape: Of the type polygon (if none is named), rectangle (two corners), oriented_rectangle
            (four), circle (its centre and a point on it) or mask (a picture and its corners).
        size: (H, W) of the image.
        where: File and shape, for messages.

    Returns:
        The mask. A circle covers the pixels whose centres lie in it; it may reach over the border.

    Raises:
        ValueError: If the shape has no area (points and lines), another type, a wrong count of
            points, a coordinate that is no finite number or lies outside the image, or a broken
            picture.

    Example:
        A rectangle from (1, 0) to (3, 2) covers 2 x 2 pixels, a circle around (2, 2) through
        (2, 3) the 4 pixels around its centre.
    """
    kind = shape.get("shape_type", "polygon")
    points = _points(shape["points"], POINTS_OF.get(kind), where)
    if kind in ("polygon", "oriented_rectangle"):
        return polygon_runs([[value for point in points for value in point]], size, where)
    if kind == "rectangle":
        (left, top), (right, bottom) = points
        corners = [left, top, right, top, right, bottom, left, bottom]
        return polygon_runs([corners], size, where)
    if kind == "circle":
        return _encode(_circle(points, size, where))
    if kind == "mask":
        return _encode(_picture(shape.get("mask"), points[0], size, where))
    raise ValueError(
        f"{where}: a shape needs an area: polygon, rectangle, oriented_rectangle, circle or mask, "
        f"got shape_type={kind!r}. Give its label the class 'ignore' to leave it out."
    )


def _points(points: list[object], wanted: int | None, where: str) -> list[list[float]]:
    if wanted is not None and len(points) != wanted:
        raise ValueError(f"{where}: needs {wanted} points, got {len(points)}.")
    checked: list[list[float]] = []
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            raise ValueError(f"{where}: a point is [x, y], got {point!r:.60}.")
        for value in point:
            if type(value) not in (int, float) or not math.isfinite(value):
                raise ValueError(f"{where}: coordinates must be finite numbers, got {value!r:.60}.")
        checked.append([float(value) for value in point])
    return checked


def _circle(points: list[list[float]], size: tuple[int, int], where: str) -> np.ndarray:
    (x, y), (edge_x, edge_y) = points
    if not (0 <= x <= size[1] and 0 <= y <= size[0]):
        raise ValueError(
            f"{where}: the centre of a circle must be in the image of (H, W) = {size}, "
            f"got {x=}, {y=}."
        )
    radius = math.hypot(edge_x - x, edge_y - y)
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5  # centres of the pixels
    return np.hypot(columns - x, rows - y) <= radius


def _picture(packed: object, corner: list[float], size: tuple[int, int], where: str) -> np.ndarray:
    """Paste the picture of a mask where its corner says."""
    if not isinstance(packed, str):
        raise ValueError(f"{where}: a shape of type mask needs a picture, got mask={packed!r:.60}.")
    try:
        content = base64.b64decode(packed, validate=True)
        check_image_bytes(content)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as f:
            picture = np.array(f.convert("L")) > 0
    except (binascii.Error, *BROKEN_FILE_ERRORS) as error:
        raise ValueError(f"{where}: broken picture of the mask: {error!s:.80}.") from error
    left, top = int(corner[0]), int(corner[1])
    height, width = picture.shape
    if left < 0 or top < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError(
            f"{where}: the mask leaves the image of (H, W) = {size}, got its corner "
            f"({left}, {top}) and (H, W) = {picture.shape}."
        )
    whole = np.zeros(size, np.bool_)
    whole[top : top + height, left : left + width] = picture
    return whole


def _encode(mask: np.ndarray) -> Runs:
    return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
