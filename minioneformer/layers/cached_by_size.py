"""Constant tensors, made once per map size.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Position codes, reference points, level sizes and window masks depend on sizes only; most batches
repeat them.

Not here: what is remembered; each tensor is made in the file that uses it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
MAX_SIZES = 64


def cached_by_size(make: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a function remember its results for the last 64 different arguments.

    Args:
        make: Hashable arguments (sizes, device, dtype) in, constant tensors out.

    Returns:
        The same function with a memory. What it returns is shared: do not write into it.
    """
    remembered = cast("Callable[Arguments, Result]", functools.lru_cache(maxsize=MAX_SIZES)(make))

    @functools.wraps(make)
    def look_up(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        # subtle: under torch.compile and torch.export tensors are symbols without values;
        # remembered, they would turn every later result of that size into a symbol.
        if torch.compiler.is_compiling():
            return make(*args, **kwargs)
        # subtle: a tensor born in inference mode could never enter a later training step.
        with torch.inference_mode(False), torch.no_grad():
            return remembered(*args, **kwargs)

    return look_up
