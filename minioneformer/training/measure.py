r"""What an update has measured, over all its parts and processes; whether it is finite.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: what is done then (`training/trainer.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from minioneformer.processes import gather_objects, mean_over_processes
from minioneformer.training.failure import Failure, find_failure, join_failures
from minioneformer.training.logbook import summarize_terms
from minioneformer.training.update import PartLosses


def measure_update(
    image_ids: Sequence[tuple[int | str, ...]],
    computed: Sequence[PartLosses],
    grad_norm: Tensor,
    *,
    may_overflow: bool = False,
) -> tuple[dict[str, float], Failure | None]:
    """Average what the parts of all processes gave; every process must call it.

    Args:
        image_ids: Of each part of this process.
        computed: Losses and hits of each part.
        grad_norm: Of the update, the same in all processes.
        may_overflow: Whether a gradient that is not finite is no failure.

    Returns:
        Numbers for the log: "loss", its terms, "matched_accuracy" if anything was matched, and
        "grad_norm" if it is finite. And what is not finite, None if all is well.
    """
    read, hits, norm = _read(computed, grad_norm)
    means = {name: sum(part[name] for part in read) / len(read) for name in read[0]}
    own = torch.tensor([*means.values(), *hits], dtype=torch.float64)
    *shared, right, matched = mean_over_processes(own).tolist()
    losses_are_finite = all(map(math.isfinite, shared))
    if not losses_are_finite or not (math.isfinite(norm) or may_overflow):
        found = find_failure(list(zip(image_ids, read, strict=True)), norm)
        return {}, join_failures(gather_objects(found))
    row = {"loss": sum(shared), **summarize_terms(dict(zip(means, shared, strict=True)))}
    if matched:
        row["matched_accuracy"] = right / matched
    if math.isfinite(norm):
        row["grad_norm"] = norm
    return row, None


def _read(
    computed: Sequence[PartLosses], grad_norm: Tensor
) -> tuple[list[Mapping[str, float]], list[float], float]:
    """Losses of each part, sums of hits, gradient norm as numbers."""
    # One transfer for all of them: each would wait for the device.
    losses = [value for part in computed for value in part.losses.values()]
    hits = [grad_norm.new_zeros(2), *(part.hits for part in computed if part.hits is not None)]
    counts = torch.stack([count.to(grad_norm) for count in hits]).sum(0)
    together = torch.cat([torch.stack([t.float() for t in losses]), counts, grad_norm[None]])
    *values, right, matched, norm = together.tolist()
    remaining = iter(values)
    return (
        [{name: next(remaining) for name in part.losses} for part in computed],
        [
            right,
            matched,
        ],
        norm,
    )
