"""Multi-layer perceptron.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1 (task MLP), 3.2 (text projector), 3.4 (mask head);
Figure 2 box "MLP".

Not here: the feed-forward part of a transformer layer (`layers/feed_forward.py`).
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them, none after the last.

    Args:
        input_dim: Channels in.
        hidden_dim: Channels between layers.
        output_dim: Channels out.
        num_layers: Linear layers, at least 1.

    Raises:
        ValueError: If `num_layers` is below 1.
    """

    def __init__(
        self, *, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers=}.")
        dims = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.layers = nn.ModuleList(nn.Linear(dims[i], dims[i + 1]) for i in range(num_layers))

    def forward(self, x: Float[Tensor, "*batch C_in"]) -> Float[Tensor, "*batch C_out"]:
        """Apply the layers in order.

        Args:
            x: Any leading axes.

        Returns:
            Same leading axes, `output_dim` channels.
        """
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)
