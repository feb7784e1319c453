r"""torch's random generators during a run: seeded anew for every step, read, restored.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

What a step draws (dropout, points of the losses) follows from the seed, the step and the number of
the process, so nothing of it needs to be stored: not for going on after a kill, nor with another
number of processes. Python's and NumPy's generators are left alone: nothing in this package draws
from their global state.

Not here: what batches are made of (`data/stream.py` seeds every sample by its number).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

STEP = 2  # the streams of random numbers 0 and 1 are those of data/stream.py


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed the generators of all devices.

    Args:
        seed: Of the run, >= 0.
        step: Updates done before this one.
        rank: Number of the process.
    """
    words = np.random.SeedSequence((seed, STEP, step, rank)).generate_state(2)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))


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
