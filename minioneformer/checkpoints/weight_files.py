"""Files of weights: safetensors, PyTorch, Detectron2's pickles, shards; read and written.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

What a file is, its first bytes say, whatever its name. Reading one runs no code that it holds;
what is broken is an error of one line with the file and the cure. Files are written whole or not
at all.

Not here: what the names in a file mean (`checkpoints/huggingface.py`, `checkpoints/official.py`).
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from minioneformer.atomic import write_text_atomically
from minioneformer.checkpoints.key_table import list_names
from minioneformer.checkpoints.pickled_arrays import ForbiddenGlobalError, read_pickled_arrays
from minioneformer.checkpoints.shards import (
    INDEX,
    index_text,
    listed_shards,
    read_index,
    shard_names,
    split_weights,
)

MAX_SHARD_BYTES = 50 * 10**9
# In the order in which a folder is searched.
FOLDER_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
WRAPPERS = ("model", "state_dict")

ZIP, PICKLES, SAFETENSORS_BYTE = b"PK\x03\x04", (b"\x80", b"(dp"), b"{"
OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
IMPOSTORS = (
    (rb"version https://git-lfs", "a git-lfs pointer and not the file: run `git lfs pull`"),
    (rb"\s*<(!doctype|html|\?xml)", "a web page saved by mistake: download the file itself"),
)


def read_weight_file(path: str | Path) -> dict[str, Tensor]:
    """Read weights.

    Args:
        path: Of a safetensors file, a file of `torch.save`, a Detectron2 pickle, an index of
            shards, or a folder with one of `FOLDER_NAMES`. A dictionary under "model" or
            "state_dict" is taken out.

    Returns:
        By the names in the file, on the CPU. Tensors may be backed by the file: do not change it
        in place while they are in use.

    Raises:
        FileNotFoundError: If there is no such file, no weights in the folder, or a shard is
            missing.
        ValueError: If the file is empty, truncated, no file of weights, or asks for code to be
            run; if it holds other things than tensors; if an index is broken, points out of its
            folder, or lists other tensors than its shards hold.
    """
    path = Path(path)
    if path.is_dir():
        path = _find_in(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights are missing, got {str(path)!r}.")
    if path.name.endswith(INDEX):
        return _read_shards(path)
    return _read_one(path)


def write_weight_file(
    path: str | Path, weights: Mapping[str, Tensor], max_shard_bytes: int = MAX_SHARD_BYTES
) -> list[Path]:
    """Write a safetensors file, or shards and their index if it would be too large.

    Args:
        path: In an existing folder; what was written there before is replaced, its shards
            included.
        weights: By name; two may share memory, each is written in full.
        max_shard_bytes: Size that only a file with a single larger tensor exceeds.

    Returns:
        The files, the index last.

    Raises:
        ValueError: If `max_shard_bytes` is not positive.
        OSError: If the folder cannot be written or the disk is full; weights that were there are
            then as they were.
    """
    path = Path(path)
    shards = split_weights(weights, max_shard_bytes)
    names = shard_names(path.name, len(shards))
    index = path.with_name(path.name + INDEX)
    old = listed_shards(index)
    unfinished = [path.with_name(f"{name}.unfinished") for name in names]
    try:
        for file, shard in zip(unfinished, shards, strict=True):
            _save_safetensors(file, shard)
        files = [
            file.replace(path.with_name(name)) for file, name in zip(unfinished, names, strict=True)
        ]
    finally:
        for file in unfinished:
            file.unlink(missing_ok=True)  # there only if something above failed
    if len(shards) > 1:
        write_text_atomically(index, index_text(names, shards))
        path.unlink(missing_ok=True)
        files.append(index)
    else:
        index.unlink(missing_ok=True)
    for file in old - set(files):
        file.unlink(missing_ok=True)
    return files


def write_official(path: str | Path, weights: Mapping[str, Tensor]) -> Path:
    """Write a file as the official code reads it: weights under "model".

    Args:
        path: In an existing folder; an old file is replaced.
        weights: By official names.

    Returns:
        The path.

    Raises:
        OSError: If the folder cannot be written or the disk is full; an old file is then as it
            was.
    """
    path = Path(path)
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        torch.save({"model": _own_memory(weights)}, unfinished)
        return unfinished.replace(path)
    except RuntimeError as error:
        raise OSError(f"cannot write {path}: {_first_line(error)}.") from error
    finally:
        unfinished.unlink(missing_ok=True)  # there only if something above failed


def _find_in(folder: Path) -> Path:
    for name in FOLDER_NAMES:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"no weights in {str(folder)!r}: need one of {', '.join(FOLDER_NAMES)}."
    )


def _read_one(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise ValueError(f"{path} is empty: copy or download it again.")
    for pattern, what in IMPOSTORS:
        if re.match(pattern, start, re.IGNORECASE):
            raise ValueError(f"{path} is {what}.")
    if start[8:9] == SAFETENSORS_BYTE:
        return _read_safetensors(path)
    if start.startswith(ZIP) or start.startswith(OLD_TORCH):
        return _unwrap(path, _read_torch(path, mapped=start.startswith(ZIP)))
    if start.startswith(PICKLES):
        return _unwrap(path, _read_pickle(path))
    raise ValueError(
        f"{path} is truncated or no file of weights: need safetensors, a file of torch.save or "
        "a Detectron2 pickle."
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is truncated or no safetensors file ({_first_line(error)}): copy or make it "
            "again."
        ) from error


def _read_torch(path: Path, *, mapped: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found is None:
            raise _broken(path, error) from error
        raise _forbidden(path, found.group(1)) from error
    except (MemoryError, PermissionError):  # nothing is wrong with the file
        raise
    # subtle: a broken file fails in whichever function its bytes happen to reach.
    except Exception as error:
        raise _broken(path, error) from error


def _read_pickle(path: Path) -> Any:
    try:
        return read_pickled_arrays(path.read_bytes())
    except ForbiddenGlobalError as error:
        raise _forbidden(path, error.name) from error
    except ValueError as error:
        raise _broken(path, error) from error


def _forbidden(path: Path, name: str) -> ValueError:
    return ValueError(
        f"{path} asks for {name} and could run code, nothing of it was run: have whoever made it "
        "save the tensors alone, or get it as safetensors."
    )


def _broken(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is truncated or no file of weights ({_first_line(error)}): copy or download it "
        "again."
    )


def _unwrap(path: Path, values: Any) -> dict[str, Tensor]:
    for name in WRAPPERS:
        if isinstance(values, dict) and isinstance(values.get(name), dict):
            values = values[name]
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold tensors by name, got a {type(values).__name__}.")
    others = [str(name) for name, value in values.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(
            f"{path} must hold tensors by name, got other values: {list_names(others)}. Need them "
            "at the top, or under 'model' or 'state_dict'."
        )
    return {str(name): tensor.detach() for name, tensor in values.items()}


def _read_shards(index: Path) -> dict[str, Tensor]:
    weight_map = read_index(index)
    result: dict[str, Tensor] = {}
    for name in dict.fromkeys(weight_map.values()):
        shard = index.with_name(name)
        if not shard.is_file():
            raise FileNotFoundError(
                f"a shard that {index} lists is missing, got {str(shard)!r}: download it too."
            )
        tensors = _read_one(shard)
        listed = {key for key, value in weight_map.items() if value == name}
        differing = sorted(listed ^ set(tensors))
        if differing:
            raise ValueError(
                f"{shard} does not hold the tensors that {index.name} lists for it, got "
                f"{len(differing)} in one of the two only: {list_names(differing)}. Download both "
                "again."
            )
        result |= tensors
    return {name: result[name] for name in weight_map}


def _save_safetensors(path: Path, weights: Mapping[str, Tensor]) -> None:
    try:
        # subtle: transformers reads no file without this entry.
        save_file(_own_memory(weights), path, metadata={"format": "pt"})
        umask = os.umask(0)
        os.umask(umask)
        path.chmod(0o666 & ~umask)  # safetensors lets nobody else read what it writes
    except SafetensorError as error:
        raise OSError(f"cannot write {path}: {_first_line(error)}.") from error


def _own_memory(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor alone in its memory: parts of a fused one are views of it."""
    result = {}
    seen: set[int] = set()
    for name, tensor in weights.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage.data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        result[name] = tensor
    return result


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:100].rstrip(". ")
