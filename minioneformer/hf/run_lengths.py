"""A map as run lengths, the form in which COCO's files write masks, but row after row.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2, the form of the published interface.

Not here: COCO's own run lengths, column after column (`inference/result_files.py`).
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def run_lengths(segment_map: Int[Tensor, "H W"]) -> list[list[int]]:
    """Write a map as run lengths, row after row, one list per value in ascending order.

    Args:
        segment_map: Of any values.

    Returns:
        For each value its runs as start, length, start, length, ...; the first pixel is number 1.

    Example:
        The row (0, 5, 5, 0) gives [[1, 1, 4, 1], [2, 2]].
    """
    pixels = segment_map.flatten().cpu()
    edge = pixels.new_zeros(1, dtype=torch.bool)
    encodings = []
    for value in pixels.unique():
        inside = torch.cat([edge, pixels == value, edge])
        borders = (inside[1:] != inside[:-1]).nonzero().squeeze(-1)  # start, stop, start, stop ...
        starts, stops = borders[::2], borders[1::2]
        encodings.append(torch.stack([starts + 1, stops - starts], dim=1).flatten().tolist())
    return encodings
