"""The output of a model, image by image: which part of the mask logits is the image.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; after Figure 2(c), box "Masks".

Images of a batch are padded to one size, on the right and at the bottom. The padding is cut off
before masks are brought to the size of a result, as in the original code.

Not here: bringing them there (`inference/upsample.py`), decisions (`hf/post_process.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from minioneformer.hf.outputs import OneFormerForUniversalSegmentationOutput
from minioneformer.inference.upsample import MAX_PIXELS, ImageSizes, upsample_logits

STRIDE = 4  # pixels of the input that a cell of the mask logits stands for

TargetSizes: TypeAlias = Sequence[Sequence[int]] | Sequence[Tensor] | Int[Tensor, "B 2"]
PixelMask: TypeAlias = Int[Tensor, "B H W"] | Bool[Tensor, "B H W"] | Float[Tensor, "B H W"]


@runtime_checkable
class MaskOutput(Protocol):
    """What is read of the output of a model.

    Attributes:
        class_queries_logits: Of each image and query; the last class is "no object".
        masks_queries_logits: Of each image and query, at stride 4.
    """

    class_queries_logits: Tensor
    masks_queries_logits: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageMasks:
    """One image of the output.

    Args:
        class_logits: Before softmax; the last class is "no object".
        mask_logits: Before sigmoid, at stride 4.
        sizes: Of the result, and of the part of the logits that it comes from.
    """

    class_logits: Float[Tensor, "N K_plus_1"]
    mask_logits: Float[Tensor, "N h w"]
    sizes: ImageSizes

    def chunks(self, queries: Int[Tensor, " M"]) -> Iterator[Float[Tensor, "m H W"]]:
        """Mask logits of some queries at the size of the result, in order, a few at a time.

        Args:
            queries: Positions of the queries; they may repeat.

        Returns:
            Chunks of masks, before sigmoid; none if there are no queries.
        """
        pixels = max(height * width for height, width in (self.sizes.padded, self.sizes.original))
        for some in queries.split(max(1, MAX_PIXELS // pixels)):
            if len(some):
                yield upsample_logits(self.mask_logits[some].float(), self.sizes)


def split_batch(
    outputs: MaskOutput,
    target_sizes: TargetSizes | None = None,
    pixel_mask: PixelMask | None = None,
) -> list[ImageMasks]:
    """Take the output apart.

    Args:
        outputs: Of the model.
        target_sizes: (H, W) of each result in pixels; None leaves the size of the mask logits.
        pixel_mask: 1 where a pixel of the input is real. None takes the one that the output of our
            own models carries, and without one the whole input for real.

    Returns:
        One entry per image.

    Raises:
        ValueError: If there is not one size, or one pixel mask, per image, a size is below 1, or
            the ones of a pixel mask are no rectangle at the top left.

    Example:
        An input of 8 x 12 has mask logits of 2 x 3. With a pixel mask that is 1 in the first 8 x 4
        pixels, the first column is the image.
    """
    class_logits, mask_logits = outputs.class_queries_logits, outputs.masks_queries_logits
    count = len(class_logits)
    if pixel_mask is None and isinstance(outputs, OneFormerForUniversalSegmentationOutput):
        pixel_mask = outputs.pixel_mask
    for name, values in (("target_sizes", target_sizes), ("pixel_mask", pixel_mask)):
        if values is not None and len(values) != count:
            raise ValueError(
                f"{name} must have one entry per image of the batch, got {len(values)} for "
                f"{count} images."
            )
    cells = (mask_logits.shape[-2], mask_logits.shape[-1])
    targets = [None] * count if target_sizes is None else [_pair(s) for s in target_sizes]
    masks = [None] * count if pixel_mask is None else list(pixel_mask)
    return [
        ImageMasks(
            class_logits=class_logits[i],
            mask_logits=mask_logits[i],
            sizes=_sizes(cells, targets[i], masks[i]),
        )
        for i in range(count)
    ]


def _pair(size: Sequence[int] | Tensor) -> tuple[int, int]:
    if len(size) != 2 or min(int(side) for side in size) < 1:
        raise ValueError(f"target_sizes must be pairs (height, width) of at least 1, got {size=}.")
    return int(size[0]), int(size[1])


def _sizes(
    cells: tuple[int, int], target: tuple[int, int] | None, pixel_mask: Tensor | None
) -> ImageSizes:
    """Which part of the mask logits is the image, and where it goes."""
    if pixel_mask is None:
        return ImageSizes(original=target or cells, resized=cells, padded=cells)
    real, canvas = _real_size(pixel_mask), (pixel_mask.shape[0], pixel_mask.shape[1])
    # subtle: the last cell may reach beyond the canvas; resizing to the canvas would stretch
    fits = all(-(-side // STRIDE) == count for side, count in zip(canvas, cells, strict=True))
    covered = (cells[0] * STRIDE, cells[1] * STRIDE) if fits else canvas
    if target is not None:
        return ImageSizes(original=target, resized=real, padded=covered)
    height, width = (-(-real[i] * cells[i] // covered[i]) for i in (0, 1))  # whole cells
    return ImageSizes(original=(height, width), resized=(height, width), padded=cells)


def _real_size(pixel_mask: Tensor) -> tuple[int, int]:
    """Height and width of what is not padding."""
    real = pixel_mask.bool()
    height, width = int(real.any(1).sum()), int(real.any(0).sum())
    if height == 0 or not bool(real[:height, :width].all()):
        raise ValueError(
            f"pixel_mask must be 1 in a rectangle at the top left and 0 elsewhere, got "
            f"{height=}, {width=} and {int(real.sum())} ones."
        )
    return height, width
