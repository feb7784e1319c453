"""Object queries that know their task.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.2; Figure 2 (b), boxes "Flatten", "Transformer",
"(N-1) Queries" and "Stack".

N - 1 copies of the task token are refined by a small transformer that looks at the mask
features; the task token itself is the N-th query. Both uses of the token can be switched off, as
in the paper's Table 4.

Not here: the task token (`text/task_mlp.py`), the normalisation it passes through before it
comes here (`model.py`), the refinement of all queries (`decoder/`).
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from minioneformer.layers.attention import MultiHeadAttention
from minioneformer.layers.feed_forward import FeedForward
from minioneformer.layers.position_encoding import sine_position_encoding


class QueryLayer(nn.Module):
    """Self-attention among the queries, cross-attention to the image, feed-forward.

    Args:
        dim: Channels.
        num_heads: Of both attentions.
        feed_forward_dim: Hidden channels of the feed-forward.
        dropout: On attention weights, on the hidden channels and before each residual.
        layer_norm_eps: Of the three normalisations, each after its residual.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        feed_forward_dim: int,
        dropout: float,
        layer_norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(dim=dim, num_heads=num_heads, dropout=dropout)
        self.self_attention_norm = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.cross_attention = MultiHeadAttention(dim=dim, num_heads=num_heads, dropout=dropout)
        self.cross_attention_norm = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.feed_forward = FeedForward(dim=dim, hidden_dim=feed_forward_dim, dropout=dropout)
        self.feed_forward_norm = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        queries: Float[Tensor, "B N C"],
        query_positions: Float[Tensor, "N C"],
        keys: Float[Tensor, "B hw C"],
        values: Float[Tensor, "1 hw C"],
    ) -> Float[Tensor, "B N C"]:
        """Refine the queries once.

        Args:
            queries: From the layer before.
            query_positions: Added wherever queries are compared.
            keys: Position codes plus image content.
            values: Position codes alone, the same for every image.

        Returns:
            Refined queries.
        """
        placed = queries + query_positions
        attended = self.self_attention(placed, placed, queries)
        queries = self.self_attention_norm(queries + self.dropout(attended))

        attended = self.cross_attention(queries + query_positions, keys, values)
        queries = self.cross_attention_norm(queries + self.dropout(attended))

        return self.feed_forward_norm(queries + self.dropout(self.feed_forward(queries)))


class QueryFormulation(nn.Module):
    """Task token and mask features in, N object queries out.

    Args:
        hidden_dim: Channels C of the queries.
        mask_dim: Channels of the mask features.
        num_heads: Of the attentions.
        num_layers: Of the transformer.
        feed_forward_dim: Hidden channels of its feed-forwards.
        dropout: In its layers, in training.
        seed_with_task: Whether the N - 1 queries start as copies of the task token; otherwise
            as zeros.
        append_task: Whether the task token is the last query; otherwise all N queries come from
            the transformer.
        layer_norm_eps: Of every LayerNorm.

    Fidelity:
        Official code: position codes and image content are swapped in the call to the
        transformer, so the *values* of the cross-attention hold position codes only, and
        the image decides where a query looks, not what it reads. The published weights were
        trained so; we do the same.
    """

    def __init__(
        self,
        *,
        hidden_dim: int,
        mask_dim: int,
        num_heads: int = 8,
        num_layers: int = 2,
        feed_forward_dim: int = 2048,
        dropout: float = 0.1,
        seed_with_task: bool = True,
        append_task: bool = True,
        layer_norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.seed_with_task = seed_with_task
        self.append_task = append_task
        self.input_projection = nn.Conv2d(mask_dim, hidden_dim, kernel_size=1)
        nn.init.kaiming_uniform_(self.input_projection.weight, a=1)
        nn.init.zeros_(self.input_projection.get_parameter("bias"))
        self.layers = nn.ModuleList(
            QueryLayer(
                dim=hidden_dim,
                num_heads=num_heads,
                feed_forward_dim=feed_forward_dim,
                dropout=dropout,
                layer_norm_eps=layer_norm_eps,
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_dim, eps=layer_norm_eps)

    @property
    def reads_task(self) -> bool:
        """Whether the object queries depend on the task at all."""
        return self.seed_with_task or self.append_task

    def forward(
        self,
        task_token: Float[Tensor, "B C"],
        mask_features: Float[Tensor, "B C_mask h w"],
        query_positions: Float[Tensor, "N C"],
    ) -> Float[Tensor, "B N C"]:
        """Make the object queries of each image.

        Args:
            task_token: Normalised by the decoder's LayerNorm, as the model's switch says.
            mask_features: At stride 4.
            query_positions: Learned position of each query; the last one is the task token's if
                it is a query.

        Returns:
            Object queries; row N - 1 is the task token, unless `append_task` is off.
        """
        size = (mask_features.shape[-2], mask_features.shape[-1])
        position = sine_position_encoding(
            size, task_token.shape[1], mask_features.device, mask_features.dtype
        )
        values = rearrange(position, "1 c h w -> 1 (h w) c")
        # subtle: content enters the keys only (see Fidelity).
        content = rearrange(self.input_projection(mask_features), "b c h w -> b (h w) c")
        keys, values = (values + content).to(content.dtype), values.to(content.dtype)

        seed = task_token if self.seed_with_task else torch.zeros_like(task_token)
        positions = query_positions[:-1] if self.append_task else query_positions
        queries = repeat(seed, "b c -> b n c", n=positions.shape[0])
        for layer in self.layers:
            queries = layer(queries, positions, keys, values)
        queries = self.norm(queries)
        return torch.cat([queries, task_token[:, None]], dim=1) if self.append_task else queries
