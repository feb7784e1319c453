"""One scene of the toy data set: a pile of layers, painted and annotated.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2, our own data.

Every layer, stuff or thing, has a coverage (how much of each pixel it fills) and a paint. The
same coverages make the picture and the annotation: blended back to front, and a pixel belongs to
the front-most layer that fills at least half of it.

Not here: seeds, sizes and splits (`data/toy.py`), formulas of shapes (`data/toy_shapes.py`).
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from minioneformer.data.categories import load_catalog
from minioneformer.data.toy_shapes import PEBBLE, signed_distance, texture
from minioneformer.structures import VOID_ID, Segment

MIN_VISIBLE_PIXELS = 10  # a segment of which less can be seen is left out of the scene

CATEGORIES = load_catalog("toy")
STUFF = tuple(category.name for category in CATEGORIES if not category.is_thing)
THINGS = tuple(category.name for category in CATEGORIES if category.is_thing)
# hue, saturation, value, each with how far it may stray; a stuff class is never as vivid as a thing
STUFF_HSV = {
    "sky": ((0.56, 0.03), (0.30, 0.12), (0.90, 0.08)),
    "grass": ((0.28, 0.05), (0.50, 0.12), (0.58, 0.12)),
    "water": ((0.57, 0.05), (0.58, 0.12), (0.55, 0.12)),
}


@dataclass(frozen=True, slots=True)
class _Thing:
    shape: str
    hue: float  # -1 .. 1 within the range of its class
    x: float  # of the centre, in pixels
    y: float
    radius: float  # in pixels
    angle: float
    saturation: float
    value: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One stuff band or thing, inside its bounding box.

    Args:
        label: Of its class; None for void.
        rows: Of the box, in the image.
        columns: Of the box, in the image.
        coverage: How much of each pixel it fills, 0 to 1; smooth at its edge.
        paint: RGB, about 0 to 255.
    """

    label: int | None
    rows: slice
    columns: slice
    coverage: Float32[np.ndarray, "h w"]
    paint: Float32[np.ndarray, "3 h w"]


def draw_scene(
    rng: np.random.Generator, height: int, width: int, *, color_overlap: float, max_objects: int
) -> tuple[UInt8[np.ndarray, "3 H W"], Int64[np.ndarray, "H W"], tuple[Segment, ...]]:
    """Draw a scene; every random number comes from `rng`, in an order fixed by `max_objects`.

    Args:
        rng: Positioned where the scene begins.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        color_overlap: Share of the colour wheel open to each thing class, 0 to 1.
        max_objects: Most things in the scene.

    Returns:
        Image, segment map, segments. Ids are 1, 2, ... from back to front, stuff before things.
    """
    layers = _stuff_layers(rng, height, width)
    for thing in _draw_things(rng, height, width, max_objects):
        layers.append(_thing_layer(thing, height, width, color_overlap))
    visible = keep_visible(layers, height, width)

    image = _paint([layers[0], *visible], rng, height, width)
    segment_map, segments = _annotate(visible, height, width)
    return image, segment_map, segments


def _stuff_layers(rng: np.random.Generator, height: int, width: int) -> list[Layer]:
    """Two or three bands; the first covers the image, each further one lies over the lower part."""
    u = rng.random((4, 9)).tolist()
    names = ["sky", "grass", "water"] if u[3][0] < 0.5 else ["sky", "water", "grass"]
    if u[3][1] < 0.3:
        del names[int(10.0 * u[3][1])]
    levels = [0.2 + 0.25 * u[3][2], 0.55 + 0.3 * u[3][3]]
    if len(names) == 2:
        levels = [0.3 + 0.4 * u[3][2]]

    unit = min(height, width)
    x = np.arange(0.5, width, dtype=np.float32)[None] / np.float32(unit)  # (1, W)
    y = np.arange(0.5, height, dtype=np.float32)[:, None] / np.float32(unit)  # (H, 1)
    layers = []
    for name, level, draws in zip(names, [None, *levels], u, strict=False):
        label = STUFF.index(name)
        paint = _stuff_paint(name, x, y, draws)
        if level is None:
            coverage = np.ones((height, width), np.float32)
        else:
            tilt, bump, phase = draws[6:]
            wave = np.sin((3.0 + 6.0 * phase) * x + 6.28 * phase)
            border = (
                level * height / unit
                + 0.3 * (tilt - 0.5) * (x - 0.5 * width / unit)
                + 0.06 * bump * wave
            )
            coverage = np.clip((y - border) * unit + 0.5, 0.0, 1.0)
        layers.append(Layer(label, slice(0, height), slice(0, width), coverage, paint))
    return layers


def _stuff_paint(
    name: str,
    x: Float32[np.ndarray, "1 W"],
    y: Float32[np.ndarray, "H 1"],
    draws: list[float],
) -> Float32[np.ndarray, "3 H W"]:
    hue, saturation, value = (
        middle + reach * (2.0 * draw - 1.0)
        for (middle, reach), draw in zip(STUFF_HSV[name], draws, strict=False)
    )
    color = 255.0 * np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)
    shade = 1.0 + 0.12 * texture(name, x, y, (draws[3], draws[4], draws[5]))
    return color[:, None, None] * shade  # (3, H, W)


