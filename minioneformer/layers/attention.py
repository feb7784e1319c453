"""Multi-head attention with separate query, key and value inputs.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.2 and 3.4; Figure 2 boxes "CA" and "SA".
After: Attention Is All You Need (arXiv 1706.03762), Sec. 3.2.

Not here: windowed attention (`backbone/swin.py`), deformable attention (`pixel_decoder/`).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    r"""$\text{softmax}(Q K^\top / \sqrt{d}) V$ in `num_heads` subspaces.

    Args:
        dim: Channels in and out.
        num_heads: Subspaces; must divide `dim`.
        dropout: Probability of zeroing an attention weight in training.

    Raises:
        ValueError: If `num_heads` does not divide `dim`.

    Fidelity:
        Official code: one fused (3 dim, dim) matrix. Ours are three, drawn from the
        distribution that Xavier gives to the fused one.
    """

    def __init__(self, *, dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"num_heads must divide dim, got {dim=}, {num_heads=}.")
        self.num_heads = num_heads
        self.dropout = dropout
        self.query_proj = nn.Linear(dim, dim)
        self.key_proj = nn.Linear(dim, dim)
        self.value_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        # subtle: Xavier's bound depends on fan_out, and the fused matrix has three times ours.
        fused_bound = math.sqrt(6 / (dim + 3 * dim))
        for proj in (self.query_proj, self.key_proj, self.value_proj):
            nn.init.uniform_(proj.weight, -fused_bound, fused_bound)
            nn.init.zeros_(proj.bias)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Float[Tensor, "B Q C"],
        key: Float[Tensor, "#B K C"],
        value: Float[Tensor, "#B K C"],
        blocked_mask: Bool[Tensor, "B Q K"] | None = None,
    ) -> Float[Tensor, "B Q C"]:
        """Let each query read from the values whose keys it matches.

        Shape legend: B images, Q queries, K keys, C channels.

        Args:
            query: What asks.
            key: What is compared; a batch of one serves all images.
            value: What is read; a batch of one serves all images.
            blocked_mask: True where a query may not attend to a key, for all heads. A row that
                is True everywhere reads nothing, or NaN before torch 2.5: open it first
                (`decoder/masked_attention.py`).

        Returns:
            One row per query.
        """
        batch = query.shape[0]
        q = self._split_heads(self.query_proj(query))  # (B, heads, Q, C / heads)
        k = self._split_heads(self.key_proj(key)).expand(batch, -1, -1, -1)
        v = self._split_heads(self.value_proj(value)).expand(batch, -1, -1, -1)
        attended = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if blocked_mask is None else ~blocked_mask[:, None],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out_proj(rearrange(attended, "b heads q c -> b q (heads c)"))

    def weights(
        self,
        query: Float[Tensor, "B Q C"],
        key: Float[Tensor, "#B K C"],
        value: Float[Tensor, "#B K C"] | None = None,  # noqa: ARG002
        blocked_mask: Bool[Tensor, "B Q K"] | None = None,
    ) -> Float[Tensor, "B heads Q K"]:
        """What each query reads from each key, for pictures and lessons.

        Args:
            query: What asks.
            key: What is compared.
            value: Not used; here so that the arguments of `forward` can be passed on.
            blocked_mask: True where a query may not attend to a key.

        Returns:
            Shares that sum to 1 over the keys; `forward` never forms them.
        """
        q = self._split_heads(self.query_proj(query))  # (B, heads, Q, C / heads)
        k = self._split_heads(self.key_proj(key))
        logits = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        if blocked_mask is not None:
            logits = logits.masked_fill(blocked_mask[:, None], -torch.inf)
        return logits.softmax(dim=-1)

    def _split_heads(self, x: Tensor) -> Tensor:
        return rearrange(x, "b n (heads c) -> b heads n c", heads=self.num_heads)
