r"""What sums of losses are divided by, over all images of one update.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.5; not drawn in Figure 2.

A mask loss is a mean over masks, the classification loss one over queries, each with its weight.
When the images of an update lie in several processes, or in parts that follow each other, the mean
over the parts' losses is that of one large batch only if every part is divided by the same
number: the mean over the parts of what they hold.

Not here: the losses (`losses/criterion.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from minioneformer.processes import mean_over_processes, world_size
from minioneformer.structures import TaskTarget


@dataclass(frozen=True, kw_only=True, slots=True)
class LossTotals:
    """Divisors of the losses of one part.

    Args:
        masks: Annotated masks, > 0; below 1 if there are fewer masks than parts.
        class_weight: Sum over the queries of their weight in the classification, > 0.
    """

    masks: float
    class_weight: float


def count_totals(
    parts: Sequence[Sequence[TaskTarget]], *, num_queries: int, no_object_weight: float
) -> LossTotals:
    """Count masks and class weights of an update; all processes must call it.

    Args:
        parts: Targets of each part that this process holds, at least one part.
        num_queries: N. Of more masks than queries, N are matched.
        no_object_weight: Of a query without a target; the others weigh 1.

    Returns:
        Means over the parts of all processes. Without any mask there counts to be one, so that
        nothing is divided by 0.

    Example:
        Two parts with one image each, 3 queries, weight 0.1; 2 masks and none: 1 mask, and class
        weights of (2 + 0.1 + 0.3) / 2 = 1.2.
    """
    masks = weight = 0.0
    for target in (target for part in parts for target in part):
        matched = min(len(target.labels), num_queries)
        masks += len(target.labels)
        weight += matched + no_object_weight * (num_queries - matched)
    own = torch.tensor([masks, weight], dtype=torch.float64) / len(parts)
    masks, weight = mean_over_processes(own).tolist()
    # subtle: one in all parts, not in each, or few masks in many parts would weigh too little
    one_mask = 1 / (len(parts) * world_size())
    return LossTotals(masks=max(masks, one_mask), class_weight=weight)