def _draw_things(
    rng: np.random.Generator, height: int, width: int, max_objects: int
) -> list[_Thing]:
    """Back to front. One thing in six or so stands next to the previous one, of its class."""
    empty, count = rng.random(2).tolist()
    u = rng.random((max_objects, 9)).tolist()
    number = 0 if empty < 0.08 else math.ceil(count * max_objects)
    unit = min(height, width)
    things: list[_Thing] = []
    for kind, which, hue, x, y, size, turn, saturation, value in u[:number]:
        shape = THINGS[int(which * len(THINGS))] if kind > 0.04 else PEBBLE
        radius = unit * 0.13 * 2.3**size  # diameter 0.26 .. 0.6 of the shorter side
        # a triangle over the range: typical hues are common, those shared with neighbours rare
        hue = math.copysign(1.0 - math.sqrt(1.0 - abs(2.0 * hue - 1.0)), hue - 0.5)
        center_x = width * (0.06 + 0.88 * x)
        center_y = height * (0.06 + 0.88 * y)
        if kind > 0.82 and things and things[-1].shape != PEBBLE:
            sibling = things[-1]
            shape = sibling.shape
            radius = sibling.radius * (0.75 + 0.5 * size)
            direction = 2.0 * math.pi * x
            distance = (sibling.radius + radius) * (0.8 + 0.3 * y)
            center_x = sibling.x + distance * math.cos(direction)
            center_y = sibling.y + distance * math.sin(direction)
        things.append(
            _Thing(
                shape,
                hue,
                center_x,
                center_y,
                radius,
                angle=2.0 * math.pi * turn,
                saturation=0.6 + 0.35 * saturation,
                value=0.6 + 0.4 * value,
            )
        )
    return things


def _thing_layer(thing: _Thing, height: int, width: int, color_overlap: float) -> Layer:
    """The thing in its bounding box; the box is empty when the thing lies outside the image."""
    reach = 1.25 * thing.radius + 1.0
    top, bottom = (min(height, max(0, round(thing.y + side))) for side in (-reach, reach))
    left, right = (min(width, max(0, round(thing.x + side))) for side in (-reach, reach))
    y = (np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5 - thing.y) / thing.radius
    x = (np.arange(left, right, dtype=np.float32)[None] + 0.5 - thing.x) / thing.radius
    cosine, sine = math.cos(thing.angle), math.sin(thing.angle)
    distance = thing.radius * signed_distance(
        thing.shape, cosine * x + sine * y, cosine * y - sine * x
    )  # (h, w), in pixels

    rim = np.clip(1.6 + distance, 0.0, 1.0)
    shade = 1.0 - 0.3 * rim - 0.12 * (x + y)  # light from the upper left
    if thing.shape == PEBBLE:
        label, hsv = None, (0.1, 0.1, 0.6 * thing.value)
    else:
        index = THINGS.index(thing.shape)
        half_range = 0.03 + 0.47 * color_overlap  # of the colour wheel
        hue = 0.02 + index / len(THINGS) + half_range * thing.hue
        label, hsv = len(STUFF) + index, (hue % 1.0, thing.saturation, thing.value)
    color = 255.0 * np.array(colorsys.hsv_to_rgb(*hsv), np.float32)
    coverage = np.clip(0.5 - distance, 0.0, 1.0)
    return Layer(
        label, slice(top, bottom), slice(left, right), coverage, color[:, None, None] * shade
    )


def keep_visible(layers: list[Layer], height: int, width: int) -> list[Layer]:
    """Drop the layers of which too little can be seen; what lies behind them then shows.

    Args:
        layers: Back to front.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        Those of which at least `MIN_VISIBLE_PIXELS` pixels show, back to front.

    Example:
        A disc of 9 pixels is dropped, and no longer hides what it lay upon.
    """
    free = np.ones((height, width), bool)
    kept = []
    # subtle: front to back, so that a layer is judged by the kept layers in front of it only
    for layer in reversed(layers):
        seen = free[layer.rows, layer.columns] & (layer.coverage >= 0.5)
        if np.count_nonzero(seen) >= MIN_VISIBLE_PIXELS:
            free[layer.rows, layer.columns] ^= seen
            kept.append(layer)
    return kept[::-1]


def _annotate(
    layers: list[Layer], height: int, width: int
) -> tuple[Int64[np.ndarray, "H W"], tuple[Segment, ...]]:
    """Ids 1, 2, ... from back to front: stuff first, then things; void keeps `VOID_ID`."""
    segment_map = np.full((height, width), VOID_ID, np.int64)
    segments: list[Segment] = []
    for layer in layers:
        segment_id = VOID_ID
        if layer.label is not None:
            segment_id = len(segments) + 1
            segments.append(Segment(id=segment_id, label=layer.label))
        segment_map[layer.rows, layer.columns][layer.coverage >= 0.5] = segment_id
    return segment_map, tuple(segments)


def _paint(layers: list[Layer], rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Blend back to front, then noise."""
    noise = 2.0 + 8.0 * rng.random()
    image = np.zeros((3, height, width), np.float32)
    for layer in layers:
        below = image[:, layer.rows, layer.columns]
        below += layer.coverage * (layer.paint - below)
    image += np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0.0, 255.0).astype(np.uint8)
