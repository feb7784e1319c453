"""Windows: cutting a map into squares, and what attention inside them has to know.

Paper: Swin Transformer (arXiv 2103.14030), Sec. 3.2 and Figure 4; in OneFormer
(arXiv 2211.06220), Sec. 3.4, part of Figure 2 (a), box "Backbone".

Pure functions. Maps are channels last, because everything in Swin acts on channels. Windows are
numbered row by row, and so are the cells inside a window.

Not here: the attention itself (`backbone/swin_block.py`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int, Num
from torch import Tensor

from minioneformer.layers.cached_by_size import cached_by_size
from minioneformer.layers.tracing import is_exporting, with_plain_strides

# subtle: the official -100 leaves weights of about exp(-100), subnormal numbers, which change no
# digit of a result but are several times slower to calculate with on CPUs. Not -inf, which turns
# into NaN as soon as a backend multiplies it by zero.
BLOCKED_LOGIT = -1000.0


def pad_to_multiple(x: Num[Tensor, "B H W C"], multiple: int) -> Num[Tensor, "B H_pad W_pad C"]:
    """Pad right and bottom with zeros until both sides are multiples of `multiple`.

    Args:
        x: A map.
        multiple: In cells, >= 1.

    Returns:
        The padded map, or `x` itself where nothing is missing.
    """
    _, height, width, _ = x.shape
    rows, columns = (height + multiple - 1) // multiple, (width + multiple - 1) // multiple
    missing_rows, missing_columns = rows * multiple - height, columns * multiple - width
    if not is_exporting() and missing_rows == missing_columns == 0:
        return x  # F.pad would copy
    return F.pad(x, (0, 0, 0, missing_columns, 0, missing_rows))


def partition(
    x: Num[Tensor, "B H W C"], window_size: int
) -> Num[Tensor, "B_windows {window_size}**2 C"]:
    """Cut a map into windows.

    Args:
        x: A map whose sides are multiples of `window_size`.
        window_size: Side of a window, in cells.

    Returns:
        The windows of the first image row by row, then those of the second, ... A view where
        the map is a single column of windows.

    Raises:
        ValueError: If a side of the map is not a multiple of `window_size`.

    Example:
        A 2 x 4 map of the numbers 0 to 7 has two windows of side 2: (0, 1, 4, 5) and
        (2, 3, 6, 7).
    """
    _, height, width, _ = x.shape
    if height % window_size or width % window_size:
        raise ValueError(
            f"the map must be a multiple of the window, got {height=}, {width=}, {window_size=}. "
            f"Call pad_to_multiple first."
        )
    windows = rearrange(
        x, "b (rows h) (columns w) c -> b rows columns h w c", h=window_size, w=window_size
    )
    return rearrange(
        with_plain_strides(windows), "b rows columns h w c -> (b rows columns) (h w) c"
    )


def reverse(
    windows: Num[Tensor, "B_windows area C"], height: int, width: int, window_size: int
) -> Num[Tensor, "B {height} {width} C"]:
    """Put windows back together; undoes `partition`.

    Args:
        windows: As `partition` returns them.
        height: Of the map, a multiple of `window_size`.
        width: Of the map, a multiple of `window_size`.
        window_size: Side of a window, in cells.

    Returns:
        The map.
    """
    x = rearrange(
        windows,
        "(b rows columns) (h w) c -> b rows h columns w c",
        rows=height // window_size,
        columns=width // window_size,
        h=window_size,
    )
    return rearrange(with_plain_strides(x), "b rows h columns w c -> b (rows h) (columns w) c")


def relative_position_index(
    window_size: int, device: torch.device | None = None
) -> Int[Tensor, "area area"]:
    r"""Row of the bias table for each pair (query cell, key cell) of a window.

    $$(\Delta_\text{row} + w - 1)(2w - 1) + (\Delta_\text{column} + w - 1),
      \quad \Delta = \text{query} - \text{key}$$

    Args:
        window_size: $w$, side of a window, in cells.
        device: Of the result.

    Returns:
        Values 0 to (2w - 1)^2 - 1. Shared between calls: do not write into it.

    Example:
        In a window of side 2 the table has 9 rows. A cell and itself give the middle one, 4; the
        query at the top left and the key at the bottom right give 0, the reverse gives 8.
    """
    return _relative_position_index(window_size, device or torch.device("cpu"))


def shifted_window_mask(
    num_rows: int,
    num_columns: int,
    window_size: int,
    shift: int,
    device: torch.device | None = None,
) -> Float[Tensor, "{num_rows}*{num_columns} area area"]:
    """Keep cells apart that only the cyclic shift has brought into one window.

    After a map is rolled by `shift` towards the top left, its last row and column of windows hold
    cells from opposite borders. Label the rows of the padded map by three regions, all but the
    last window, the last window but its `shift` last rows, those rows; label the columns in the
    same way; two cells may attend to each other if both labels agree.

    Args:
        num_rows: Windows from top to bottom, >= 1.
        num_columns: Windows from left to right, >= 1.
        window_size: Side of a window, in cells.
        shift: In cells, 0 to `window_size` - 1.
        device: Of the result.

    Returns:
        To be added to the attention logits: 0 where attention is allowed, -1000 where not.

    Example:
        One window of side 2, shift 1: every cell is a region of its own, so the mask of the
        only window is 0 on the diagonal and -1000 elsewhere.

    Fidelity:
        Official code: -100. Both leave a blocked cell no weight that a float32 sum could see,
        unless its logit exceeds every allowed one by more than 80.
    """
    device = device or torch.device("cpu")
    kinds = _masks_by_kind(window_size, shift, device)  # (2, 2, area, area)
    last_row = (torch.arange(num_rows, device=device) == num_rows - 1).long()
    last_column = (torch.arange(num_columns, device=device) == num_columns - 1).long()
    return kinds[last_row[:, None], last_column[None, :]].flatten(0, 1)


@cached_by_size
def _relative_position_index(window_size: int, device: torch.device) -> Int[Tensor, "area area"]:
    cells = torch.arange(window_size, device=device)
    row, column = (grid.flatten() for grid in torch.meshgrid(cells, cells, indexing="ij"))
    row_delta = row[:, None] - row[None, :] + window_size - 1  # (query, key), >= 0
    column_delta = column[:, None] - column[None, :] + window_size - 1
    return row_delta * (2 * window_size - 1) + column_delta


@cached_by_size
def _masks_by_kind(
    window_size: int, shift: int, device: torch.device
) -> Float[Tensor, "2 2 area area"]:
    """The four masks there are: [is in the last row, is in the last column] of windows.

    Only the last windows hold more than one region, so the masks do not depend on the size of
    the map, and few of them need to be kept.
    """
    labels = torch.zeros(2, window_size, dtype=torch.long, device=device)  # (is last, cells)
    labels[1] = 1 + (torch.arange(window_size, device=device) >= window_size - shift)
    regions = 3 * labels[:, None, :, None] + labels[None, :, None, :]  # (2, 2, h, w)
    regions = regions.flatten(2)  # (2, 2, area)
    differ = regions[..., :, None] != regions[..., None, :]  # (2, 2, area, area)
    return torch.zeros(differ.shape, device=device).masked_fill(differ, BLOCKED_LOGIT)
