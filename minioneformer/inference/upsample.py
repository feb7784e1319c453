"""Mask logits at the size of the image: a few masks at a time, or a few rows of all.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2(c), after the box "Masks".

The model predicts masks at stride 4 of the padded image. They are brought to the padded size,
cropped to the image, and brought to the size of the original. Decisions come after that. Those
about one mask (how large is it?) want it whole; those about one pixel (which class has most
votes?) want all masks there, and go through the image in strips.

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
        max_pixels: Most pixels of a chunk or strip, over all its masks; a chunk has one mask at
            least, a strip one row.
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

    @property
    def rows_per_strip(self) -> int:
        """Rows of the result for which all masks together keep to `max_pixels`; one at least."""
        height, width = self.sizes.original
        # where the image shrinks, a row of the result needs several of what it comes from
        shrink = max(1.0, self.sizes.resized[0] / height)
        pixels = max(1, len(self.mask_embeddings)) * max(width, int(shrink * self.sizes.padded[1]))
        return max(1, self.max_pixels // pixels)

    def strips(self, rows: int | None = None) -> Iterator[Float[Tensor, "N rows W"]]:
        """Mask logits of all queries at the original size, a few rows at a time, top to bottom.

        Args:
            rows: Of a strip, at most; None takes `rows_per_strip`.

        Returns:
            Strips of masks, before sigmoid: what `chunks` gives, up to rounding.
        """
        features = self.mask_features.float()
        embeddings = self.mask_embeddings.float()
        height = self.sizes.original[0]
        rows = self.rows_per_strip if rows is None else rows
        if rows >= height:
            mask_logits = torch.einsum("nc,chw->nhw", embeddings, features)
            yield upsample_logits(mask_logits, self.sizes)
            return
        for first in range(0, height, rows):
            yield self._strip(embeddings, features, first, min(first + rows, height))

    def _strip(
        self,
        embeddings: Float[Tensor, "N C"],
        features: Float[Tensor, "C h w"],
        first: int,
        last: int,
    ) -> Float[Tensor, "N rows W"]:
        """Rows first .. last - 1, by way of the rows and cells that they come from."""
        sizes, device = self.sizes, features.device
        into_original = _Rows.of(first, last, sizes.resized[0], sizes.original[0], device)
        top, bottom = into_original.needed
        into_padded = _Rows.of(top, bottom, features.shape[1], sizes.padded[0], device)
        first_cell, last_cell = into_padded.needed

        cells = features[:, first_cell:last_cell]
        mask_logits = torch.einsum("nc,chw->nhw", embeddings, cells)  # (N, some, w)
        padded = into_padded.take(mask_logits, sizes.padded[1], first_cell)
        return into_original.take(padded[:, :, : sizes.resized[1]], sizes.original[1], top)


def _resize(masks: Float[Tensor, "N h w"], size: tuple[int, int]) -> Float[Tensor, "N H W"]:
    if not len(masks):
        return masks.new_zeros(0, *size)
    if masks.shape[-2:] == size:  # interpolation would give the same values
        return masks
    resized = functional.interpolate(masks[None], size=size, mode="bilinear", align_corners=False)
    return resized[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    """Where rows first .. last - 1 of a resized map come from: between two rows of the source.

    Args:
        above: The upper one.
        below: The lower one, the same at the border.
        share: Weight of the lower one.
    """

    above: Int[Tensor, " rows"]
    below: Int[Tensor, " rows"]
    share: Float[Tensor, " rows"]

    @classmethod
    def of(cls, first: int, last: int, source: int, target: int, device: torch.device) -> _Rows:
        """Rows of a map that is resized from `source` rows to `target` rows."""
        rows = torch.arange(first, last, device=device)
        # the arithmetic of `interpolate` without aligned corners, in float32 like there
        centers = ((rows + 0.5) * (source / target) - 0.5).clamp(min=0)
        above = centers.floor().long()
        below = (above + 1).clamp(max=source - 1)
        return cls(above=above, below=below, share=centers - above)

    @property
    def needed(self) -> tuple[int, int]:
        """First row of the source, and the one after the last."""
        return int(self.above[0]), int(self.below[-1]) + 1

    def take(
        self, source: Float[Tensor, "N some w"], width: int, first: int
    ) -> Float[Tensor, "N rows W"]:
        """Resize rows of the source, of which `first` is the first given, to another width too."""
        wide = _resize(source, (source.shape[1], width))  # (N, some, W)
        share = self.share[:, None]  # (rows, 1)
        upper = wide.index_select(1, self.above - first).mul_(1 - share)
        return upper.addcmul_(wide.index_select(1, self.below - first), share)  # (N, rows, W)
