"""Deformable transformer encoder: cells of three levels exchange what they saw.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2 (a), box "Pixel Decoder".
After: Deformable DETR (arXiv 2010.04159), Sec. 4.2.

Not here: projections and mask features (`pixel_decoder/pixel_decoder.py`).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minioneformer.layers.cached_by_size import cached_by_size
from minioneformer.layers.feed_forward import FeedForward
from minioneformer.pixel_decoder.ms_deform_attn import MultiScaleDeformableAttention


@cached_by_size
def reference_points(
    spatial_shapes: tuple[tuple[int, int], ...], device: torch.device
) -> Float[Tensor, "S 2"]:
    """Centre of every cell of every level.

    Args:
        spatial_shapes: (H, W) of each level.
        device: Where the result lives.

    Returns:
        (x, y) in (0, 1); levels concatenated, each row by row. Cached: do not write into it.

    Example:
        A level of 1 x 2 cells has centres (0.25, 0.5) and (0.75, 0.5).
    """
    levels = []
    for height, width in spatial_shapes:
        y = (torch.arange(height, device=device) + 0.5) / height
        x = (torch.arange(width, device=device) + 0.5) / width
        y_map, x_map = torch.meshgrid(y, x, indexing="ij")
        levels.append(torch.stack([x_map, y_map], -1).flatten(0, 1))  # (H * W, 2)
    return torch.cat(levels)


class EncoderLayer(nn.Module):
    """Deformable self-attention and feed-forward, each normalised after its residual.

    Args:
        dim: Channels.
        num_heads: Of the attention.
        feed_forward_dim: Hidden channels of the feed-forward.
        dropout: Before each residual and on the hidden channels.
        num_levels: Of the tokens.
        layer_norm_eps: Of both normalisations.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        feed_forward_dim: int,
        dropout: float,
        num_levels: int = 3,
        layer_norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.attention = MultiScaleDeformableAttention(
            dim=dim, num_heads=num_heads, num_levels=num_levels
        )
        self.attention_norm = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.feed_forward = FeedForward(dim=dim, hidden_dim=feed_forward_dim, dropout=dropout)
        self.feed_forward_norm = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        tokens: Float[Tensor, "B S C"],
        positions: Float[Tensor, "1 S C"],
        points: Float[Tensor, "S 2"],
        spatial_shapes: list[tuple[int, int]],
    ) -> Float[Tensor, "B S C"]:
        """Refine every token once.

        Args:
            tokens: Cells of all levels.
            positions: Their position codes, added to queries only.
            points: Their centres, (x, y) in [0, 1].
            spatial_shapes: (H, W) of each level.

        Returns:
            Refined tokens.
        """
        queries = (tokens + positions).to(tokens.dtype)
        attended = self.attention(queries, points, tokens, spatial_shapes)
        tokens = self.attention_norm(tokens + self.dropout(attended))
        return self.feed_forward_norm(tokens + self.dropout(self.feed_forward(tokens)))
