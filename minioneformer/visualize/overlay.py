"""Paint segments over an image, with a line where one of them ends.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: legends and titles (`figures.py`), colours (`colors.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from minioneformer.structures import (
    Category,
    InstancePrediction,
    PanopticPrediction,
    PanopticSample,
    SemanticPrediction,
)
from minioneformer.visualize.regions import NOBODY, Regions, find_regions

ALPHA = 0.6
MIN_SCORE = 0.5
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue
DARK = 110  # a segment of less luminance gets a light border
PIXELS_PER_LINE_WIDTH = 320  # of the shorter side


def overlay_semantic(
    image: UInt8[Tensor, "3 H W"],
    prediction: SemanticPrediction,
    categories: Sequence[Category],
    *,
    alpha: float = ALPHA,
) -> UInt8[Tensor, "3 H W"]:
    """Paint each class in its colour.

    Args:
        image: RGB, 0 to 255.
        prediction: At the size of the image.
        categories: The catalogue that its labels refer to.
        alpha: Of the colours, 0 (the image alone) to 1 (opaque).

    Returns:
        RGB, 0 to 255.

    Raises:
        ValueError: If the sizes differ, a label is not in the catalogue, or `alpha` is outside
            [0, 1].
    """
    return paint(image, find_regions(prediction, categories), alpha=alpha)


def overlay_instance(
    image: UInt8[Tensor, "3 H W"],
    prediction: InstancePrediction,
    categories: Sequence[Category],
    *,
    min_score: float = MIN_SCORE,
    alpha: float = ALPHA,
) -> UInt8[Tensor, "3 H W"]:
    """Paint each instance in a variation of the colour of its class, small ones in front.

    Args:
        image: RGB, 0 to 255.
        prediction: At the size of the image; may be empty.
        categories: The catalogue that its labels refer to.
        min_score: Instances below it are not painted.
        alpha: As `overlay_semantic`.

    Returns:
        RGB, 0 to 255; as in the image where there is no instance.

    Raises:
        ValueError: As `overlay_semantic`.
    """
    return paint(image, find_regions(prediction, categories, min_score=min_score), alpha=alpha)


def overlay_panoptic(
    image: UInt8[Tensor, "3 H W"],
    prediction: PanopticPrediction,
    categories: Sequence[Category],
    *,
    alpha: float = ALPHA,
) -> UInt8[Tensor, "3 H W"]:
    """Paint stuff in the colour of its class, and things in variations of theirs.

    Args:
        image: RGB, 0 to 255.
        prediction: At the size of the image; may be empty.
        categories: The catalogue that its labels refer to.
        alpha: As `overlay_semantic`.

    Returns:
        RGB, 0 to 255; as in the image where there is void.

    Raises:
        ValueError: As `overlay_semantic`; if the segment map holds an id that is not listed.
    """
    return paint(image, find_regions(prediction, categories), alpha=alpha)


def overlay_sample(
    sample: PanopticSample, categories: Sequence[Category], *, alpha: float = ALPHA
) -> UInt8[Tensor, "3 H W"]:
    """Paint an annotation over its image, as `overlay_panoptic` does a prediction.

    Args:
        sample: Image and annotation.
        categories: The catalogue that its labels refer to.
        alpha: As `overlay_semantic`.

    Returns:
        RGB, 0 to 255; as in the image where there is void.

    Raises:
        ValueError: As `overlay_panoptic`.
    """
    return paint(sample.image, find_regions(sample, categories), alpha=alpha)


def paint(
    image: UInt8[Tensor, "3 H W"], regions: Regions, *, alpha: float = ALPHA
) -> UInt8[Tensor, "3 H W"]:
    """Blend regions with an image and draw their borders.

    Args:
        image: RGB, 0 to 255.
        regions: At the size of the image.
        alpha: As `overlay_semantic`.

    Returns:
        RGB, 0 to 255; as in the image where no region is. Borders are opaque, one pixel wide
        and more on large images, dark around light regions and light around dark ones.

    Raises:
        ValueError: If the sizes differ or `alpha` is outside [0, 1].

    Example:
        Of grey 100 under a red of 200 with alpha 0.25, the red channel is
        0.75 * 100 + 0.25 * 200 = 125.
    """
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha must be in [0, 1], got {alpha=}.")
    check_same_size(image, regions)
    owner_map = regions.owner_map
    pixels = rearrange(image.cpu(), "C H W -> H W C").to(torch.float32)
    owned = owner_map != NOBODY  # (H, W)
    owners = owner_map[owned]  # (P,)
    pixels[owned] = _blend(pixels[owned], regions.colors[owners].to(torch.float32), alpha)

    line = border(owner_map, width=max(1, round(min(owner_map.shape) / PIXELS_PER_LINE_WIDTH)))
    pixels[line] = _border_colors(pixels[owned], owners, regions)[owner_map[line]]
    return rearrange(pixels.round().to(torch.uint8), "H W C -> C H W")


def check_same_size(image: UInt8[Tensor, "3 H W"], regions: Regions) -> None:
    """Refuse a prediction that is not for this image.

    Args:
        image: RGB.
        regions: Of the prediction.

    Raises:
        ValueError: If the sizes differ.
    """
    size = tuple(image.shape[1:])
    predicted_size = tuple(regions.owner_map.shape)
    if size != predicted_size:
        raise ValueError(
            f"image and prediction must have the same size (H, W), got {size=}, "
            f"{predicted_size=}. Predict at the size of the image."
        )


def border(owner_map: Int[Tensor, "H W"], *, width: int) -> Bool[Tensor, "H W"]:
    """The pixels of each region next to something behind it: one line per boundary.

    Args:
        owner_map: A higher number lies in front of a lower one.
        width: Of the line, in pixels, all of it inside the region in front.

    Returns:
        True on the lines. The edge of the image is no boundary.

    Example:
        In the row 0 0 1 1 1 0 with width 1, the third and the fifth pixel are border.
    """
    behind = -owner_map[None].to(torch.float32)
    lowest = -F.max_pool2d(behind, 2 * width + 1, stride=1, padding=width)[0]
    return lowest < owner_map


def _blend(
    pixels: Float[Tensor, "P 3"], colors: Float[Tensor, "P 3"], alpha: float
) -> Float[Tensor, "P 3"]:
    """The image shines through a colour in grey rather than in colours of its own."""
    grey = pixels @ torch.tensor(LUMINANCE)  # (P,)
    faded = (1 - alpha) * pixels + alpha * grey[:, None]
    return (1 - alpha) * faded + alpha * colors


def _border_colors(
    painted: Float[Tensor, "P 3"], owners: Int[Tensor, " P"], regions: Regions
) -> Float[Tensor, "M 3"]:
    """Of each region: its colour, far darker or lighter than what was painted in it."""
    count = len(regions.labels)
    luminance = painted @ torch.tensor(LUMINANCE)  # (P,)
    pixels = torch.bincount(owners, minlength=count).clamp(min=1)  # (M,)
    mean = torch.bincount(owners, weights=luminance, minlength=count) / pixels
    colors = regions.colors.to(torch.float32)
    return torch.where(mean[:, None] < DARK, 255 - 0.25 * (255 - colors), 0.25 * colors)
