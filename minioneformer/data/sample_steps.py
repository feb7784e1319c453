"""What every augmentation does to a sample: cut a window out of its resized self, pad, renumber.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.

Image and segment map go through each step together. Segment ids are copied, never computed with:
resizing takes the nearest cell by integers, so ids above 2^24, which float32 rounds, stay exact.

Not here: which size, which window (`data/transforms.py`, `data/large_scale_jitter.py`).
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from minioneformer.pixels import resize_image
from minioneformer.structures import VOID_ID, PanopticSample

PADDING_GRAY = 128  # of 0 .. 255, near the mean that normalisation subtracts


class Window(NamedTuple):
    """A part of an image.

    Attributes:
        top: First row.
        left: First column.
        height: In pixels.
        width: In pixels.
    """

    top: int
    left: int
    height: int
    width: int


def resize_window(
    sample: PanopticSample, size: tuple[int, int], window: Window
) -> tuple[UInt8[Tensor, "3 H W"], Int[Tensor, "H W"]]:
    """Resize to a size and keep a window of the result; only the window is computed.

    Args:
        sample: Image and segment map.
        size: Of the whole resized image, (H, W) in pixels.
        window: Inside the resized image.

    Returns:
        Image (bilinear, antialiased where it shrinks) and segment map (nearest).
    """
    if size == tuple(sample.segment_map.shape):
        rows = slice(window.top, window.top + window.height)
        columns = slice(window.left, window.left + window.width)
        return sample.image[:, rows, columns], sample.segment_map[rows, columns]
    cut = None if window == Window(0, 0, *size) else window
    image = resize_image(sample.image, size, window=cut)
    return image, _resize_map(sample.segment_map, size, window)


def pad_right_and_bottom(
    image: UInt8[Tensor, "3 h w"], segment_map: Int[Tensor, "h w"], size: tuple[int, int]
) -> tuple[UInt8[Tensor, "3 H W"], Int[Tensor, "H W"]]:
    """Fill up to a size: the image with gray, the segment map with void.

    Args:
        image: RGB, no larger than `size`.
        segment_map: Of the image.
        size: Wanted (H, W) in pixels.

    Returns:
        Image and segment map of that size.
    """
    bottom, right = (wanted - got for wanted, got in zip(size, segment_map.shape, strict=True))
    if not (bottom or right):
        return image, segment_map
    return (
        F.pad(image, (0, right, 0, bottom), value=PADDING_GRAY),
        F.pad(segment_map, (0, right, 0, bottom), value=VOID_ID),
    )


def replace_pixels(
    sample: PanopticSample, image: UInt8[Tensor, "3 H W"], segment_map: Int[Tensor, "H W"]
) -> PanopticSample:
    """Put other pixels into a sample; segments without a pixel go, areas are forgotten.

    Args:
        sample: Whose segments these are.
        image: The new one.
        segment_map: The new one.

    Returns:
        The new sample. Areas are None, since those of the file hold no longer.
    """
    visible = visible_ids(segment_map)
    segments = tuple(
        dataclasses.replace(segment, area=None)
        for segment in sample.segments
        if segment.id in visible
    )
    return dataclasses.replace(sample, image=image, segment_map=segment_map, segments=segments)


def visible_ids(segment_map: Int[Tensor, "H W"]) -> set[int]:
    """The values of a map, several times faster than `unique` where neighbours are mostly equal.

    Args:
        segment_map: Ids of segments.

    Returns:
        Each value once, void included.

    Example:
        Of the row 4 4 0 4 it is {0, 4}.
    """
    # shortens the runs that segments make, and needs no sorting
    return set(segment_map.unique_consecutive().tolist())


def _resize_map(
    segment_map: Int[Tensor, "h w"], size: tuple[int, int], window: Window
) -> Int[Tensor, "H W"]:
    """Take, for each new cell of the window, the old cell under its centre."""
    # subtle: interpolation in torch goes through float32, which rounds ids above 2^24; the
    # centre of new cell i lies in old cell floor((i + 1/2) * old / new), in integers below
    rows, columns = (
        (2 * np.arange(first, first + length) + 1) * old // (2 * new)
        for first, length, old, new in zip(
            window[:2], window[2:], segment_map.shape, size, strict=True
        )
    )
    return torch.from_numpy(segment_map.numpy().take(rows, axis=0).take(columns, axis=1))
