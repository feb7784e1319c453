"""Feed-forward part of a transformer layer.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2 box "FFN".

Not here: residual and normalisation, which belong to the layer that uses it.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class FeedForward(nn.Module):
    """Linear, ReLU, dropout, Linear; the residual is left to the caller.

    Args:
        dim: Channels in and out.
        hidden_dim: Channels between.
        dropout: Probability of zeroing a hidden channel in training.
    """

    def __init__(self, *, dim: int, hidden_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(hidden_dim, dim)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, x: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch C"]:
        """Transform each position on its own.

        Args:
            x: Any leading axes.

        Returns:
            Same shape.
        """
        return self.linear2(self.dropout(F.relu(self.linear1(x))))
