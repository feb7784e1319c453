"""Shapes and textures of the toy data set, as formulas over pixel coordinates.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2, our own data.

A shape is a signed distance: negative inside, positive outside, in units of the object's radius.
One formula gives the mask (distance < 0), its smooth edge and its rim. A texture is a brightness
pattern around 0.

Not here: where objects lie and which colours they have (`data/toy.py`).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32

PEBBLE = "pebble"  # of no class: the toy data's void


def signed_distance(
    shape: str, x: Float32[np.ndarray, "h w"], y: Float32[np.ndarray, "h w"]
) -> Float32[np.ndarray, "h w"]:
    """Distance to the border of a shape of radius 1, centred at the origin.

    Exact for circle and ring; elsewhere the usual lower bound, exact along the flat sides.

    Args:
        shape: Name of a toy thing class, or `PEBBLE`.
        x: To the right, in radii.
        y: Downwards, in radii.

    Returns:
        Distance in radii, negative inside.

    Raises:
        ValueError: If there is no such shape.

    Example:
        At (2, 0) the circle is 1 away; at (0, 0) the ring, whose band lies between the radii
        0.5 and 1, is 0.5 away and the circle -1.
    """
    if shape == "circle":
        return np.sqrt(x * x + y * y) - 1.0
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.8
    if shape == "triangle":
        # corners at distance 1.2: a small triangle is otherwise too thin to be told
        slanted = math.sqrt(0.75) * np.abs(x) - 0.5 * y
        return np.maximum(y, slanted) - 0.6
    if shape == "ring":
        return np.abs(np.sqrt(x * x + y * y) - 0.75) - 0.25
    if shape == "cross":
        x, y = np.abs(x), np.abs(y)
        return np.maximum(np.maximum(x, y) - 1.0, np.minimum(x, y) - 0.33)
    if shape == PEBBLE:
        return np.sqrt(x * x + 3.0 * y * y) - 1.0
    raise ValueError(f"no formula for this shape, got {shape=}.")


def texture(
    stuff: str,
    x: Float32[np.ndarray, "1 W"],
    y: Float32[np.ndarray, "H 1"],
    phases: tuple[float, float, float],
) -> Float32[np.ndarray, "H W"]:
    """Low-frequency brightness pattern of a stuff class.

    Args:
        stuff: Name of a toy stuff class.
        x: Column coordinate in units of the image's shorter side.
        y: Row coordinate in the same unit, downwards.
        phases: Three numbers in [0, 1) that shift and scale the pattern.

    Returns:
        Between -1 and 1: soft clouds for sky, slanted blades for grass, level waves for water.

    Raises:
        ValueError: If there is no such texture.
    """
    first, second, third = (2.0 * math.pi * phase for phase in phases)
    stretch = 0.75 + 0.5 * phases[2]
    if stuff == "sky":
        clouds = np.sin(7.0 * stretch * x + first) * np.sin(13.0 * y + second)
        return 0.6 * clouds + 0.4 * np.sin(5.0 * x + 6.0 * y + third)
    if stuff == "grass":
        sway = 1.5 * np.sin(6.0 * x + first)
        return np.sin(55.0 * stretch * x + 24.0 * y + sway + second)
    if stuff == "water":
        ripple = 1.2 * np.sin(9.0 * x + first)
        return np.sin(48.0 * stretch * y + ripple + second) * np.cos(4.0 * x + third)
    raise ValueError(f"no formula for this texture, got {stuff=}.")
