"""Tables of relative positions, resized for another window.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

A window of w cells has 2w - 1 relative positions per axis, so weights of another window have a
table of another side. It is resized like an image, bicubically, as the official detection and
segmentation code of Swin does when it loads a classifier.

Not here: when that happens (`checkpoints/imagenet.py`).
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def resize_bias_maps(
    maps: Float[Tensor, "heads side side"], side: int
) -> Float[Tensor, "heads new_side new_side"]:
    """Resize tables that are maps, as those of DiNAT.

    Args:
        maps: One per head.
        side: Positions per axis of the result, >= 1.

    Returns:
        The maps; unchanged if they have that side.

    Raises:
        ValueError: If `side` is not positive.

    Example:
        A map of one number becomes a map of that number.
    """
    if side < 1:
        raise ValueError(f"a table needs at least one position per axis, got {side=}.")
    if maps.shape[-1] == side:
        return maps
    resized = F.interpolate(
        maps[None].float(), size=(side, side), mode="bicubic", align_corners=False
    )
    return resized[0].to(maps.dtype)


def resize_window_table(
    table: Float[Tensor, "positions heads"], positions: int
) -> Float[Tensor, "new_positions heads"]:
    """Resize a table whose rows are the cells of a map, as those of Swin.

    Args:
        table: Rows from top left to bottom right.
        positions: Rows of the result, a square number.

    Returns:
        The table; unchanged if it has that many rows.

    Raises:
        ValueError: If the rows of one of the two do not make a square, or there are none.

    Example:
        9 rows, of a window of 2 cells, become 25 rows for a window of 3.
    """
    sides = math.isqrt(len(table)), math.isqrt(positions)
    if not len(table) == sides[0] ** 2 > 0 or not positions == sides[1] ** 2 > 0:
        raise ValueError(f"rows must make a square, got {len(table)} and {positions}.")
    maps = rearrange(table, "(row column) heads -> heads row column", row=sides[0])
    return rearrange(resize_bias_maps(maps, sides[1]), "heads row column -> (row column) heads")
