"""What happens to an image and its annotation before they are batched.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.

Training, in this order: resize the shortest edge to a drawn length, crop, distort the colours,
flip, pad to the crop size. Testing: resize only. Random numbers come from torch's global CPU
generator, which `data/stream.py` seeds for each sample.

Not here: the augmentation of COCO (`data/large_scale_jitter.py`), the steps themselves
(`data/sample_steps.py`, `data/color_distortion.py`), normalisation and padding to a batch
(`data/collate.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchvision.transforms.v2 import functional as v2_functional

from minioneformer.data.color_distortion import distort_color
from minioneformer.data.sample_steps import (
    Window,
    pad_right_and_bottom,
    replace_pixels,
    resize_window,
)
from minioneformer.pixels import shortest_edge_size
from minioneformer.structures import PanopticSample


class TrainTransform:
    """The training augmentation of ADE20K, Cityscapes and Mapillary; each step can be left out.

    Args:
        crop_size: (H, W) of a random crop, clipped to the image where that is smaller; None
            does not crop.
        shortest_edges: Lengths in pixels, one of which is drawn for the shortest edge; None
            does not resize.
        longest_edge: Limit of the longest edge in pixels, needed with `shortest_edges`.
        color_augmentation: Whether to distort colours (`distort_color`).
        flip: Whether to mirror left and right, with probability 1/2.
        pad_to_crop: Whether to pad what is smaller than the crop, right and bottom, with gray
            and void.

    Raises:
        ValueError: If a size is below 1; if only one of `shortest_edges` and `longest_edge` is
            given; if `pad_to_crop` comes without `crop_size`.

    Fidelity:
        Official code: the same steps in the same order. Its limit on the share of one class in
        a crop, switched off in every published configuration, does not exist here. It resizes
        the whole image and crops then; here only the crop is computed, which may round a value
        to the next gray level.
    """

    def __init__(
        self,
        *,
        crop_size: tuple[int, int] | None = None,
        shortest_edges: Sequence[int] | None = None,
        longest_edge: int | None = None,
        color_augmentation: bool = False,
        flip: bool = True,
        pad_to_crop: bool = False,
    ) -> None:
        if crop_size is not None and min(crop_size) < 1:
            raise ValueError(f"crop_size is (H, W) in pixels, each >= 1, got {crop_size=}.")
        if (shortest_edges is None) != (longest_edge is None):
            raise ValueError(
                f"a resize needs both edges, got {shortest_edges=}, {longest_edge=}. "
                "Give both or neither."
            )
        if shortest_edges is not None and min(shortest_edges, default=0) < 1:
            raise ValueError(f"shortest_edges must be lengths >= 1, got {shortest_edges=}.")
        if longest_edge is not None and longest_edge < 1:
            raise ValueError(f"longest_edge must be a length >= 1, got {longest_edge=}.")
        if pad_to_crop and crop_size is None:
            raise ValueError(f"pad_to_crop needs a size to pad to, got {crop_size=}.")
        self.crop_size = crop_size
        self.shortest_edges = shortest_edges
        self.longest_edge = longest_edge
        self.color_augmentation = color_augmentation
        self.flip = flip
        self.pad_to_crop = pad_to_crop

    def __call__(self, sample: PanopticSample) -> PanopticSample:
        """Augment one sample.

        Args:
            sample: As a data set gives it.

        Returns:
            The augmented sample, without the segments of which no pixel is left. Areas are
            None, since those of the file hold no longer.
        """
        size = self._draw_size(sample)
        image, segment_map = resize_window(sample, size, self._draw_window(size))
        if self.color_augmentation:
            image = distort_color(image)
        if self.flip and torch.rand(()) < 0.5:
            image = v2_functional.horizontal_flip(image)
            segment_map = v2_functional.horizontal_flip(segment_map)
        if self.pad_to_crop and self.crop_size is not None:
            image, segment_map = pad_right_and_bottom(image, segment_map, self.crop_size)
        return replace_pixels(sample, image, segment_map)

    def _draw_size(self, sample: PanopticSample) -> tuple[int, int]:
        """(H, W) that the image is resized to."""
        height, width = sample.segment_map.shape
        if self.shortest_edges is None or self.longest_edge is None:
            return height, width
        choice = int(torch.randint(len(self.shortest_edges), ()))
        return shortest_edge_size((height, width), self.shortest_edges[choice], self.longest_edge)

    def _draw_window(self, size: tuple[int, int]) -> Window:
        """The crop of the resized image, each position as likely."""
        if self.crop_size is None:
            return Window(0, 0, *size)
        height, width = (min(pair) for pair in zip(self.crop_size, size, strict=True))
        spare_rows, spare_columns = size[0] - height, size[1] - width
        top = int(torch.randint(spare_rows + 1, ())) if spare_rows else 0
        left = int(torch.randint(spare_columns + 1, ())) if spare_columns else 0
        return Window(top, left, height, width)


class TestTransform:
    """The resize that images get before the model sees them at test time.

    Args:
        shortest_edge: Its new length in pixels.
        longest_edge: Limit of the longest edge in pixels, which wins over `shortest_edge`.

    Raises:
        ValueError: If a length is below 1.
    """

    def __init__(self, *, shortest_edge: int, longest_edge: int) -> None:
        if min(shortest_edge, longest_edge) < 1:
            raise ValueError(
                f"edges are lengths in pixels, each >= 1, got {shortest_edge=}, {longest_edge=}."
            )
        self.shortest_edge = shortest_edge
        self.longest_edge = longest_edge

    def __call__(self, sample: PanopticSample) -> PanopticSample:
        """Resize image and annotation.

        Args:
            sample: As a data set gives it.

        Returns:
            The resized sample, without the segments that became too small to own a pixel.
            Metrics want the annotation at its own size: take it from the data set instead.
        """
        height, width = sample.segment_map.shape
        size = shortest_edge_size((height, width), self.shortest_edge, self.longest_edge)
        return replace_pixels(sample, *resize_window(sample, size, Window(0, 0, *size)))
