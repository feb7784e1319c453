"""Brightness, contrast, saturation and hue of a training image, each changed now and then.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.
After: the photometric distortion of SSD (arXiv 1512.02325).

Not here: when it happens among the other steps (`data/transforms.py`).
"""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms import v2

BRIGHTNESS_SHIFT = 32.0  # gray levels
SCALE_RANGE = (0.5, 1.5)  # of contrast and of saturation
HUE_SHIFT = 18  # in 180ths of the circle of hues


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
        image = (image + shift).clamp_(0, 255).to(torch.uint8)
    # subtle: what torchvision calls brightness is a plain factor, which is contrast here
    if use_contrast and contrast_first:
        image = v2.functional.adjust_brightness(image, contrast)
    if use_saturation:
        image = scale_saturation(image, saturation)
    if use_hue:
        image = turn_hue(image, hue / 180)
    if use_contrast and not contrast_first:
        image = v2.functional.adjust_brightness(image, contrast)
    return image


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
    value = pixels.amax(0)
    chroma = value - pixels.amin(0)
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
    value = torch.maximum(torch.maximum(red, green), blue)  # (H, W)
    lowest = torch.minimum(torch.minimum(red, green), blue)
    chroma = value - lowest
    # Distance along the circle in sixths from the primary colour that is largest: red, green, blue.
    sixths = torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    sixths = torch.where(value == red, green - blue, sixths)
    sixths.div_(chroma.clamp(min=1)).add_(6 * turn).remainder_(6)
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
