"""Shapes of LabelMe as masks.

Mutants that must fail: swap x and y; a circle by its diameter; a picture pasted one pixel off; a
point taken for a shape.
"""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from minioneformer.data.labelme_shapes import shape_runs
from minioneformer.data.object_masks import flatten_masks

SIZE = (5, 7)


def draw(kind, points, **more):
    runs = shape_runs({"shape_type": kind, "points": points, **more}, SIZE, "here")
    owners, _ = flatten_masks([runs], [False], SIZE)
    assert int(coco_mask.area(runs)) == int(owners.sum())
    return owners.bool().numpy()


def picture(mask):
    file = io.BytesIO()
    Image.fromarray(np.asarray(mask, np.uint8)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def with_a_flipped_bit():
    content = bytearray(base64.b64decode(picture([[1, 0], [1, 1]])))
    content[content.index(b"IDAT") + 8] ^= 4
    return base64.b64encode(content).decode()


def block(top, bottom, left, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("points", [[[1, 0], [3, 2]], [[3, 2], [1, 0]], [[3.0, 0], [1, 2.0]]])
def test_a_rectangle_from_any_two_corners(points):
    assert (draw("rectangle", points) == block(0, 2, 1, 3)).all()


def test_a_circle_through_a_point():
    assert (draw("circle", [[2, 2], [2, 3]]) == block(1, 3, 1, 3)).all()
    x, y = np.meshgrid(np.arange(7) + 0.5, np.arange(5) + 0.5)
    expected = (x - 5) ** 2 + (y - 1) ** 2 <= 2.5**2
    assert (draw("circle", [[5, 1], [5, 3.5]]) == expected).all()


def test_a_polygon_is_the_default_and_four_corners_may_be_named():
    points = [[1, 1], [6, 1], [6, 4], [1, 4]]
    runs = shape_runs({"points": points}, SIZE, "here")
    assert (flatten_masks([runs], [False], SIZE)[0].bool().numpy() == block(1, 4, 1, 6)).all()
    assert (draw("oriented_rectangle", points) == block(1, 4, 1, 6)).all()


def test_a_picture_lies_where_its_corner_says():
    mask = draw("mask", [[4, 1], [5, 3]], mask=picture([[1, 0], [1, 1], [0, 255]]))
    expected = np.zeros(SIZE, bool)
    expected[[1, 2, 2, 3], [4, 4, 5, 5]] = True
    assert (mask == expected).all()


@pytest.mark.parametrize(
    ("kind", "points", "more", "message"),
    [
        ("point", [[1, 1]], {}, "a shape needs an area: .*got shape_type='point'. .*'ignore'"),
        ("linestrip", [[1, 1], [2, 2]], {}, "got shape_type='linestrip'"),
        ("rectangle", [[1, 1]], {}, "needs 2 points, got 1"),
        ("polygon", [[1, 1], [2, 2]], {}, "at least 3 points"),
        ("polygon", [[1, 1], [2, 2], 3], {}, r"a point is \[x, y\], got 3"),
        ("circle", [[1, 1], [2, float("nan")]], {}, "finite numbers, got nan"),
        ("circle", [[1, 1], [2, "2"]], {}, "finite numbers, got '2'"),
        ("circle", [[8, 1], [2, 2]], {}, r"centre of a circle must be in the image.*got x=8"),
        ("rectangle", [[1, 1], [9, 2]], {}, "leaves the image"),
        ("mask", [[1, 1], [2, 2]], {}, "needs a picture, got mask=None"),
        ("mask", [[1, 1], [2, 2]], {"mask": "?"}, "broken picture of the mask"),
        ("mask", [[1, 1], [2, 2]], {"mask": "QUJD"}, "broken picture of the mask"),
        ("mask", [[1, 1], [2, 2]], {"mask": with_a_flipped_bit()}, "wrong checksum of part IDAT"),
        ("mask", [[6, 1], [7, 2]], {"mask": picture([[1, 1]])}, r"mask leaves the image.*\(6, 1\)"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(kind, points, more, message):
    with pytest.raises(ValueError, match=f"^here: .*{message}"):
        draw(kind, points, **more)
