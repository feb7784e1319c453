"""What happens to an image and its annotation before they are batched.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.

Training, in this order: resize the shortest edge to a drawn length, crop, distort the colours,
flip, pad to the crop size. Testing: resize only. Random numbers come from torch's global CPU
generator, which `data/stream.py` seeds for each sample.

Not here: normalisation and padding to a batch (`data/collate.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from minioneformer.pixels import resize_image, shortest_edge_size
from minioneformer.structures import VOID_ID, PanopticSample

PADDING_GRAY = 128  # of 0 .. 255, near the mean that normalisation subtracts
BRIGHTNESS_SHIFT = 32.0  # gray levels
SCALE_RANGE = (0.5, 1.5)  # of contrast and of saturation
HUE_SHIFT = 18  # in 180ths of the circle of hues


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
        a crop, switched off in every published configuration, does not exist here. Its COCO
        recipe augments differently (large scale jitter), which is not here.
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
        pair = sample.image, sample.segment_map
        if self.shortest_edges is not None and self.longest_edge is not None:
            choice = int(torch.randint(len(self.shortest_edges), ()))
            pair = _resize(*pair, self.shortest_edges[choice], self.longest_edge)
        image, segment_map = tv_tensors.Image(pair[0]), tv_tensors.Mask(pair[1])
        if self.crop_size is not None:
            fitting = [min(pair) for pair in zip(self.crop_size, image.shape[1:], strict=True)]
            image, segment_map = v2.RandomCrop(fitting)(image, segment_map)
        if self.color_augmentation:
            image = tv_tensors.Image(distort_color(image.as_subclass(Tensor)))
        if self.flip:
            image, segment_map = v2.RandomHorizontalFlip()(image, segment_map)
        if self.pad_to_crop and self.crop_size is not None:
            bottom, right = (
                wanted - got for wanted, got in zip(self.crop_size, image.shape[1:], strict=True)
            )
            fill = {tv_tensors.Image: PADDING_GRAY, tv_tensors.Mask: VOID_ID}
            image, segment_map = v2.Pad([0, 0, right, bottom], fill=fill)(image, segment_map)
        return _replace(sample, image.as_subclass(Tensor), segment_map.as_subclass(Tensor))


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
        pair = _resize(sample.image, sample.segment_map, self.shortest_edge, self.longest_edge)
        return _replace(sample, *pair)


def distort_color(image: UInt8[Tensor, "3 H W"]) -> UInt8[Tensor, "3 H W"]:
    """Distort brightness, contrast, saturation and hue, each with probability 1/2.

    Brightness adds up to 32 gray levels either way; contrast multiplies all channels and
    saturation that of HSV by 0.5 to 1.5; hue turns by up to 36 degrees either way, in steps of 2.
    Contrast comes before saturation and hue or after them, with probability 1/2 each.

    Args:
        image: RGB.

    Returns:
        RGB, clipped to 0 .. 255 after each step.

    Fidelity:
        Official code: the same operations and ranges, on OpenCV's 8-bit HSV, whose rounding may
        move a value by a few gray levels. torchvision's `RandomPhotometricDistort` is another
        variant: it multiplies the brightness, mixes contrast with the mean gray and swaps
        channels, so it is not used.
    """
    shift = (2 * torch.rand(()) - 1) * BRIGHTNESS_SHIFT
    contrast, saturation = torch.empty(2).uniform_(*SCALE_RANGE).tolist()
    hue = int(torch.randint(-HUE_SHIFT, HUE_SHIFT + 1, ()))
    use_brightness, use_contrast, use_saturation, use_hue, contrast_first = (
        torch.rand(5) < 0.5
    ).tolist()

    if use_brightness:
        image = (image + shift).clamp(0, 255).to(torch.uint8)
    # subtle: what torchvision calls brightness is a plain factor, which is contrast here
    if use_contrast and contrast_first:
        image = v2.functional.adjust_brightness(image, contrast)
    if use_saturation:
        image = _scale_saturation(image, saturation)
    if use_hue:
        image = v2.functional.adjust_hue(image, hue / 180)
    if use_contrast and not contrast_first:
        image = v2.functional.adjust_brightness(image, contrast)
    return image


def _scale_saturation(image: UInt8[Tensor, "3 H W"], factor: float) -> UInt8[Tensor, "3 H W"]:
    """Multiply the saturation of HSV, at most to 1; hue and value stay.

    Value is the largest channel; every channel's distance from it is proportional to saturation.
    """
    pixels = image.float()
    value = pixels.amax(0)
    chroma = value - pixels.amin(0)
    # saturation is chroma / value, so this factor makes it 1; gray pixels have chroma 0
    factors = (value / chroma.clamp(min=1)).clamp(max=factor)
    return (value - (value - pixels) * factors).round().to(torch.uint8)


def _resize(
    image: UInt8[Tensor, "3 h w"],
    segment_map: Int[Tensor, "h w"],
    shortest_edge: int,
    longest_edge: int,
) -> tuple[UInt8[Tensor, "3 H W"], Int[Tensor, "H W"]]:
    """Resize image (bilinear, antialiased) and segment map (nearest)."""
    height, width = segment_map.shape
    size = shortest_edge_size((height, width), shortest_edge, longest_edge)
    return resize_image(image, size), _resize_map(segment_map, size)


def _resize_map(segment_map: Int[Tensor, "h w"], size: tuple[int, int]) -> Int[Tensor, "H W"]:
    """Take, for each new cell, the old cell under its centre."""
    # subtle: interpolation in torch goes through float32, which rounds ids above 2^24; the
    # centre of new cell i lies in old cell floor((i + 1/2) * old / new), in integers below
    rows, columns = (
        (2 * torch.arange(new) + 1) * old // (2 * new)
        for old, new in zip(segment_map.shape, size, strict=True)
    )
    return segment_map[rows[:, None], columns]


def _replace(
    sample: PanopticSample, image: UInt8[Tensor, "3 H W"], segment_map: Int[Tensor, "H W"]
) -> PanopticSample:
    """Put other pixels into a sample; segments without a pixel go, areas are forgotten."""
    # unique_consecutive shortens the runs that segments make, and needs no sorting
    visible = set(segment_map.unique_consecutive().tolist())
    segments = tuple(
        dataclasses.replace(segment, area=None)
        for segment in sample.segments
        if segment.id in visible
    )
    return dataclasses.replace(sample, image=image, segment_map=segment_map, segments=segments)
