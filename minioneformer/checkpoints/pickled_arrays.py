"""Weights that Detectron2 left as a pickle of NumPy arrays, opened without running anything.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

A pickle is a program that may call any function of any module. Here the few names that an array
needs lead to functions of this file, and every other name is an error before anything is called.

Not here: files of PyTorch, which holds them to such a list itself (`checkpoints/weight_files.py`).
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


class ForbiddenGlobalError(ValueError):
    """A pickle asks for a name that no array needs.

    Args:
        name: With its module.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"it asks for {name}, which weights do not need")
        self.name = name


def read_pickled_arrays(content: bytes) -> dict[Any, Any]:
    """Read a pickle that holds a dictionary of arrays, or one under "model".

    Args:
        content: Of the file.

    Returns:
        The dictionary; arrays in it and in dictionaries in it are tensors.

    Raises:
        ForbiddenGlobalError: If the pickle asks for anything that arrays do not need; nothing
            was called.
        ValueError: If it is cut off, is no such pickle, asks for more memory than
            there is, or holds arrays of other than numbers.
    """
    try:
        # subtle: files of Python 2 have byte strings where Python 3 has text.
        values = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
        if not isinstance(values, dict):
            raise ValueError(f"it holds a {type(values).__name__} and no dictionary of weights")
        return _as_tensors(values)
    except ForbiddenGlobalError:
        raise
    except MemoryError as error:  # a damaged length can ask for any amount
        raise ValueError("the pickle is broken, or larger than the memory") from error
    # subtle: a broken pickle fails in whichever function its bytes happen to reach.
    except Exception as error:
        raise ValueError(f"the pickle is broken ({type(error).__name__}: {error})") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Knows what arrays are made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core", "numpy._core")  # as older versions call it
        try:
            return ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise ForbiddenGlobalError(f"{module}.{name}") from None


class _NumberType:
    """Stands in for `numpy.dtype`."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch("[biuf][1248]", code):
            raise ValueError(f"an array holds {code!r:.20} and no numbers")
        self.code, self.byte_order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.byte_order = state[1]

    def read(self, content: bytes | bytearray | str) -> np.ndarray:
        """The numbers in a row, in memory of their own."""
        raw = content.encode("latin1") if isinstance(content, str) else content
        array = np.frombuffer(raw, dtype=np.dtype(self.byte_order + self.code))
        return array.astype(np.dtype(self.code))  # in the byte order of the machine


class _Array:
    """Stands in for `numpy.ndarray`: made empty, then given its content."""

    def __init__(self, *_: Any) -> None:
        self.tensor: Tensor | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_column, content = state
        array = kind.read(content).reshape(shape, order="F" if by_column else "C")
        self.tensor = torch.from_numpy(np.ascontiguousarray(array).reshape(shape))


def _scalar(kind: _NumberType, content: bytes | str) -> _Array:
    """A number that NumPy keeps as one."""
    array = _Array()
    array.__setstate__((1, (), kind, False, content))
    return array


def _from_buffer(
    content: bytes | bytearray, kind: _NumberType, shape: tuple[int, ...], order: str, *_: Any
) -> _Array:
    """An array as the newest protocol holds it."""
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", content))
    return array


def _encode(text: str, encoding: str) -> bytes:
    """How older protocols hold bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes in {encoding!r:.20}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How older protocols hold bytes that are empty."""
    return b""


ALLOWED: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _NumberType,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.numeric._frombuffer": _from_buffer,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _no_bytes,
    "collections.OrderedDict": dict,
}


def _as_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_tensors(entry) for key, entry in value.items()}
    if isinstance(value, _Array):
        if value.tensor is None:
            raise ValueError("an array has no content")
        return value.tensor
    return value
