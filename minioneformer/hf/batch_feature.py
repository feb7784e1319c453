"""What the processors return: named entries, as a dictionary and as attributes.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2, the form of the published interface.

It is a dictionary, because the documentation passes it on as `model(**inputs)` and users loop
over `inputs.items()`.

Not here: what the entries hold (`hf/image_processor.py`, `hf/processor.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

RETURN_TENSORS = (None, "pt", "np")


class BatchFeature(dict[str, Any]):
    """A dictionary whose entries are attributes too.

    Example:
        `BatchFeature(a=1).a` is 1.
    """

    @property
    def data(self) -> dict[str, Any]:
        """The entries as a plain dictionary, as published."""
        return dict(self)

    def __getattr__(self, name: str) -> Any:
        """Look for an entry where there is no such attribute."""
        if name in self:
            return self[name]
        raise AttributeError(f"no entry {name!r}, got {', '.join(map(repr, self))}.")

    def to(
        self, target: str | torch.device | torch.dtype, dtype: torch.dtype | None = None
    ) -> BatchFeature:
        """Move or convert the tensors; of a type, only those of floats are converted.

        Args:
            target: A device, or a floating-point type.
            dtype: A floating-point type, beside a device.

        Returns:
            Itself.
        """

        def convert(tensor: Tensor) -> Tensor:
            for wanted in (target, dtype):
                if wanted is not None and (
                    tensor.is_floating_point() or not isinstance(wanted, torch.dtype)
                ):
                    tensor = tensor.to(wanted)
            return tensor

        for name, value in self.items():
            self[name] = _map_tensors(convert, value)
        return self


def to_tensors(batch: BatchFeature, return_tensors: str | None) -> BatchFeature:
    """Give entries the form that `return_tensors` asks for.

    Args:
        batch: Lists with one tensor per image.
        return_tensors: "pt" stacks pixel values and masks of all images, "np" also turns all
            tensors into arrays; None leaves lists.

    Returns:
        The batch.

    Raises:
        ValueError: If it is none of the three.
    """
    check_return_tensors(return_tensors)
    if return_tensors is None:
        return batch
    for name in ("pixel_values", "pixel_mask"):
        batch[name] = torch.stack(batch[name])
    if return_tensors == "np":
        for name, value in batch.items():
            batch[name] = _map_tensors(lambda tensor: tensor.cpu().numpy(), value)
    return batch


def check_return_tensors(return_tensors: str | None) -> None:
    """Refuse a form that there is not, before any work is done.

    Args:
        return_tensors: What a user wrote.

    Raises:
        ValueError: If it is none of the three.
    """
    if return_tensors not in RETURN_TENSORS:
        raise ValueError(f"return_tensors must be 'pt', 'np' or None, got {return_tensors=}.")


def _map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Apply to a tensor or to those of a list; texts stay."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, list):
        return [_map_tensors(function, entry) for entry in value]
    return value
