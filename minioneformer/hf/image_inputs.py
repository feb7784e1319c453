"""Images and maps as users have them (Pillow, NumPy, torch; one or several) as tensors.

Paper: OneFormer (arXiv 2211.06220); before Figure 2 (a), box "Backbone", in the form of the
published interface.

Not here: image files (`pixels.py` reads them), what is done with the tensors
(`hf/image_steps.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int, Num
from PIL import Image
from torch import Tensor

from minioneformer.pixels import READABLE_MODES

ImageInput: TypeAlias = Image.Image | np.ndarray | Tensor
ImagesInput: TypeAlias = ImageInput | Sequence[ImageInput]

CHANNEL_COUNTS = (1, 3, 4)  # grey, RGB, RGB with transparency
TRANSPARENT_MODES = ("RGBA", "LA", "PA")
WHITE = 255


def image_tensors(
    images: ImagesInput, *, do_convert_rgb: bool = True, input_data_format: str | None = None
) -> list[Num[Tensor, "C _ _"]]:
    """Give images the form channels, height, width.

    Args:
        images: One or several; arrays may have a batch axis. Grey arrays may lack the channels.
        do_convert_rgb: Whether grey images get three channels, and what is transparent turns
            white.
        input_data_format: "channels_first" or "channels_last"; None tells from the shape.

    Returns:
        Tensors of the type that the images have.

    Raises:
        TypeError: If something is no image.
        ValueError: If there is no such data format, a Pillow image has more than 8 bits per
            channel, a shape is that of no image, or floats have a channel of transparency.

    Warns:
        UserWarning: If a shape such as 3 x 40 x 3 can be read both ways; channels come first then.

    Fidelity:
        transformers refuses grey arrays of two axes, and rounds what is partly transparent in
        another way: an array with transparency can differ by one level.
    """
    if input_data_format not in (None, "channels_first", "channels_last"):
        raise ValueError(
            f"input_data_format must be 'channels_first', 'channels_last' or None, got "
            f"{input_data_format=}."
        )
    tensors = [
        _channels_first(tensor, input_data_format)
        for image in _flat(images, batched_ndim=4)
        for tensor in [_tensor(image, do_convert_rgb)]
    ]
    return [_rgb(tensor) for tensor in tensors] if do_convert_rgb else tensors


def map_tensors(segmentation_maps: ImagesInput) -> list[Int[Tensor, "_ _"]]:
    """Give maps the form height, width.

    Args:
        segmentation_maps: One or several, of whole numbers; palette images give their indices.
            Arrays of three axes are several maps.

    Returns:
        Tensors of int64.

    Raises:
        TypeError: If something is no map.
        ValueError: If a map has channels, or values that are not whole.
    """
    maps = []
    for item in _flat(segmentation_maps, batched_ndim=3):
        segmentation_map = _tensor(item, do_convert_rgb=False)
        if segmentation_map.ndim != 2:
            raise ValueError(
                f"a segmentation map has a height and a width, got {tuple(segmentation_map.shape)}."
                f" Colours of a panoptic PNG become ids with panoptic_png.rgb_to_id."
            )
        whole = segmentation_map.long()
        if not torch.equal(whole.to(segmentation_map.dtype), segmentation_map):
            raise ValueError(
                f"a segmentation map holds whole numbers, got {segmentation_map.dtype} with "
                f"fractions."
            )
        maps.append(whole)
    return maps


def _flat(items: object, *, batched_ndim: int) -> list[ImageInput]:
    """One after the other; arrays with one axis more than an image are several."""
    if isinstance(items, Image.Image):
        return [items]
    if isinstance(items, np.ndarray | Tensor):
        return list(items) if items.ndim == batched_ndim else [items]
    if not isinstance(items, Sequence) or isinstance(items, str | bytes):
        raise TypeError(
            f"images must be Pillow images, NumPy arrays or tensors, got {type(items).__name__}."
        )
    return [entry for item in items for entry in _flat(item, batched_ndim=batched_ndim)]


def _tensor(image: ImageInput, do_convert_rgb: bool) -> Tensor:
    """As a tensor, axes as they are."""
    if isinstance(image, Tensor):
        return image
    if isinstance(image, Image.Image):
        image = np.array(_opaque(image) if do_convert_rgb else image)
    if image.dtype == np.uint16:  # torch does little with it
        image = image.astype(np.int32)
    return torch.from_numpy(np.ascontiguousarray(image))


def _opaque(image: Image.Image) -> Image.Image:
    """As RGB, on white."""
    if image.mode not in READABLE_MODES:
        raise ValueError(
            f"an image needs 8 bits per channel, got mode {image.mode!r}. Convert it first, "
            f"choosing how its values map to 0 .. 255."
        )
    if image.mode not in TRANSPARENT_MODES and "transparency" not in image.info:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    paper = Image.new("RGBA", layer.size, (WHITE, WHITE, WHITE, WHITE))
    return Image.alpha_composite(paper, layer).convert("RGB")


def _channels_first(image: Tensor, input_data_format: str | None) -> Num[Tensor, "C H W"]:
    if image.ndim == 2:
        return image[None]  # (1, H, W)
    if image.ndim != 3:
        raise ValueError(f"an image has a height, a width and channels, got {tuple(image.shape)=}.")
    first, last = image.shape[0] in CHANNEL_COUNTS, image.shape[2] in CHANNEL_COUNTS
    if input_data_format is None and not (first or last):
        raise ValueError(
            f"an image has {CHANNEL_COUNTS} channels, first or last, got {tuple(image.shape)=}."
        )
    if input_data_format is None and first and last:
        warnings.warn(
            f"channels may be first or last, got {tuple(image.shape)=}: first is assumed. Pass "
            f"input_data_format.",
            stacklevel=2,
        )
    if input_data_format == "channels_last" or (input_data_format is None and not first):
        return rearrange(image, "H W C -> C H W")
    return image


def _rgb(image: Num[Tensor, "C H W"]) -> Num[Tensor, "D H W"]:
    """Three channels; what is transparent turns white."""
    if image.shape[0] == 1:
        return image.expand(3, -1, -1)
    if image.shape[0] != 4:
        return image
    if image.is_floating_point():
        raise ValueError(
            f"transparency needs values of 0 to 255, got {image.dtype=}. Pass bytes, or leave the "
            f"fourth channel out."
        )
    alpha = image[3:].float() / WHITE  # (1, H, W)
    on_white = alpha * image[:3] + (1 - alpha) * WHITE  # (3, H, W)
    return on_white.round().to(image.dtype)
