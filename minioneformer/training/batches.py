r"""Batches on their way to the device.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: what is in a batch (`data/stream.py`, `data/collate.py`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from minioneformer.structures import Batch


def batches_on_device(
    loader_from: Callable[[int], Iterable[Batch]], first: int, device: torch.device
) -> Iterator[Batch]:
    """Batches from number `first` on, moved to the device.

    Args:
        loader_from: Given n, the batches from the n-th one on.
        first: Number of the first batch, from 0.
        device: Of the model.

    Yields:
        One batch after the other.

    Raises:
        ValueError: If a batch is asked for that the loader does not have.
    """
    batches = iter(loader_from(first))
    for number in itertools.count(first):
        batch = next(batches, None)
        if batch is None:
            raise ValueError(
                f"loader_from({first}) ended too early, got no batch number {number}: it must go "
                f"on for total_steps x accumulate batches."
            )
        yield move_batch(batch, device)


def move_batch(batch: Batch, device: torch.device) -> Batch:
    """Copy a batch to a device.

    Args:
        batch: On any device.
        device: Where the tensors go; what is there already is not copied.

    Returns:
        The batch, labels and masks of its targets included.
    """

    def move(tensor: Tensor) -> Tensor:
        return tensor.to(device, non_blocking=True)

    return dataclasses.replace(
        batch,
        images=move(batch.images),
        padding_mask=move(batch.padding_mask),
        task_tokens=move(batch.task_tokens),
        text_tokens=None if batch.text_tokens is None else move(batch.text_tokens),
        targets=tuple(
            dataclasses.replace(target, labels=move(target.labels), masks=move(target.masks))
            for target in batch.targets
        ),
    )
