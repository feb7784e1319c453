"""Exercises of notebook 03, Swin window by window.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2(a), box "Backbone". The windows are those
of the Swin Transformer (arXiv 2103.14030), Sec. 3.2.

Not here: their statements and solutions (`notebooks/03_swin.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minioneformer.backbone.windows import pad_to_multiple, partition, shifted_window_mask
from minioneformer.exercises.checking import Case, check_cases


def check_cut_windows(function: Callable[[Tensor, int], Tensor]) -> None:
    """Cutting a map of any size into windows.

    Args:
        function: Takes a map (H, W) and the side of a window; returns the windows row by row,
            (windows, cells), what is missing at the right and at the bottom filled with zeros.

    Raises:
        ExerciseError: If a case is not right.
    """
    two_rows = torch.arange(24).view(4, 6)
    odd = torch.arange(1, 16).view(3, 5)
    narrow = torch.tensor([[7], [8]])
    cases = [
        Case(
            name="two windows side by side",
            arguments=(torch.arange(8).view(2, 4), 2),
            expected=torch.tensor([[0, 1, 4, 5], [2, 3, 6, 7]]),
            hint="a window has cells of several rows: .view(rows, size, columns, size), then swap "
            "the two axes in the middle. A side that divides needs no padding: -4 % 2 is 0.",
        ),
        Case(
            name="two rows of windows",
            arguments=(two_rows, 2),
            expected=_windows(two_rows, 2),
            hint="windows are numbered as one reads: from left to right, then the next row.",
        ),
        Case(
            name="a map that the windows do not divide",
            arguments=(odd, 4),
            expected=_windows(odd, 4),
            hint="-H % size rows are missing at the bottom, -W % size columns at the right. F.pad "
            "begins with the last axis: nn.functional.pad(x, (left, right, top, bottom)).",
        ),
        Case(
            name="a map smaller than a window",
            arguments=(narrow, 3),
            expected=torch.tensor([[7, 0, 0, 8, 0, 0, 0, 0, 0]]),
            hint="it becomes one window: one row and two columns of zeros are missing.",
        ),
    ]
    check_cases("cut_windows", function, cases, hint="pad first, then cut.")


def check_position_index(function: Callable[[int, int], Tensor]) -> None:
    """Which entry of the bias table belongs to a pair of cells, in windows that are not square.

    Args:
        function: Takes height and width of a window; returns the index for each pair (query,
            key), cells numbered row by row.

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="a window of one row",
            arguments=(1, 3),
            expected=_index(1, 3),
            hint="the step is query minus key, and 2 is added so that none is negative: the first "
            "cell as a query and the last as a key give 0 - 2 + 2 = 0.",
        ),
        Case(
            name="the window of the lesson",
            arguments=(2, 2),
            expected=_index(2, 2),
            hint="a step of one row is worth as many entries as there are steps of columns; cells "
            "are numbered row by row.",
        ),
        Case(
            name="a window wider than high",
            arguments=(2, 3),
            expected=_index(2, 3),
            hint="there are 2 * width - 1 steps of columns, so a step of one row is worth "
            "2 * width - 1. Cell n lies in row n // width and column n % width.",
        ),
        Case(
            name="a window higher than wide",
            arguments=(3, 2),
            expected=_index(3, 2),
            hint="rows get height - 1 added, columns width - 1.",
        ),
    ]
    hint = "rows and columns of all cells first; then x[:, None] - x[None, :] gives all steps."
    check_cases("position_index", function, cases, hint=hint)


def check_same_region(function: Callable[[int, int, int, int], Tensor]) -> None:
    """Which pairs of a shifted window may attend to each other.

    Args:
        function: Takes height and width of a map that windows divide, the side of a window and
            the shift; returns True for each pair that may, (windows, cells, cells).

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="one window in which each cell came from another corner",
            arguments=(2, 2, 2, 1),
            expected=_allowed(2, 2, 2, 1),
            hint="after the roll all four cells are neighbours that were none: only the diagonal "
            "is True. Both must agree, what happened to the rows and what happened to the columns.",
        ),
        Case(
            name="no shift",
            arguments=(4, 6, 2, 0),
            expected=_allowed(4, 6, 2, 0),
            hint="nothing came around an edge, so all pairs may.",
        ),
        Case(
            name="two windows side by side",
            arguments=(2, 4, 2, 1),
            expected=_allowed(2, 4, 2, 1),
            hint="the roll goes to the top left, by -shift: only the last window of a row holds "
            "columns from both sides of the map.",
        ),
        Case(
            name="a shift that is less than half a window",
            arguments=(6, 9, 3, 1),
            expected=_allowed(6, 9, 3, 1),
            hint="only the first `shift` rows and columns of the map come around. After a roll by "
            "-shift they are the last ones.",
        ),
        Case(
            name="a shift that is more than half a window",
            arguments=(3, 6, 3, 2),
            expected=_allowed(3, 6, 3, 2),
            hint="the shift is an argument: it need not be half a window.",
        ),
    ]
    hint = "label each cell by whether its row, and its column, came around the edge; then cut "
    hint += "the labels into windows as one cuts a map, and compare all pairs."
    check_cases("same_region", function, cases, hint=hint)


def _windows(x: Tensor, size: int) -> Tensor:
    return partition(pad_to_multiple(x[None, :, :, None], size), size)[..., 0]


def _index(height: int, width: int) -> Tensor:
    """Pair by pair, from the definition."""
    cells = [(row, column) for row in range(height) for column in range(width)]
    index = [
        [(a - c + height - 1) * (2 * width - 1) + b - d + width - 1 for c, d in cells]
        for a, b in cells
    ]
    return torch.tensor(index)


def _allowed(height: int, width: int, size: int, shift: int) -> Tensor:
    return shifted_window_mask(height // size, width // size, size, shift) == 0
