"""Which cells a query may read: those inside its own mask.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2 (c), box "CA".
After: Masked-attention Mask Transformer (arXiv 2112.01527), Sec. 3.2.1.

Not here: the attention itself (`layers/attention.py`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def resize_mask_features(
    mask_features: Float[Tensor, "B C h w"], sizes: list[tuple[int, int]]
) -> list[Float[Tensor, "B C _h _w"]]:
    """Mask features at each size, so that masks can be predicted there directly.

    A bilinear resize and the product with a mask embedding are both linear and act on
    different axes, so they commute: resizing C channels once per size replaces resizing N
    masks in each layer.

    Args:
        mask_features: At stride 4.
        sizes: (H, W) of each level.

    Returns:
        One map per size, without gradient: attention masks are decisions, not functions.
    """
    features = mask_features.detach()
    return [F.interpolate(features, size, mode="bilinear", align_corners=False) for size in sizes]


def blocked_outside_mask(
    mask_embeddings: Float[Tensor, "B N C"], resized_mask_features: Float[Tensor, "B C h w"]
) -> Bool[Tensor, "B N h*w"]:
    """Block the cells outside each query's predicted mask.

    Args:
        mask_embeddings: One vector per query.
        resized_mask_features: Mask features at the size of the level to be read.

    Returns:
        True = may not attend: where the mask logit is negative (probability below one half).
        A query whose mask is empty may attend everywhere.

    Example:
        Logits (-1, 2, -3) block the first and the last cell; (-1, -2, -3) block nothing.
    """
    logits = torch.einsum("bnc,bchw->bnhw", mask_embeddings.detach(), resized_mask_features)
    blocked = (logits < 0).flatten(2)  # (B, N, h * w)
    # subtle: softmax over a fully blocked row is 0 / 0 (NaN before torch 2.5, then nothing is
    # read), so such rows are opened.
    return blocked & ~blocked.all(dim=-1, keepdim=True)
