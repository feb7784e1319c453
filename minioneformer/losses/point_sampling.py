"""Masks read at points instead of pixels, and points chosen where it matters.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.5; not drawn in Figure 2.
After: PointRend (arXiv 1912.08193), Sec. 3.1 and Mask2Former (arXiv 2112.01527), Sec. 3.3.

Points are (x, y) in [0, 1], (0, 0) the top-left corner of the top-left cell.

Not here: the losses on the sampled values (`losses/mask_losses.py`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def sample_at_points(
    maps: Float[Tensor, "R C h w"], points: Float[Tensor, "R P 2"]
) -> Float[Tensor, "R C P"]:
    """Bilinear values at points; outside of the map is zero.

    Args:
        maps: One stack of C maps per row.
        points: (x, y) in [0, 1].

    Returns:
        Value of each map at each point.

    Example:
        A 1 x 2 map (10, 20): (0.25, 0.5) is the first centre and gives 10, (0.5, 0.5) gives
        15, (0, 0.5) half of 10.
    """
    grid = 2 * points[:, :, None] - 1  # (R, P, 1, 2), grid_sample counts from -1 to 1
    sampled = F.grid_sample(maps, grid, mode="bilinear", align_corners=False)  # (R, C, P, 1)
    return sampled.squeeze(-1)


def choose_points(
    mask_logits: Float[Tensor, "R h w"],
    *,
    num_points: int,
    oversample_ratio: float = 3.0,
    importance_ratio: float = 0.75,
) -> Float[Tensor, "R P 2"]:
    """Draw points, most of them where the prediction is least sure.

    `oversample_ratio` x P candidates are drawn evenly; the `importance_ratio` x P of them whose
    logit is nearest to zero are kept, and fresh even points fill up to P.

    Args:
        mask_logits: Of each predicted mask; no gradient flows through the choice.
        num_points: P, at least 1.
        oversample_ratio: Candidates per point, at least 1.
        importance_ratio: Share of the least sure, in [0, 1].

    Returns:
        (x, y) in [0, 1].

    Raises:
        ValueError: If a number is out of its range.
    """
    if num_points < 1 or oversample_ratio < 1 or not 0 <= importance_ratio <= 1:
        raise ValueError(
            "need num_points >= 1, oversample_ratio >= 1 and importance_ratio in [0, 1], "
            f"got {num_points=}, {oversample_ratio=}, {importance_ratio=}."
        )
    rows, device = mask_logits.shape[0], mask_logits.device
    num_candidates = int(num_points * oversample_ratio)
    num_important = int(importance_ratio * num_points)

    candidates = torch.rand(rows, num_candidates, 2, device=device)
    logits = sample_at_points(mask_logits.detach()[:, None], candidates)[:, 0]
    least_sure = logits.abs().topk(num_important, dim=1, largest=False).indices  # (R, important)
    important = candidates.gather(1, least_sure[..., None].expand(-1, -1, 2))
    fresh = torch.rand(rows, num_points - num_important, 2, device=device)
    return torch.cat([important, fresh], dim=1)
