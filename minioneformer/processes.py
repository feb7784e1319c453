"""The processes of one run: which one this is, and what the others have.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Several processes that share work form a group, as `torchrun` starts them. Without a group
everything here works too: there is one process, number 0.

Not here: splitting images or batches among the processes (`evaluation/evaluator.py`,
`data/stream.py`).
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

logger = logging.getLogger(__name__)
PATIENCE = timedelta(hours=1)  # shares of an evaluation may end far apart
Value = TypeVar("Value")


def in_group() -> bool:
    """True if this process has joined a group."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if in_group() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if in_group() else 1


def is_main() -> bool:
    """True in the one process that writes files and talks."""
    return rank() == 0


def is_lost_process(error: RuntimeError) -> bool:
    """True if an exchange has failed because another process is gone, or does not answer.

    Args:
        error: Raised by any function here, or by a model that processes train together.
    """
    return in_group() and (isinstance(error, dist.DistError) or "gloo" in str(error))


def gather_objects(value: Value) -> list[Value]:
    """The values of all processes, by rank; every process must call it, and gets all.

    Args:
        value: Of this process; anything that can be pickled.

    Returns:
        One value per process; [value] without a group.
    """
    if not in_group():
        return [value]
    values: list = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def from_main(value: Value) -> Value:
    """The value of process 0; every process must call it.

    Args:
        value: Of this process; what the others have is not looked at.
    """
    if not in_group():
        return value
    values = [value if is_main() else None]
    dist.broadcast_object_list(values, src=0)
    return values[0]  # type: ignore[return-value]  # filled by process 0


def mean_over_processes(values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The mean of the values of all processes; every process must call it, and gets it.

    Args:
        values: Of this process, of the same shape everywhere; kept as they are.
    """
    if not in_group():
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def max_over_processes(number: int) -> int:
    """The largest number of all processes; every process must call it, and gets it.

    Args:
        number: Of this process.
    """
    if not in_group():
        return number
    largest = torch.tensor(number)
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return int(largest)


def gather_rows(rows: Float[Tensor, B * any]) -> Float[Tensor, W_times_B * any]:
    """Stack the rows of all processes by rank, as part of the graph.

    Every process must call it, and go backwards through it. A row's gradient is the sum over
    the processes of what their losses say about it.

    Args:
        rows: Of this process; as many in every other one.
    """
    return _GatherRows.apply(rows) if in_group() else rows


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)  # not ours to change
        dist.all_reduce(total)
        return total.chunk(world_size())[rank()]


@contextlib.contextmanager
def joined_processes() -> Iterator[None]:
    """Join the group that the environment describes, as `torchrun` sets it; leave it at the end.

    Nothing happens if the environment names no rank, or this process is in a group already.
    With CUDA, each process of a machine takes the GPU of its number there (`LOCAL_RANK`), and
    tensors on it travel by NCCL; those on the CPU travel by gloo.

    Raises:
        ValueError: If this machine runs more processes than it has GPUs, and has any.
    """
    if in_group() or not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        _take_gpu(int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    store = _store_of_this_start()
    if store is None:
        dist.init_process_group(backend, timeout=PATIENCE)
    else:
        here, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        dist.init_process_group(backend, store=store, rank=here, world_size=count, timeout=PATIENCE)
    try:
        max_over_processes(0)  # subtle: one that leaves at once would break off others' joining
        yield
    finally:
        dist.destroy_process_group()


def _store_of_this_start() -> dist.Store | None:
    """Where the processes find each other, if it must not be torch's choice.

    subtle: `torchrun` keeps one store over all starts of its workers, with the addresses of dead
    ones in it: a second start waits for those until it gives up. On one machine the number of the
    start keeps them apart. Several machines count their starts each for itself; they need a new
    store.
    """
    environment = os.environ
    if environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    if environment.get("GROUP_WORLD_SIZE", "1") != "1":
        if environment.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0" and environment["RANK"] == "0":
            logger.warning(
                "torchrun may start the processes of several machines again, and they would not "
                "find each other: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 on every machine."
            )
        return None
    store = dist.TCPStore(
        environment["MASTER_ADDR"], int(environment["MASTER_PORT"]), timeout=PATIENCE
    )
    return dist.PrefixStore(f"start_{environment['TORCHELASTIC_RESTART_COUNT']}", store)


def _take_gpu(local_rank: int, num_gpus: int) -> None:
    if local_rank >= num_gpus:
        raise ValueError(
            f"each process needs a GPU of its own, got {local_rank=}, {num_gpus=}: start no more "
            "processes per machine than it has GPUs, or hide them all (CUDA_VISIBLE_DEVICES=)."
        )
    torch.cuda.set_device(local_rank)
