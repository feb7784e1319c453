"""The training augmentation of COCO: flip, a very random scale, a crop of fixed size.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.
After: large scale jittering of "Simple Copy-Paste" (arXiv 2012.07177).

Random numbers come from torch's global CPU generator, which `data/stream.py` seeds for each
sample.

Not here: the augmentation of the other data sets (`data/transforms.py`).
"""

from __future__ import annotations

import dataclasses

import torch
from torchvision.transforms.v2 import functional as v2_functional

from minioneformer.data.sample_steps import (
    Window,
    pad_right_and_bottom,
    replace_pixels,
    resize_window,
)
from minioneformer.structures import PanopticSample


class LargeScaleJitter:
    """Flip, scale the image to fit a box of random size, crop or pad it to the size of 1.

    Args:
        crop_size: (H, W) in pixels of the result, and of the box at scale 1.
        scale_range: Of the box, drawn uniformly from smallest to largest.
        flip: Whether to mirror left and right, with probability 1/2.
        independent_offsets: Whether the crop draws a number for each axis. One number for both,
            as published, leaves only crops on the diagonal of those that are possible.

    Raises:
        ValueError: If a side of the crop is below 1, or the scales are not
            0 < smallest <= largest.

    Example:
        Of 480 x 640 pixels at scale 1.5, the box is 1536 x 1536 and the image becomes
        1152 x 1536; the crop begins at row round(128 u) and column round(512 u).

    Fidelity:
        Official code (detectron2's ResizeScale and FixedSizeCrop): the same steps, sizes and
        offsets; halves, which random scales hardly ever hit, go up here and to even there. It
        resizes the whole image and crops then; here only the crop is computed, which may round a
        value to the next gray level. A side that would shrink to nothing has one pixel here.
    """

    def __init__(
        self,
        *,
        crop_size: tuple[int, int] = (1024, 1024),
        scale_range: tuple[float, float] = (0.1, 2.0),
        flip: bool = True,
        independent_offsets: bool = False,
    ) -> None:
        if min(crop_size) < 1:
            raise ValueError(f"crop_size is (H, W) in pixels, each >= 1, got {crop_size=}.")
        if not 0 < scale_range[0] <= scale_range[1] < float("inf"):
            raise ValueError(f"needs scales 0 < smallest <= largest, got {scale_range=}.")
        self.crop_size = crop_size
        self.scale_range = scale_range
        self.flip = flip
        self.independent_offsets = independent_offsets

    def __call__(self, sample: PanopticSample) -> PanopticSample:
        """Augment one sample.

        Args:
            sample: As a data set gives it.

        Returns:
            Of the size of the crop, padded right and bottom with gray and void; without the
            segments of which no pixel is left, and without areas.
        """
        if self.flip and torch.rand(()) < 0.5:
            sample = dataclasses.replace(
                sample,
                image=v2_functional.horizontal_flip(sample.image),
                segment_map=v2_functional.horizontal_flip(sample.segment_map),
            )
        size = self._draw_size(sample)
        image, segment_map = resize_window(sample, size, self._draw_window(size))
        image, segment_map = pad_right_and_bottom(image, segment_map, self.crop_size)
        return replace_pixels(sample, image, segment_map)

    def _draw_size(self, sample: PanopticSample) -> tuple[int, int]:
        """(H, W) of the image in a box of random size."""
        scale = float(torch.empty(()).uniform_(*self.scale_range))
        sides = sample.segment_map.shape
        factor = min(scale * box / side for box, side in zip(self.crop_size, sides, strict=True))
        height, width = (max(1, _round_half_up(factor * side)) for side in sides)
        return height, width

    def _draw_window(self, size: tuple[int, int]) -> Window:
        """What of the resized image is kept."""
        shares = torch.rand(2).tolist() if self.independent_offsets else [float(torch.rand(()))] * 2
        lengths = [min(pair) for pair in zip(self.crop_size, size, strict=True)]
        top, left = (
            _round_half_up(share * (side - length))
            for share, side, length in zip(shares, size, lengths, strict=True)
        )
        return Window(top, left, *lengths)


def _round_half_up(number: float) -> int:
    return int(number + 0.5)
