"""Mask logits at the size of the image, for the queries that need them, a few at a time.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2(c), after the box "Masks".

The model predicts masks at stride 4 of the padded image. They are brought to the padded size,
cropped to the image, and brought to the size of the original. Decisions come after that.

Not here: the decisions (`semantic.py`, `instance.py`, `panoptic.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

MAX_PIXELS = 2**24  # of one chunk: 64 MiB in float32


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSizes:
    """The sizes of an image on its way through the model, (H, W) in pixels.

    Args:
        original: As the user gave it; results have this size.
        resized: As the model is asked to see it.
        padded: With the padding on the right and at the bottom.

    Raises:
        ValueError: If the padded size is smaller than the resized one.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]

    def __post_init__(self) -> None:
        """Refuse a padding that cuts."""
        if self.padded[0] < self.resized[0] or self.padded[1] < self.resized[1]:
            raise ValueError(f"padding only adds, got {self.resized=}, {self.padded=}.")


def upsample_logits(
    mask_logits: Float[Tensor, "N h w"], sizes: ImageSizes
) -> Float[Tensor, "N H W"]:
    """Bring masks to the size of the original image.

    Args:
        mask_logits: Before sigmoid, at any stride of the padded image.
        sizes: Of the image.

    Returns:
        Before sigmoid, at the original size.

    Example:
        A constant mask stays constant.

    Fidelity:
        As the official code: logits, not probabilities, and bilinear twice.
    """
    height, width = sizes.resized
    padded = _resize(mask_logits, sizes.padded)  # (N, padded H, padded W)
    return _resize(padded[:, :height, :width], sizes.original)  # (N, H, W)


@dataclass(frozen=True, kw_only=True, slots=True)
class FactoredMasks:
    """The masks of one image, not multiplied out yet.

    Args:
        mask_embeddings: One vector per query.
        mask_features: One vector per stride-4 cell.
        sizes: Of the image.
        max_pixels: Most pixels of a chunk; a chunk has one mask at least.
    """

    mask_embeddings: Float[Tensor, "N C"]
    mask_features: Float[Tensor, "C h w"]
    sizes: ImageSizes
    max_pixels: int = MAX_PIXELS

    def chunks(self, queries: Int[Tensor, " M"]) -> Iterator[Float[Tensor, "m H W"]]:
        """Mask logits of some queries at the original size, in order, a few at a time.

        Args:
            queries: Positions of the queries.

        Returns:
            Chunks of masks, before sigmoid; none if there are no queries.
        """
        features = self.mask_features.float()
        pixels = max(h * w for h, w in (self.sizes.padded, self.sizes.original))
        for some in queries.split(max(1, self.max_pixels // pixels)):
            if len(some):
                embeddings = self.mask_embeddings[some].float()
                mask_logits = torch.einsum("mc,chw->mhw", embeddings, features)
                yield upsample_logits(mask_logits, self.sizes)


def _resize(masks: Float[Tensor, "N h w"], size: tuple[int, int]) -> Float[Tensor, "N H W"]:
    if not len(masks):
        return masks.new_zeros(0, *size)
    if masks.shape[-2:] == size:  # interpolation would give the same values
        return masks
    resized = functional.interpolate(masks[None], size=size, mode="bilinear", align_corners=False)
    return resized[0]
