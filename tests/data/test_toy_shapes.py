import numpy as np
import pytest

from minioneformer.data.toy_shapes import PEBBLE, signed_distance, texture


def _at(shape, x, y):
    point = signed_distance(shape, np.full((1, 1), x, np.float32), np.full((1, 1), y, np.float32))
    return point.item()


@pytest.mark.parametrize(
    ("shape", "x", "y", "distance"),
    [
        ("circle", 2, 0, 1),
        ("circle", 0, 0, -1),
        ("circle", 0.6, 0.8, 0),
        ("square", 0.8, 0.3, 0),
        ("square", 0.1, -1.8, 1),
        ("triangle", 0, 0, -0.6),
        ("triangle", 0, 0.6, 0),  # the flat side is below
        ("triangle", 0, -1.2, 0),  # the corner is above
        ("triangle", 0.6 * 3**0.5, 0.6, 0),  # lower right corner
        ("ring", 0, 0, 0.5),  # the hole
        ("ring", 0.75, 0, -0.25),
        ("ring", 0, -1.5, 0.5),
        ("cross", 0, 0, -0.33),
        ("cross", 0.9, 0, -0.1),
        ("cross", 0.6, 0.6, 0.27),  # between the arms
        (PEBBLE, 0, 0, -1),
        (PEBBLE, 1, 0, 0),
    ],
)
def test_distances_are_those_of_a_drawing_on_paper(shape, x, y, distance):
    assert _at(shape, x, y) == pytest.approx(distance, abs=1e-5)


@pytest.mark.parametrize("shape", ["circle", "square", "triangle", "ring", "cross", PEBBLE])
def test_a_shape_ends_within_its_bounding_radius_and_is_symmetric(shape):
    x = np.linspace(-2, 2, 81, dtype=np.float32)[None].repeat(61, axis=0)
    y = np.linspace(-2, 2, 61, dtype=np.float32)[:, None].repeat(81, axis=1)
    distance = signed_distance(shape, x, y)
    assert np.hypot(x, y)[distance < 0].max() <= 1.2 + 1e-5
    np.testing.assert_allclose(distance, distance[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("stuff", ["sky", "grass", "water"])
def test_a_texture_fills_a_non_square_image_and_stays_within_one(stuff):
    x = np.linspace(0, 1.5, 37, dtype=np.float32)[None]
    y = np.linspace(0, 1, 23, dtype=np.float32)[:, None]
    pattern = texture(stuff, x, y, (0.1, 0.5, 0.9))
    assert pattern.shape == (23, 37)
    assert np.abs(pattern).max() <= 1 + 1e-6
    assert pattern.std() > 0.1
    assert not np.allclose(pattern, texture(stuff, x, y, (0.6, 0.5, 0.9)))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="got shape='star'"):
        _at("star", 0, 0)
    with pytest.raises(ValueError, match="got stuff='sand'"):
        column, row = np.zeros((3, 1), np.float32), np.zeros((1, 2), np.float32)
        texture("sand", row, column, (0.0, 0.0, 0.0))
