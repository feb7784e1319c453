"""Room for the large tensors of a batch, where the training process can see it.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

What a worker process makes travels to the training process through shared memory. A tensor made
elsewhere is copied there first; one made there is not.

Not here: what is put into it (`data/targets.py`, `data/collate.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import get_worker_info


def empty_room(*shape: int, dtype: torch.dtype) -> Tensor:
    """Make an uninitialised tensor, in a worker process in shared memory.

    Args:
        shape: As of `torch.empty`.
        dtype: Of its elements.

    Returns:
        The tensor.
    """
    if get_worker_info() is None:
        return torch.empty(shape, dtype=dtype)
    size = torch.Size(shape)
    # as torch's own collate function does
    storage = torch.UntypedStorage._new_shared(size.numel() * dtype.itemsize)
    room = torch.empty(0, dtype=dtype)
    return room.set_(storage, 0, size, torch.empty(size, device="meta").stride())
