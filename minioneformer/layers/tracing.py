"""Whether the code is being recorded for export.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

An exported graph keeps the branch that was taken when it was recorded, so code must not choose by
the size of an image while sizes may be symbols.

Not here: the export itself (`export/`).
"""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor


def is_exporting() -> bool:
    """Whether `torch.export` is recording (non-strict, as `export/graph.py` asks for).

    Returns:
        False in eager execution and under `torch.compile`, which records again for sizes that do
        not fit.
    """
    return torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()


def with_plain_strides(x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """Copy a view while an export is recorded, so that the next step need not ask about it.

    Whether a reshape or a convolution may use a view as it lies in memory depends on its strides,
    and those on the size of the image: asked once, the answer would hold for one size only.

    Args:
        x: Any view.

    Returns:
        A contiguous copy under export, otherwise `x` itself.
    """
    return x.clone(memory_format=torch.contiguous_format) if is_exporting() else x
