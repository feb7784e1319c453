"""Exercises of notebook 13, your own data: check, fine-tune, predict.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2, boxes "Image" and "GT".

Not here: their statements and solutions (`notebooks/13_own_data.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases


def check_ids_as_colors(function: Callable[[Tensor], Tensor]) -> None:
    """Numbers of segments as colours, the format of COCO panoptic.

    Args:
        function: Takes a map of numbers; returns bytes, 3 x H x W, red the lowest digit.

    Raises:
        ExerciseError: If a case is not right.
    """
    byte = torch.uint8
    cases = [
        Case(
            name="numbers below 256",
            arguments=(torch.tensor([[0, 7, 255]]),),
            expected=torch.tensor([[[0, 7, 255]], [[0, 0, 0]], [[0, 0, 0]]], dtype=byte),
            hint="channel 0 holds the lowest digit; the result is (3, H, W).",
        ),
        Case(
            name="numbers of two digits, on a map that is wider than high",
            arguments=(torch.tensor([[256, 300, 1], [65535, 0, 511]]),),
            expected=torch.tensor(
                [
                    [[0, 44, 1], [255, 0, 255]],
                    [[1, 1, 0], [255, 0, 1]],
                    [[0, 0, 0], [0, 0, 0]],
                ],
                dtype=byte,
            ),
            hint="the second digit is number // 256 % 256. Divide first, change the type last: 256 "
            "does not fit into uint8.",
        ),
        Case(
            name="numbers of three digits",
            arguments=(torch.tensor([[70000], [197121], [16777215]]),),
            expected=torch.tensor(
                [[[112], [1], [255]], [[17], [2], [255]], [[1], [3], [255]]], dtype=byte
            ),
            hint="the third digit is number // 65536: 70000 is 112 + 256 x 17 + 65536 x 1.",
        ),
    ]
    hint = "digit number k is segment_map // 256**k % 256; stack the three, then .to(torch.uint8)."
    check_cases("ids_as_colors", function, cases, hint=hint)


def check_count_objects(function: Callable[[Tensor, int], Tensor]) -> None:
    """Connected parts of a region, numbered.

    Args:
        function: Takes a mask and the pixels that a part must have; returns the number of the part
            of each pixel, 0 for none.

    Raises:
        ExerciseError: If a case is not right.
    """
    two = torch.tensor([[1, 1, 0, 0, 1], [0, 1, 0, 1, 1]], dtype=torch.bool)
    small_first = torch.tensor([[1, 0, 1, 1, 1], [1, 0, 0, 0, 1]], dtype=torch.bool)
    corner = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]], dtype=torch.bool)
    ring = torch.tensor(
        [[0, 1, 1, 1], [0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]]
    ).bool()
    speck = torch.tensor([[1, 0, 0, 1, 1], [0, 0, 0, 1, 0], [1, 1, 0, 0, 0]], dtype=torch.bool)
    cases = [
        Case(
            name="two parts",
            arguments=(two, 1),
            expected=torch.tensor([[1, 1, 0, 0, 2], [0, 1, 0, 2, 2]]),
        ),
        Case(
            name="a small part before a larger one",
            arguments=(small_first, 1),
            expected=torch.tensor([[1, 0, 2, 2, 2], [1, 0, 0, 0, 2]]),
            hint="numbers follow the rows, as those of scipy.ndimage.label, and not the sizes.",
        ),
        Case(
            name="parts that touch at a corner",
            arguments=(corner, 1),
            expected=torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 2], [0, 0, 2]]),
            hint="neighbours are left, right, above and below: leave `structure` of label alone.",
        ),
        Case(
            name="a ring, and something below it",
            arguments=(ring, 1),
            expected=torch.tensor(
                [[0, 1, 1, 1], [0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 0], [2, 2, 0, 0]]
            ),
            hint="a hole is no part: only pixels of the mask have a number; and numbers follow the "
            "rows, so the ring comes first.",
        ),
        Case(
            name="a speck before two larger parts",
            arguments=(speck, 2),
            expected=torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 1, 0], [2, 2, 0, 0, 0]]),
            hint="a part of exactly `smallest` pixels stays; those left out take no number.",
        ),
        Case(
            name="nothing inside",
            arguments=(torch.zeros(2, 3, dtype=torch.bool), 1),
            expected=torch.zeros(2, 3, dtype=torch.long),
        ),
    ]
    hint = "labels, count = ndimage.label(mask.numpy()); then look at the parts one by one."
    check_cases("count_objects", function, cases, hint=hint)


def check_class_rows(
    function: Callable[[Sequence[str], Sequence[str]], Sequence[int | None]],
) -> None:
    """Which row of the old class head each row of the new one starts from.

    Args:
        function: Takes the class names of the old and of the new model; returns a row or None for
            each new class, and for "no object".

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="the same classes",
            arguments=(["sky", "circle"], ["sky", "circle"]),
            expected=[0, 1, 2],
            hint='the head has one row more than classes: the last is "no object". And row 0 is a '
            "row: 0 is not None.",
        ),
        Case(
            name="a class that is new, and one that stands elsewhere",
            arguments=(["sky", "grass", "circle"], ["circle", "coin"]),
            expected=[2, None, 3],
            hint='look names up in `old`; "no object" is row len(old) there, not len(new).',
        ),
        Case(
            name="no class in common",
            arguments=(["sky"], ["coin", "table"]),
            expected=[None, None, 1],
            hint="a name that the old model does not know gives None; no object is always known.",
        ),
    ]
    hint = "for each name of `new` its position in `old` or None, then len(old) for no object."
    check_cases("class_rows", function, cases, hint=hint)
