"""What the published processor does to an image, step by step: size, resize, normalise, pad.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; before Figure 2 (a), box "Backbone", in the form of
the published interface.

Not here: what the original code does (`pixels.py`: it rounds sizes half up and pads to a multiple
of 32).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float, Int, Num
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tvF  # noqa: N812

Size: TypeAlias = Mapping[str, int | None] | Sequence[int] | int

FILTERS = {
    Image.Resampling.NEAREST: InterpolationMode.NEAREST_EXACT,
    Image.Resampling.BILINEAR: InterpolationMode.BILINEAR,
    Image.Resampling.BICUBIC: InterpolationMode.BICUBIC,
}
SIZES = (
    {"shortest_edge"},
    {"shortest_edge", "longest_edge"},
    {"height", "width"},
    {"max_height", "max_width"},
)


def size_dict(size: Size, *, default_to_square: bool = False) -> dict[str, int]:
    """Write a size as a dictionary.

    Args:
        size: A dictionary, (height, width), or a number.
        default_to_square: Whether a number is both sides; otherwise it is the shorter one.

    Returns:
        Its entries that are not None.

    Raises:
        ValueError: If these are no combination that says a size, or not positive.

    Example:
        800 is `{"shortest_edge": 800}`.
    """
    if isinstance(size, int):
        named: dict[str, int] = (
            {"height": size, "width": size} if default_to_square else {"shortest_edge": size}
        )
    elif isinstance(size, Mapping):
        named = {name: value for name, value in size.items() if value is not None}
    else:
        named = dict(zip(("height", "width"), size, strict=True))
    if set(named) not in SIZES or not all(
        isinstance(value, int) and value >= 1 for value in named.values()
    ):
        raise ValueError(
            f"size must be {' or '.join(' + '.join(sorted(names)) for names in SIZES)}, whole "
            f"numbers of at least 1, got {size=}."
        )
    return named


def resized_size(image_size: tuple[int, int], size: Mapping[str, int]) -> tuple[int, int]:
    """Size of an image after the resize.

    Args:
        image_size: (H, W) in pixels.
        size: As `size_dict` gives it.

    Returns:
        (H, W). With a shortest edge, the other side is cut to a whole number.

    Raises:
        ValueError: If a side would shrink to nothing.

    Example:
        480 x 640 with 800 and 1333 is 800 x 1066 (1066.67); 1024 x 2048 is 666 x 1333.

    Fidelity:
        As transformers. The official code rounds half up, which gives 1067 and 667: see
        `pixels.py`.
    """
    if "height" in size:
        return size["height"], size["width"]
    height, width = image_size
    if "max_height" in size:
        scale = min(size["max_height"] / height, size["max_width"] / width)
        resized = (int(height * scale), int(width * scale))
    else:
        short, long = _edges(min(image_size), max(image_size), size)
        resized = (short, long) if height < width else (long, short)
    if min(resized) < 1:
        raise ValueError(
            f"a side shrinks to nothing, got {image_size=}, {dict(size)=}. The image is too long "
            f"and thin: crop it, or raise longest_edge."
        )
    return resized


def _edges(short: int, long: int, size: Mapping[str, int]) -> tuple[int, int]:
    wanted: float = size["shortest_edge"]
    limit = size.get("longest_edge")
    if limit is not None and long / short * wanted > limit:
        wanted = limit * short / long
    # subtle: an image whose shorter edge would not change is left alone, however long it is
    if round(wanted) == short:
        return short, long
    # subtle: the shorter edge is rounded, half to even, the longer one is cut
    return round(wanted), int(wanted * long / short)


def resize(
    image: Num[Tensor, "C H W"], size: tuple[int, int], resample: int
) -> Num[Tensor, "C newH newW"]:
    """Resize; where the image shrinks, every pixel counts (antialiasing).

    Args:
        image: Of any type.
        size: (H, W) in pixels.
        resample: Pillow's number of a filter: 0 nearest, 2 bilinear, 3 bicubic.

    Returns:
        Of the same type.

    Raises:
        ValueError: If there is no such filter.
    """
    if resample not in FILTERS:
        raise ValueError(
            f"resample must be {', '.join(f'{int(f)} ({f.name.lower()})' for f in FILTERS)}, got "
            f"{resample=}."
        )
    return tvF.resize(
        image, list(size), interpolation=FILTERS[Image.Resampling(resample)], antialias=True
    )


def rescale_and_normalize(
    image: Num[Tensor, "C H W"],
    *,
    rescale_factor: float | int | None,
    mean: Sequence[float | int] | float | int | None,
    std: Sequence[float | int] | float | int | None,
) -> Num[Tensor, "C H W"]:
    """Bring values to the scale of the mean, subtract it, divide by the standard deviation.

    Args:
        image: Of any type.
        rescale_factor: Values are multiplied by it; None leaves them.
        mean: Per channel or of all, after rescaling; None, with `std`, leaves the values.
        std: The same.

    Returns:
        In float32; as it was if there is nothing to do.

    Raises:
        ValueError: If mean or standard deviation are not one per channel.

    Example:
        Red 124 with 1/255, 0.485 and 0.229 becomes (124 / 255 - 0.485) / 0.229 = 0.00557.
    """
    if mean is None or std is None:
        return image if rescale_factor is None else image.float() * rescale_factor
    # one pass over the pixels: the scale is moved to the other side
    scale = 1.0 if rescale_factor is None else 1.0 / rescale_factor
    return (image.float() - _per_channel("image_mean", mean, image) * scale) / (
        _per_channel("image_std", std, image) * scale
    )


def pad_images(
    images: Sequence[Num[Tensor, "C _ _"]],
) -> tuple[list[Num[Tensor, "C H W"]], list[Int[Tensor, "H W"]]]:
    """Pad to the largest height and the largest width, on the right and at the bottom.

    Args:
        images: At least one.

    Returns:
        The images with zeros in the padding; for each a mask that is 1 where it is real.

    Example:
        Images of 2 x 5 and 3 x 4 become 3 x 5.
    """
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    padded, masks = [], []
    for image in images:
        border = (0, width - image.shape[2], 0, height - image.shape[1])
        padded.append(F.pad(image, border))
        masks.append(F.pad(torch.ones(image.shape[1:], dtype=torch.int64), border))
    return padded, masks


def _per_channel(
    name: str, values: Sequence[float | int] | float | int, image: Num[Tensor, "C H W"]
) -> Float[Tensor, "D 1 1"]:
    listed = [values] if isinstance(values, int | float) else list(values)
    if len(listed) not in (1, image.shape[0]):
        raise ValueError(
            f"{name} must have one value per channel, got {listed} for {image.shape[0]} channels."
        )
    return torch.tensor(listed, device=image.device, dtype=torch.float32)[:, None, None]
