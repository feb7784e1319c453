"""Colours of classes, and of the instances of one class.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

A class has the colour of its catalogue. Its instances vary that colour, a little in hue and more
in lightness, so that the class can still be told and two neighbours too.

Not here: which pixels get the colour (`overlay.py`).
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from minioneformer.structures import Category

# what an instance may look like: shifts around the colour circle, lightness, share of saturation
HUE_SHIFTS = (-0.04, -0.02, 0.0, 0.02, 0.04)
LIGHTNESSES = (0.30, 0.36, 0.42, 0.48, 0.54, 0.60, 0.66)
SATURATION_SHARES = (1.0, 0.75)
LEAST_SATURATION = 0.3  # grey has no hue to vary


def class_colors(categories: Sequence[Category]) -> UInt8[Tensor, "K 3"]:
    """The colours of a catalogue.

    Args:
        categories: The catalogue; may be empty.

    Returns:
        RGB of each label.
    """
    rows = [category.color for category in categories]
    return torch.tensor(rows, dtype=torch.uint8).reshape(-1, 3)  # (K, 3)


def instance_colors(color: tuple[int, int, int], count: int) -> UInt8[Tensor, "M 3"]:
    """Colours for the instances of one class, always the same ones.

    Args:
        color: RGB of the class.
        count: How many are needed; a longer list starts with a shorter one.

    Returns:
        RGB of each instance. The first one has the colour of the class itself, each further one
        the variation that is least like all before it; when all are used up, they repeat.

    Example:
        A single (230, 58, 34) is (230, 58, 34); a second instance is a dull pink.
    """
    variations = _variations(color).to(torch.float32)  # (V, 3)
    rows = [torch.tensor(color, dtype=torch.float32)]
    distance = torch.full((len(variations),), torch.inf)  # to the nearest colour in use
    while len(rows) < min(count, len(variations)):
        distance = distance.minimum((variations - rows[-1]).square().sum(1))
        rows.append(variations[distance.argmax()])
    return torch.stack(rows)[torch.arange(count) % len(rows)].to(torch.uint8)  # (M, 3)


def _variations(color: tuple[int, int, int]) -> UInt8[Tensor, "V 3"]:
    hue, _, saturation = colorsys.rgb_to_hls(*(value / 255 for value in color))
    saturation = max(saturation, LEAST_SATURATION)
    rows = [
        [
            round(255 * value)
            for value in colorsys.hls_to_rgb((hue + shift) % 1.0, lightness, share * saturation)
        ]
        for shift in HUE_SHIFTS
        for lightness in LIGHTNESSES
        for share in SATURATION_SHARES
    ]
    return torch.tensor(rows, dtype=torch.uint8)  # (V, 3)
