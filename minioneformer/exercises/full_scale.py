"""Exercises of notebook 16, full-scale runs on GPUs.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; Figure 2(c), box "Losses, Eq. (2)",
computed over several processes.

Not here: their statements and solutions (`notebooks/16_full_scale.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases


def check_other_batch(
    function: Callable[[int, Sequence[int], float, int, int], tuple[int, Sequence[int], float]],
) -> None:
    """A plan for another batch that sees as many images.

    Args:
        function: Takes steps, milestones, learning rate, batch and the new batch; returns the new
            steps, milestones and learning rate.

    Raises:
        ExerciseError: If a case is not right.
    """
    images = "the run shall see the same images: steps x batch stays, so twice the batch is half"
    cases = [
        Case(
            name="twice the batch",
            arguments=(160_000, (), 1e-4, 16, 32),
            expected=(80_000, (), 2e-4),
            hint=f"{images} the steps, and twice the learning rate.",
        ),
        Case(
            name="half the batch, with milestones",
            arguments=(737_500, (655_556, 710_184), 1e-4, 16, 8),
            expected=(1_475_000, (1_311_112, 1_420_368), 5e-5),
            hint="milestones are steps too: they move with the end of the run.",
        ),
        Case(
            name="a batch that does not divide the images",
            arguments=(1_000, (700,), 1e-4, 16, 12),
            expected=(1_333, (933,), 0.75e-4),
            hint="steps are whole numbers: round them.",
        ),
        Case(
            name="steps that are rounded up",
            arguments=(1_000, (500,), 1e-4, 16, 24),
            expected=(667, (333,), 1.5e-4),
            hint="round to the nearest whole number: 666.67 is 667, and 333.33 is 333.",
        ),
    ]
    hint = "one factor, batch / new_batch, for all steps; its inverse for the learning rate."
    check_cases("other_batch", function, cases, hint=hint)


def check_process_losses(function: Callable[[Sequence[Tensor]], Tensor]) -> None:
    """What each process goes backwards through, so that their mean is that of one batch.

    Args:
        function: Takes for each process the losses of its masks; returns a loss per process.

    Raises:
        ExerciseError: If a case is not right.
    """
    none = torch.zeros(0)
    cases = [
        Case(
            name="three masks here, one mask there",
            arguments=([torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0])],),
            expected=torch.tensor([3.0, 5.0]),
            hint="divide both sums by one number, the mean number of masks of a process: the "
            "gradients are averaged over the processes afterwards.",
        ),
        Case(
            name="three processes, the second of them without a mask",
            arguments=([torch.tensor([4.0, 3.0]), none, torch.tensor([2.0, 1.0, 2.0, 3.0])],),
            expected=torch.tensor([3.5, 0.0, 4.0]),
            hint="count the process without a mask too: its sum is 0, and it takes part in the "
            "mean number of masks.",
        ),
        Case(
            name="one mask for three processes",
            arguments=([torch.tensor([2.0]), none, none],),
            expected=torch.tensor([6.0, 0.0, 0.0]),
            hint="the mean number of masks may be below 1, here it is 1/3: 2 / (1/3), averaged "
            "over three processes, is the 2 of one batch.",
        ),
        Case(
            name="no mask anywhere",
            arguments=([none, none],),
            expected=torch.zeros(2),
            hint="0 divided by 0 is nan, and one nan ends a run: without any mask, count one.",
        ),
    ]
    hint = "the sum of each process, divided by (masks of all processes) / (processes)."
    check_cases("process_losses", function, cases, hint=hint)


def check_fewest_parts(
    function: Callable[[int, int, float, float, float], int | None],
) -> None:
    """Into how many parts a batch must be cut to fit.

    Args:
        function: Takes the batch, the number of processes, and in GiB what stays in memory, what
            an image takes and what there is; returns the smallest number of parts, or None.

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="eight large GPUs",
            arguments=(16, 8, 3.5, 15.0, 48.0),
            expected=1,
            hint="a process holds batch / processes images, here 2; one part is the whole share.",
        ),
        Case(
            name="one GPU for all",
            arguments=(16, 1, 1.0, 3.0, 24.0),
            expected=4,
            hint="7 images would fit, and 3 parts would be enough if they were equal: 3 does not "
            "divide 16. Take the next number that does.",
        ),
        Case(
            name="a part that fills the memory to the last byte, one image for each part",
            arguments=(4, 2, 4.0, 20.0, 24.0),
            expected=2,
            hint="4 + 1 x 20 is 24: as much as there is fits. The last number of parts to try is "
            "the share itself.",
        ),
        Case(
            name="an image that does not fit",
            arguments=(12, 3, 6.0, 20.0, 24.0),
            expected=None,
            hint="one image per part is the end: if that is too much, there is no answer but None.",
        ),
        Case(
            name="more processes than can share the batch",
            arguments=(16, 3, 1.0, 1.0, 24.0),
            expected=None,
            hint="16 images cannot be shared by 3 processes evenly, whatever the memory: None.",
        ),
    ]
    hint = "try parts = 1, 2, 3 ...: they must divide the share of a process, and a part must fit."
    check_cases("fewest_parts", function, cases, hint=hint)
