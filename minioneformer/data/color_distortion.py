"""Brightness, contrast, saturation and hue of a training image, each changed now and then.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.
After: the photometric distortion of SSD (arXiv 1512.02325).

Not here: when it happens among the other steps (`data/transforms.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from jaxtyping import UInt8
from torch import Tensor

BRIGHTNESS_SHIFT = 32.0  # gray levels
SCALE_RANGE = (0.5, 1.5)  # of contrast and of saturation
HUE_SHIFT = 18  # in 180ths of the circle of hues
STRIP_ROWS = 48


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

    levels = torch.arange(256, dtype=torch.float32)
    if use_brightness:
        levels = (levels + shift).clamp(0, 255).trunc()
    if use_contrast and contrast_first:
        levels = (levels * contrast).clamp(0, 255)
    if use_brightness or (use_contrast and contrast_first):
        image = map_levels(image, levels.to(torch.uint8))
    if use_saturation:
        image = _by_strips(functools.partial(scale_saturation, factor=saturation), image)
    if use_hue:
        image = _by_strips(functools.partial(turn_hue, turn=hue / 180), image)
    if use_contrast and not contrast_first:
        scaled = torch.arange(256) * contrast
        image = map_levels(image, scaled.clamp(0, 255).to(torch.uint8))
    return image


def map_levels(
    image: UInt8[Tensor, "3 H W"], levels: UInt8[Tensor, " 256"]
) -> UInt8[Tensor, "3 H W"]:
    """Replace each value by the one that a table has at its place.

    Args:
        image: RGB.
        levels: The new value of 0, of 1, ..., of 255.

    Returns:
        RGB.

    Example:
        With levels 255, 254, ..., 0 it is the negative.
    """
    # bytes know how to do this, several times faster than indexing
    mapped = image.numpy().tobytes().translate(levels.numpy().tobytes())
    return torch.frombuffer(bytearray(mapped), dtype=torch.uint8).view(image.shape)


def scale_saturation(image: UInt8[Tensor, "3 H W"], factor: float) -> UInt8[Tensor, "3 H W"]:
    """Multiply the saturation of HSV, at most to 1; hue and value stay.

    Args:
        image: RGB.
        factor: At least 0; 0 leaves gray.

    Returns:
        RGB.

    Example:
        (200, 160, 100) with factor 0.5 is (200, 180, 150): half as far below the largest channel.
    """
    pixels = image.to(torch.float32)
    value = image.amax(0).to(torch.float32)  # bytes are compared faster than floats
    chroma = value - image.amin(0)
    # saturation is chroma / value, so this factor makes it 1; gray pixels have chroma 0
    factors = (value / chroma.clamp_(min=1)).clamp_(max=factor)
    # every channel's distance from the largest is proportional to saturation
    return torch.addcmul(value, pixels.sub_(value), factors).round_().to(torch.uint8)


def turn_hue(image: UInt8[Tensor, "3 H W"], turn: float) -> UInt8[Tensor, "3 H W"]:
    """Turn the hue of HSV; saturation and value stay.

    Args:
        image: RGB.
        turn: As a share of the circle of hues, -1 to 1.

    Returns:
        RGB.

    Example:
        Red (200, 0, 0) turned by 1/6 is yellow, (200, 200, 0), and by -1/3 blue, (0, 0, 200).

    Fidelity:
        torchvision's `adjust_hue` computes the same by way of a sector number for each pixel,
        several times slower, and rounds down.
    """
    red, green, blue = image.to(torch.float32)
    largest = image.amax(0)  # (H, W); bytes are compared faster than floats
    lowest = image.amin(0).to(torch.float32)
    chroma = largest - lowest
    # Distance along the circle in sixths from the primary colour that is largest: red, green, blue.
    # lerp by 0 or 1 chooses, as where does, but faster
    is_red, is_green = ((largest == channel).to(torch.float32) for channel in image[:2])
    sixths = (red - green).add_(chroma, alpha=4)
    sixths.lerp_((blue - red).add_(chroma, alpha=2), is_green).lerp_(green - blue, is_red)
    sixths.div_(chroma.clamp(min=1)).add_(6 * turn)
    sixths.sub_((sixths / 6).floor_(), alpha=6)  # as remainder_(6), but faster
    # How much of the chroma a channel has: all within one sixth of its primary, none beyond two.
    shares = (
        (sixths - 3).abs_().sub_(1),
        (sixths - 2).abs_().neg_().add_(2),
        (sixths - 4).abs_().neg_().add_(2),
    )
    turned = torch.empty_like(image, memory_format=torch.contiguous_format)
    for channel, share in zip(turned, shares, strict=True):
        channel.copy_(share.clamp_(0, 1).mul_(chroma).add_(lowest).round_())
    return turned


def _by_strips(
    change: Callable[[UInt8[Tensor, "3 h W"]], UInt8[Tensor, "3 h W"]],
    image: UInt8[Tensor, "3 H W"],
) -> UInt8[Tensor, "3 H W"]:
    """Change an image pixel by pixel, a few rows at a time, so that the steps stay in the cache."""
    return torch.cat([change(strip) for strip in image.split(STRIP_ROWS, dim=1)], dim=1)
