"""Weights in several files: how they are cut, and the index that says which tensor is where.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Names are those of transformers: `model-00001-of-00003.safetensors` and
`model.safetensors.index.json`.

Not here: reading and writing the shards themselves (`checkpoints/weight_files.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from torch import Tensor

INDEX = ".index.json"


def split_weights(weights: Mapping[str, Tensor], max_bytes: int) -> list[dict[str, Tensor]]:
    """Cut weights into shards, in their order.

    Args:
        weights: By name.
        max_bytes: Size of a shard; only one with a single larger tensor exceeds it.

    Returns:
        At least one shard.

    Raises:
        ValueError: If `max_bytes` is not positive.

    Example:
        Tensors of 40, 40 and 60 bytes and a limit of 100 give the first two and the last.
    """
    if max_bytes <= 0:
        raise ValueError(f"the size of a shard must be positive, got {max_bytes=}.")
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in weights.items():
        if shards[-1] and size + tensor.nbytes > max_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    return shards


def shard_names(name: str, count: int) -> list[str]:
    """Names of the shards of a file.

    Args:
        name: Of the file if it were one.
        count: Of shards.

    Returns:
        In order; `name` itself if there is only one.

    Example:
        "model.safetensors" in two: "model-00001-of-00002.safetensors" and "model-00002-of-..".
    """
    if count == 1:
        return [name]
    stem, dot, suffix = name.rpartition(".")
    return [f"{stem}-{i:05d}-of-{count:05d}{dot}{suffix}" for i in range(1, count + 1)]


def index_text(names: Sequence[str], shards: Sequence[Mapping[str, Tensor]]) -> str:
    """The index of shards.

    Args:
        names: Of the files.
        shards: Their tensors, in the same order.

    Returns:
        JSON.
    """
    weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    total = sum(tensor.nbytes for shard in shards for tensor in shard.values())
    values = {
        "metadata": {"total_size": total},
        "weight_map": {key: weight_map[key] for key in sorted(weight_map)},
    }
    return json.dumps(values, indent=2) + "\n"


def read_index(index: Path) -> dict[str, str]:
    """Read an index of shards.

    Args:
        index: Of the file.

    Returns:
        Name of the file in the same folder by name of the tensor.

    Raises:
        ValueError: If it is no index or lists nothing; if a file is not plainly one of the same
            folder.
    """
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(
            f"{index} is no index of shards ({type(error).__name__}: {error}): copy or download "
            "it again."
        ) from error
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index} lists no tensors: copy or download it again.")
    for name in weight_map.values():
        if not _is_file_name(name):
            raise ValueError(
                f"{index} must list files beside it, got {name!r}: do not trust this index."
            )
    return weight_map


def _is_file_name(name: Any) -> bool:
    """Whether it can only mean a file of the same folder, on any system."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not name.endswith(INDEX)
        and "\0" not in name
        and PurePosixPath(name).name == name
        and PureWindowsPath(name).name == name
    )


def listed_shards(index: Path) -> set[Path]:
    """The files that an index lists.

    Args:
        index: Of a file that need not exist.

    Returns:
        Their paths; nothing if the index is not there or broken.
    """
    if not index.is_file():
        return set()
    try:
        return {index.with_name(name) for name in read_index(index).values()}
    except ValueError:
        return set()
