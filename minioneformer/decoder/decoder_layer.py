"""One layer of the masked decoder: cross-attention, self-attention, feed-forward.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2 (c), boxes "CA", "SA", "FFN".
After: Masked-attention Mask Transformer (arXiv 2112.01527), Sec. 3.2.2 (cross-attention first).

Not here: which cells are blocked (`decoder/masked_attention.py`).
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from minioneformer.layers.attention import MultiHeadAttention
from minioneformer.layers.feed_forward import FeedForward


class DecoderLayer(nn.Module):
    """Queries read the image inside their masks, then each other, then think alone.

    Args:
        dim: Channels.
        num_heads: Of both attentions.
        feed_forward_dim: Hidden channels of the feed-forward.
        layer_norm_eps: Of the three normalisations, each after its residual.
    """

    def __init__(
        self, *, dim: int, num_heads: int, feed_forward_dim: int, layer_norm_eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.cross_attention = MultiHeadAttention(dim=dim, num_heads=num_heads)
        self.cross_attention_norm = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.self_attention = MultiHeadAttention(dim=dim, num_heads=num_heads)
        self.self_attention_norm = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.feed_forward = FeedForward(dim=dim, hidden_dim=feed_forward_dim)
        self.feed_forward_norm = nn.LayerNorm(dim, eps=layer_norm_eps)

    def forward(
        self,
        queries: Float[Tensor, "B N C"],
        query_positions: Float[Tensor, "N C"],
        keys: Float[Tensor, "B hw C"],
        values: Float[Tensor, "B hw C"],
        blocked_mask: Bool[Tensor, "B N hw"],
    ) -> Float[Tensor, "B N C"]:
        """Refine the queries once.

        Args:
            queries: From the layer before.
            query_positions: Added to queries wherever they are compared, never to values.
            keys: Image tokens with their position codes.
            values: Image tokens without.
            blocked_mask: True where a query may not read.

        Returns:
            Refined queries.
        """
        attended = self.cross_attention(queries + query_positions, keys, values, blocked_mask)
        queries = self.cross_attention_norm(queries + attended)

        placed = queries + query_positions
        queries = self.self_attention_norm(queries + self.self_attention(placed, placed, queries))

        return self.feed_forward_norm(queries + self.feed_forward(queries))
