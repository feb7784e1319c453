r"""Cross-entropy and dice of masks, pair by pair and for all pairs.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.5, Eq. (2), terms $\mathcal{L}_\text{bce}$ and
$\mathcal{L}_\text{dice}$; not drawn in Figure 2.

Rows are masks read at P points. The elementwise functions are losses of matched pairs, the
pairwise ones are matching costs; on the diagonal they agree.

Not here: where the points lie (`losses/point_sampling.py`), weights (`losses/criterion.py`).
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

SMOOTHING = 1.0  # keeps dice finite, and 0 for two empty masks


def mask_cross_entropy(
    mask_logits: Float[Tensor, "R P"], targets: Float[Tensor, "R P"]
) -> Float[Tensor, " R"]:
    """Binary cross-entropy, averaged over the points of each mask.

    Args:
        mask_logits: Before sigmoid.
        targets: In [0, 1]; fractions occur on borders.

    Returns:
        One loss per mask, >= 0.

    Example:
        Logit 0 costs log 2 = 0.6931 whatever the target.
    """
    return F.binary_cross_entropy_with_logits(mask_logits, targets, reduction="none").mean(1)


def dice_loss(
    mask_logits: Float[Tensor, "R P"], targets: Float[Tensor, "R P"]
) -> Float[Tensor, " R"]:
    r"""$1 - (2 \sum \sigma(x) g + 1) / (\sum \sigma(x) + \sum g + 1)$.

    Args:
        mask_logits: Before sigmoid.
        targets: In [0, 1].

    Returns:
        One loss per mask, in [0, 1].

    Example:
        Two points, probabilities (1, 0), targets (1, 1): 1 - (2 + 1) / (1 + 2 + 1) = 0.25.
    """
    probs = mask_logits.sigmoid()
    overlap = (probs * targets).sum(1)
    return 1 - (2 * overlap + SMOOTHING) / (probs.sum(1) + targets.sum(1) + SMOOTHING)


def pairwise_mask_cross_entropy(
    mask_logits: Float[Tensor, "*B N P"], targets: Float[Tensor, "*B M P"]
) -> Float[Tensor, "*B N M"]:
    r"""Cross-entropy of every prediction against every target.

    As $-\log \sigma(-x) = \text{softplus}(x)$ and $-\log \sigma(x) = \text{softplus}(x) - x$, the
    sum over points is $\sum \text{softplus}(x) - \sum x g$: one matrix product.

    Args:
        mask_logits: Before sigmoid.
        targets: In [0, 1].

    Returns:
        One cost per pair.
    """
    num_points = mask_logits.shape[-1]
    alone = F.softplus(mask_logits).sum(-1, keepdim=True)  # (B, N, 1)
    return (alone - mask_logits @ targets.mT) / num_points


def pairwise_dice(
    mask_logits: Float[Tensor, "*B N P"], targets: Float[Tensor, "*B M P"]
) -> Float[Tensor, "*B N M"]:
    """Dice loss of every prediction against every target.

    Args:
        mask_logits: Before sigmoid.
        targets: In [0, 1].

    Returns:
        One cost per pair.
    """
    probs = mask_logits.sigmoid()
    overlap = probs @ targets.mT  # (B, N, M)
    total = probs.sum(-1, keepdim=True) + targets.sum(-1)[..., None, :]
    return 1 - (2 * overlap + SMOOTHING) / (total + SMOOTHING)
