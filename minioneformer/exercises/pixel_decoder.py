"""Exercises of notebook 05, the pixel decoder.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2(a), box "Pixel Decoder".

Not here: their statements and solutions (`notebooks/05_pixel_decoder.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases


def check_centres_of_levels(function: Callable[[Sequence[tuple[int, int]]], Tensor]) -> None:
    """The reference points of several levels.

    Args:
        function: Takes (H, W) of each level; returns the centre of each cell, (x, y) in [0, 1],
            level by level and row by row.

    Raises:
        ExerciseError: If a case is not right.
    """
    x, y = [1 / 6, 3 / 6, 5 / 6], [1 / 4, 3 / 4]
    cases = [
        Case(
            name="one level of 1 x 2 cells",
            arguments=([(1, 2)],),
            expected=torch.tensor([[0.25, 0.5], [0.75, 0.5]]),
            hint="the centre of column j of W is at (j + 0.5) / W; x comes first, then y.",
        ),
        Case(
            name="one level of 2 x 3 cells",
            arguments=([(2, 3)],),
            expected=torch.tensor([[column, row] for row in y for column in x]),
            hint="row by row: the first W centres all have the y of row 0.",
        ),
        Case(
            name="two levels, of 1 x 4 and of 2 x 3 cells",
            arguments=([(1, 4), (2, 3)],),
            expected=torch.tensor(
                [[column / 8, 0.5] for column in (1, 3, 5, 7)]
                + [[column, row] for row in y for column in x]
            ),
            hint="concatenate the levels in the order in which they are given.",
        ),
    ]
    hint = "make one level first: a loop over rows, and inside it a loop over columns."
    check_cases("centres_of_levels", function, cases, hint=hint)


def check_split_levels(
    function: Callable[[Tensor, Sequence[tuple[int, int]]], Sequence[Tensor]],
) -> None:
    """From a row of tokens back to maps.

    Args:
        function: Takes S tokens of C channels, and (H, W) of each level; returns a map
            C x H x W for each level.

    Raises:
        ExerciseError: If a case is not right.
    """
    generator = torch.Generator().manual_seed(0)
    one = torch.tensor([[0.0, 10.0], [1.0, 11.0], [2.0, 12.0], [3.0, 13.0], [4.0, 14.0]])
    one = torch.cat([one, torch.tensor([[5.0, 15.0]])])  # (6, 2)
    sizes = [(1, 3), (3, 5), (5, 3)]
    maps = [torch.randn(4, *size, generator=generator) for size in sizes]
    cases = [
        Case(
            name="one level of 2 x 3 cells with two channels",
            arguments=(one, [(2, 3)]),
            expected=[
                torch.tensor(
                    [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], [[10.0, 11.0, 12.0], [13.0, 14.0, 15.0]]]
                )
            ],
            hint="a row of `tokens` is a cell: bring the channels to the front (transpose), and "
            "only then reshape to (C, H, W).",
        ),
        Case(
            name="two levels of 1 x 2 cells",
            arguments=(one[:4], [(1, 2), (1, 2)]),
            expected=[
                torch.tensor([[[0.0, 1.0]], [[10.0, 11.0]]]),
                torch.tensor([[[2.0, 3.0]], [[12.0, 13.0]]]),
            ],
            hint="the first H * W tokens are level 0, the next ones level 1.",
        ),
        Case(
            name="three levels, of 1 x 3, 3 x 5 and 5 x 3 cells",
            arguments=(torch.cat([x.flatten(1).T for x in maps]), sizes),
            expected=maps,
            hint="each level has its own number of tokens, H * W; and its sizes are (H, W).",
        ),
    ]
    hint = "`tokens.split([...])` takes a list of lengths; then turn each part into a map."
    check_cases("split_levels", function, cases, hint=hint)


def check_pyramid_step(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Enlarge, add, convolve, cut off.

    Args:
        function: Takes a coarse map C x h x w, a fine one C x H x W, and a kernel D x C x 3 x 3;
            returns D x H x W.

    Raises:
        ExerciseError: If a case is not right.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = torch.tensor([[[0.0, 8.0]]])
    lateral = torch.tensor([[[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 5.0]]])
    middle, sideways = torch.zeros(2, 1, 1, 3, 3)
    middle[0, 0, 1, 1] = 1.0
    sideways[0, 0, 1] = torch.tensor([-1.0, 0.0, 1.0])
    maps = torch.randn(2, 3, 4, generator=generator), torch.randn(2, 5, 9, generator=generator)
    kernel = torch.randn(3, 2, 3, 3, generator=generator)
    enlarged = F.interpolate(maps[0][None], (5, 9), mode="bilinear", align_corners=False)
    cases = [
        Case(
            name="1 x 2 cells that become 2 x 4, with nothing to add, and a kernel that only "
            "takes the middle",
            arguments=(coarse, torch.zeros(1, 2, 4), middle),
            expected=torch.tensor([[[0.0, 2.0, 6.0, 8.0], [0.0, 2.0, 6.0, 8.0]]]),
            hint="bilinear, align_corners=False, to the size (H, W). F.interpolate wants an axis "
            "for images: add it with [None], take it off with [0]. padding=1 keeps the size.",
        ),
        Case(
            name="the numbers of the notebook, right neighbour minus left one",
            arguments=(coarse, lateral, sideways),
            expected=torch.tensor([[[3.0, 6.0, 6.0, 0.0], [2.0, 6.0, 11.0, 0.0]]]),
            hint="add both maps, convolve with padding=1, and cut off what is negative at the end.",
        ),
        Case(
            name="two channels, 3 x 4 cells that become 5 x 9",
            arguments=(*maps, kernel),
            expected=F.conv2d(maps[1][None] + enlarged, kernel, padding=1)[0].clamp(min=0),
            hint="enlarge to the size of the fine map, fine.shape[-2:], and not by a factor of 2.",
        ),
    ]
    hint = "four lines: F.interpolate, a sum, F.conv2d, F.relu."
    check_cases("pyramid_step", function, cases, hint=hint)
