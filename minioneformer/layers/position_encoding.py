r"""Sine position encoding of a 2-D map.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4 (as Mask2Former); not drawn in Figure 2.
After: End-to-End Object Detection with Transformers (arXiv 2005.12872), appendix A.4.

Not here: learned level embeddings, which the pixel decoder and the decoder add to it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from minioneformer.layers.cached_by_size import cached_by_size

TEMPERATURE = 10000.0
EPSILON = 1e-6


@cached_by_size
def sine_position_encoding(
    size: tuple[int, int],
    dim: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "1 C H W"]:
    r"""Encode the place of each cell by sines and cosines, $y$ in the first half of the channels.

    With $y = 2\pi (r + 1) / (H + 10^{-6})$ for row $r$ (and $x$ likewise), channel $n$ of a half
    with $d$ channels is $\sin(y / 10000^{2 \lfloor n/2 \rfloor / d})$ for even $n$, the cosine for
    odd $n$.

    Args:
        size: (H, W) in cells.
        dim: Channels, a multiple of 4.
        device: Where the result lives.
        dtype: Of the features it is added to; half precision is raised to float32.

    Returns:
        One encoding for a whole batch. It is cached: do not write into it.

    Raises:
        ValueError: If `dim` is no multiple of 4.

    Example:
        For a map of 2 rows the first row has $y = \pi$, so its first two channels are
        $\sin \pi = 0$ and $\cos \pi = -1$.
    """
    if dim % 4:
        raise ValueError(f"dim must be a multiple of 4, got {dim=}.")
    dtype = torch.promote_types(dtype, torch.float32)
    y, x = (_encode_axis(length, dim // 2, device, dtype) for length in size)  # (H, C/2), (W, C/2)
    height, width = size
    y_map = y.T[:, :, None].expand(-1, height, width)  # (C/2, H, W)
    x_map = x.T[:, None, :].expand(-1, height, width)
    return torch.cat([y_map, x_map])[None].contiguous()  # (1, C, H, W)


def _encode_axis(length: int, dim: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    position = torch.arange(1, length + 1, dtype=dtype, device=device)
    angle = position / (length + EPSILON) * 2 * math.pi  # (length,)
    channel = torch.arange(dim, dtype=dtype, device=device)
    period = TEMPERATURE ** (2 * (channel // 2) / dim)
    phase = angle[:, None] / period  # (length, dim)
    is_even = torch.arange(dim, device=device) % 2 == 0
    return torch.where(is_even, phase.sin(), phase.cos())
