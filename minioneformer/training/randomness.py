r"""The state of torch's random generators: read, restored, shielded.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Python's and NumPy's generators are left alone: nothing in this package draws from their global
state.

Not here: what batches are made of (`data/stream.py` seeds every sample by its number).
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of the global generators that training on a device draws from.

    Args:
        device: Of the model.

    Returns:
        State by kind of device; "cpu" always.
    """
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_random_state(states: dict[str, Tensor], device: torch.device) -> None:
    """Set the generators back.

    Args:
        states: As `random_state` gave them. A kind of device that is missing keeps its state: a
            run that moves from CPU to GPU goes on, but not to the same bits.
        device: Of the model.
    """
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


def shielded_randomness(device: torch.device) -> AbstractContextManager[None]:
    """What is drawn inside does not move the generators outside.

    Args:
        device: Of the model.
    """
    gpus = [] if device.type == "cpu" else [device]
    return torch.random.fork_rng(devices=gpus, device_type=device.type if gpus else "cuda")
