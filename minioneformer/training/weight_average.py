r"""A running mean of the weights, often better than the last weights.

Paper: not in OneFormer (arXiv 2211.06220); Polyak and Juditsky 1992. Not drawn in Figure 2.

$\bar\theta_t = d_t \bar\theta_{t-1} + (1 - d_t) \theta_t$ with $d_t = \min(d, (1 + t) / (10 + t))$:
early on, when the weights change fast, the mean forgets faster.

Not here: when it is updated (`training/trainer.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """The mean of a model's weights; buffers, such as statistics, are those of the last step.

    Args:
        model: Whose weights are averaged; the mean starts with them.
        decay: d, in (0, 1). With 0.999 about the last thousand updates count.

    Raises:
        ValueError: If `decay` is not inside (0, 1).

    Example:
        Decay 0.5, weights 1, then 3 after the first update: d is min(0.5, 2 / 11) = 0.1818, and
        the mean 0.1818 x 1 + 0.8182 x 3 = 2.6364.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"ema_decay must be inside (0, 1), such as 0.999, got {decay=}.")
        self.model = model
        self.decay = decay
        self.updates = 0
        self.means = [parameter.detach().clone() for parameter in model.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after an update."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.means, self._weights(), 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the mean weights inside, its own again outside."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    @torch.no_grad()
    def exchange(self) -> None:
        """Swap the model's weights with their mean."""
        for weight, mean in zip(self._weights(), self.means, strict=True):
            own = weight.clone()
            weight.copy_(mean)
            mean.copy_(own)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        names = [name for name, _ in self.model.named_parameters()]
        return {"updates": self.updates, "means": dict(zip(names, self.means, strict=True))}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back.

        Args:
            state: As `state_dict` gave it, of the same model.
        """
        self.updates = state["updates"]
        for (name, _), mean in zip(self.model.named_parameters(), self.means, strict=True):
            mean.copy_(state["means"][name])

    def _weights(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self.model.parameters()]
