r"""The most memory that a run has needed so far.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: the log (`training/logbook.py`).
"""

from __future__ import annotations

import sys

import torch

if sys.platform != "win32":  # which has no such module
    import resource

GIB = 2**30


def peak_memory(device: torch.device) -> float | None:
    """Peak of this process in GiB.

    Args:
        device: Of the model: with CUDA, what tensors have taken of the GPU; otherwise the resident
            memory of the process.

    Returns:
        GiB; None on Windows without CUDA, where the system is not asked.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    if sys.platform == "win32":
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
