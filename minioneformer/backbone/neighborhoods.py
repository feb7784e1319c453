r"""Neighborhoods: which cells a cell attends to, and how to cut a map so that they lie together.

Paper: DiNAT (arXiv 2209.15001), Sec. 3.1, and NAT (arXiv 2204.07143), Sec. 3.1; in OneFormer
(arXiv 2211.06220), Sec. 4.1, part of Figure 2 (a), box "Backbone".

Pure functions of sizes. Along one axis, with dilation d, the positions r, r + d, r + 2d, ... form
the residue class r, and a cell sees k neighbors of its own class: those around it, or at a border
the k nearest to it. A map shorter than k * d is padded to k * d at its end, so that every class
has k positions.

Cells that are neighbors in their class share most of what they see. A tile is a square of such
cells together with the union of their neighborhoods: few more keys than one cell has, and an
ordinary attention with a mask. All tiles of a map that lie alike share one mask.

Not here: the attention itself (`backbone/neighborhood_attention.py`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Int
from torch import Tensor

from minioneformer.layers.cached_by_size import cached_by_size

# Larger tiles gather fewer keys and compute more logits; on CPUs 5 to 8 take the same time,
# within a tenth.
TILE_SIDE = 7

Pattern = tuple[tuple[int, ...], ...]
Segment = tuple[range, range]


@dataclass(frozen=True, eq=False)
class Tiles:
    """Tiles of one map that share a mask: n tiles of Q query cells and K key cells each.

    Args:
        queries: Cell of each query, counted row by row.
        keys: Cell of each key, counted likewise; rows * columns stands for a padded cell.
        bias_entries: For each pair (query, key) the place in the flattened bias table;
            (2 kernel_size - 1)^2, one past its end, where the query does not see the key.
    """

    queries: Int[Tensor, "n Q"]
    keys: Int[Tensor, "n K"]
    bias_entries: Int[Tensor, "Q K"]


def window_start(position: int, length: int, kernel_size: int) -> int:
    r"""First of the k neighbors of a position inside its residue class.

    $$\min(\max(j - \lfloor k / 2 \rfloor, 0), L - k)$$

    Args:
        position: $j$, counted inside the class, 0 <= position < length.
        length: $L$, positions in the class, >= `kernel_size`.
        kernel_size: $k$, odd.

    Returns:
        The neighbors are the `kernel_size` positions from here on.

    Example:
        Of 5 positions with a kernel of 3, the windows start at 0, 0, 1, 2 and 2.
    """
    return min(max(position - kernel_size // 2, 0), length - kernel_size)


def axis_segments(
    length: int, kernel_size: int, dilation: int
) -> list[tuple[Pattern, list[Segment]]]:
    """Cut one axis into runs of queries, grouped by how they see their keys.

    Args:
        length: Of the axis, in cells; padded to `kernel_size` * `dilation` if it is shorter.
        kernel_size: Neighbors of a cell, odd.
        dilation: Steps between them, >= 1.

    Returns:
        For each pattern the segments that have it, each as the positions of its queries and of
        its keys; keys at `length` and beyond are padding. A pattern says for each query and key
        of a segment how far the key is from the query in steps of `dilation`, plus
        `kernel_size` - 1, which makes it >= 0; it is -1 where the query does not see the key.

    Example:
        5 cells, kernel 3, no dilation are one segment; its second row of offsets from query
        to key is (1, 2, 3, -1, -1): the second cell sees the three first.
    """
    padded_length = max(length, kernel_size * dilation)
    groups: defaultdict[Pattern, list[Segment]] = defaultdict(list)
    for residue in range(min(dilation, length)):
        class_positions = range(residue, padded_length, dilation)
        num_queries = len(range(residue, length, dilation))
        starts = [
            window_start(j, len(class_positions), kernel_size) for j in range(len(class_positions))
        ]
        side = _segment_side(num_queries, kernel_size)
        for first in range(0, num_queries, side):
            queries = range(first, min(first + side, num_queries))
            keys = range(starts[queries[0]], starts[queries[-1]] + kernel_size)
            pattern = tuple(
                tuple(
                    key - j + kernel_size - 1 if starts[j] <= key < starts[j] + kernel_size else -1
                    for key in keys
                )
                for j in queries
            )
            groups[pattern].append(
                (
                    class_positions[queries.start : queries.stop],
                    class_positions[keys.start : keys.stop],
                )
            )
    return list(groups.items())


@cached_by_size
def map_tiles(
    height: int, width: int, kernel_size: int, dilation: int, device: torch.device | None = None
) -> list[Tiles]:
    """Cut a map into tiles, grouped by mask.

    Args:
        height: Of the map, in cells.
        width: Of the map, in cells.
        kernel_size: Neighbors of a cell along each axis, odd.
        dilation: Steps between them, >= 1.
        device: Of the result.

    Returns:
        Groups of tiles; together their queries are all cells of the map, each once.
    """
    return [
        _cross(rows, columns, height, width, kernel_size, device)
        for rows in axis_segments(height, kernel_size, dilation)
        for columns in axis_segments(width, kernel_size, dilation)
    ]


def _segment_side(num_queries: int, kernel_size: int) -> int:
    """Queries per segment: all of a short class, else equal parts of up to `TILE_SIDE`."""
    if num_queries <= kernel_size + TILE_SIDE:
        return num_queries
    parts = -(-num_queries // TILE_SIDE)
    return -(-num_queries // parts)


def _cross(
    rows: tuple[Pattern, list[Segment]],
    columns: tuple[Pattern, list[Segment]],
    height: int,
    width: int,
    kernel_size: int,
    device: torch.device | None,
) -> Tiles:
    """The tiles that segments of rows and segments of columns span."""
    (row_pattern, row_segments), (column_pattern, column_segments) = rows, columns

    def cells(part: int) -> Int[Tensor, "n cells"]:
        row = torch.tensor([list(segment[part]) for segment in row_segments], device=device)
        column = torch.tensor([list(segment[part]) for segment in column_segments], device=device)
        row = rearrange(row, "m h -> m 1 h 1")
        column = rearrange(column, "n w -> 1 n 1 w")
        inside = (row < height) & (column < width)
        cell = torch.where(inside, row * width + column, height * width)
        return rearrange(cell, "m n h w -> (m n) (h w)")

    row_offset = rearrange(torch.tensor(row_pattern, device=device), "q k -> q 1 k 1")
    column_offset = rearrange(torch.tensor(column_pattern, device=device), "q k -> 1 q 1 k")
    side = 2 * kernel_size - 1
    seen = (row_offset >= 0) & (column_offset >= 0)
    entries = torch.where(seen, row_offset * side + column_offset, side * side)
    return Tiles(
        queries=cells(0),
        keys=cells(1),
        bias_entries=rearrange(entries, "qh qw kh kw -> (qh qw) (kh kw)"),
    )
