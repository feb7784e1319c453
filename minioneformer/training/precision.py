r"""Mixed precision: which numbers the forward pass uses, and how gradients survive them.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

bfloat16 has the range of float32, so nothing else is needed. float16 has not: small gradients
become 0. The loss is multiplied by a large number before the backward pass, and the gradient
divided by it after; where it overflows, the update is left out and the number is halved.

Not here: what stays float32 whatever happens (task MLP, sampling points, costs, losses): those
modules say so themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

DTYPES: Mapping[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
SMALLEST_SCALE = 2.0**-10  # below it the gradient itself is too large, not the scale


class Precision:
    """Autocast and, for float16, loss scaling.

    Args:
        name: "bf16", "fp16", or None for the model's own precision.
        device: Of the model.

    Raises:
        ValueError: If the name is unknown.
    """

    def __init__(self, name: str | None, device: torch.device) -> None:
        if name is not None and name not in DTYPES:
            raise ValueError(f"autocast must be 'bf16', 'fp16' or None for none, got {name!r}.")
        self.name = name
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> torch.autocast:
        """The context of a forward pass."""
        dtype = DTYPES.get(self.name or "bf16")
        return torch.autocast(self.device.type, dtype, enabled=self.name is not None)

    def backward(self, loss: Tensor) -> None:
        """Go backwards through a loss, scaled.

        Args:
            loss: A scalar.
        """
        self.scaler.scale(loss).backward()

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Bring the gradients back to their true size.

        Args:
            optimizer: That holds their parameters.
        """
        self.scaler.unscale_(optimizer)

    def may_overflow(self) -> bool:
        """True if a gradient that is not finite is no failure: its update is left out."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > SMALLEST_SCALE

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Update the weights, unless the gradient has overflowed.

        Args:
            optimizer: After `unscale`.
        """
        self.scaler.step(optimizer)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs; empty without loss scaling."""
        return self.scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back.

        Args:
            state: As `state_dict` gave it.
        """
        if state:
            self.scaler.load_state_dict(dict(state))
