"""From an image file to the tensor that the backbone sees: read, resize, normalise, pad.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (test-time processing of the official code); before
Figure 2 (a), box "Backbone".

Sizes are (H, W) in pixels. Pixel values stay 0 .. 255 until `normalize`.

Not here: random augmentation (`data/transforms.py`), batches of different sizes
(`data/collate.py`).
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Float32, Num, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from minioneformer.image_bytes import BROKEN_FILE_ERRORS, read_image_bytes

IMAGE_MEAN = (123.675, 116.280, 103.530)  # RGB, 0 .. 255: ImageNet's, of all published models
IMAGE_STD = (58.395, 57.120, 57.375)

# 8 bits per channel; 16-bit and float images have no agreed way down to 8 bits
READABLE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def read_image(path: str | Path) -> UInt8[Tensor, "3 H W"]:
    """Read an image file as RGB, upright.

    The EXIF orientation is applied; grey and palette images become RGB; transparency is dropped.

    Args:
        path: Of the image, in any format that Pillow reads.

    Returns:
        RGB, 0 to 255.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no image, is cut off or broken (a PNG also by its checksums),
            claims an absurd size, or has more than 8 bits per channel (16-bit colour PNGs
            excepted: Pillow keeps the upper 8 bits of those).
    """
    try:
        with Image.open(io.BytesIO(read_image_bytes(path))) as image:
            image.load()
            mode = image.mode
            if mode in READABLE_MODES:
                # subtle: a palette's transparency is only dropped without a warning by way of RGBA
                opaque = image.convert("RGBA") if "transparency" in image.info else image
                ImageOps.exif_transpose(opaque, in_place=True)
                rgb = np.array(opaque if opaque.mode == "RGB" else opaque.convert("RGB"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no image file, got path={str(path)!r}.") from None
    except UnidentifiedImageError:
        raise ValueError(f"not an image, got path={str(path)!r}.") from None
    except BROKEN_FILE_ERRORS as error:
        raise ValueError(f"broken image file, got path={str(path)!r}: {error}.") from None
    if mode not in READABLE_MODES:
        raise ValueError(
            f"an image needs 8 bits per channel, got {mode=} in {str(path)!r}. "
            f"Convert it first, choosing how its values map to 0 .. 255."
        )
    # not copied into planes: the memory order of the file is what resizing wants
    return rearrange(torch.from_numpy(rgb), "H W C -> C H W")


def shortest_edge_size(size: tuple[int, int], shortest: int, longest: int) -> tuple[int, int]:
    """Size after scaling the shorter side to `shortest`, unless the longer side forbids it.

    Args:
        size: (H, W) of the image, in pixels.
        shortest: Wanted length of the shorter side.
        longest: Upper bound of the longer side; where it binds, it decides the scale.

    Returns:
        (H, W), rounded half up.

    Raises:
        ValueError: If a number is not positive, or a side would shrink to nothing.

    Example:
        480 x 640 with 800, 1333 is 800 x 1067; 1024 x 2048 is 667 x 1333 (666.5 rounds up).
    """
    if min(*size, shortest, longest) < 1:
        raise ValueError(f"sizes must be >= 1, got {size=}, {shortest=}, {longest=}.")
    scale = shortest / min(size)
    # subtle: the shorter side is exact here; `scale * side` may miss a half by a rounding error
    height, width = (shortest if side == min(size) else scale * side for side in size)
    if max(height, width) > longest:
        cap = longest / max(height, width)
        height, width = cap * height, cap * width
    rounded = (int(height + 0.5), int(width + 0.5))
    if min(rounded) < 1:
        raise ValueError(
            f"a side shrinks to nothing, got {size=}, {shortest=}, {longest=}. "
            f"The image is too long and thin: crop it, or raise longest."
        )
    return rounded


def resize_image(
    image: UInt8[Tensor, "3 H W"],
    size: tuple[int, int],
    *,
    window: tuple[int, int, int, int] | None = None,
) -> UInt8[Tensor, "3 newH newW"]:
    """Resize bilinearly; where the image shrinks, every pixel counts (antialiasing).

    Args:
        image: RGB, 0 to 255, on the CPU.
        size: Wanted (H, W) in pixels.
        window: (top, left, H, W) of the part of the resized image that is wanted; only that part
            is computed. None wants all.

    Returns:
        RGB, 0 to 255. A window may differ by one gray level from a cut out of the whole: Pillow
        rounds between rows and columns, and begins with those that leave less to do.

    Raises:
        ValueError: If a side is not positive, or the window is not inside the resized image.

    Fidelity:
        The official code evaluates with Pillow's filter on 8-bit values; so do we, on every
        machine. `torch.nn.functional.interpolate` differs in the last digit, and without
        antialiasing by much more.
    """
    height, width = size
    if min(size) < 1:
        raise ValueError(f"sides must be >= 1, got {size=}.")
    picture = Image.fromarray(rearrange(image, "C H W -> H W C").contiguous().numpy())
    box = None
    if window is not None:
        top, left, rows, columns = window
        if not (0 <= top < top + rows <= height and 0 <= left < left + columns <= width):
            raise ValueError(f"a window must be inside the resized image, got {window=}, {size=}.")
        y_scale, x_scale = picture.height / height, picture.width / width
        right, bottom = (left + columns) * x_scale, (top + rows) * y_scale
        box = (
            left * x_scale,
            top * y_scale,
            min(right, picture.width),  # subtle: rounding may lead just beyond the edge
            min(bottom, picture.height),
        )
        width, height = columns, rows
    resized = picture.resize((width, height), Image.Resampling.BILINEAR, box=box)
    return _planes(resized)


def _planes(picture: Image.Image) -> UInt8[Tensor, "3 H W"]:
    """One channel after the other, without writing them interleaved first."""
    planes = np.empty((3, picture.height, picture.width), dtype=np.uint8)
    for plane, channel in zip(planes, "RGB", strict=True):
        packed = picture.tobytes("raw", channel)
        plane[:] = np.frombuffer(packed, dtype=np.uint8).reshape(plane.shape)
    return torch.from_numpy(planes)


def normalize(
    images: Num[Tensor, "*batch 3 H W"], *, out: Float32[Tensor, "*batch 3 H W"] | None = None
) -> Float32[Tensor, "*batch 3 H W"]:
    """Subtract the mean colour and divide by the standard deviation, channel by channel.

    Args:
        images: RGB, 0 to 255, as bytes or as floats.
        out: Where the result is written; None makes room.

    Returns:
        About -2.1 to 2.7, in float32; `out` if it was given.

    Example:
        Red 124 becomes (124 - 123.675) / 58.395 = 0.00557.
    """
    mean = torch.tensor(IMAGE_MEAN, device=images.device)[:, None, None]
    std = torch.tensor(IMAGE_STD, device=images.device)[:, None, None]
    if out is None:
        out = torch.empty(images.shape, device=images.device)
    return out.copy_(images).sub_(mean).div_(std)


def pad_to_multiple(
    images: Float[Tensor, "B C H W"], multiple: int, value: float = 0.0
) -> tuple[Float[Tensor, "B C paddedH paddedW"], Bool[Tensor, "B paddedH paddedW"]]:
    """Pad on the right and at the bottom until both sides are multiples.

    Args:
        images: Normalised, so that 0 is the mean colour.
        multiple: Of both sides, in pixels; 32 is the coarsest stride of the model.
        value: Put into the padding.

    Returns:
        The padded images, and a mask that is True in the padding.

    Raises:
        ValueError: If `multiple` is not positive.

    Example:
        427 x 640 with 32 becomes 448 x 640: 21 rows of padding.
    """
    if multiple < 1:
        raise ValueError(f"multiple must be >= 1, got {multiple=}.")
    B, _, H, W = images.shape
    bottom, right = -H % multiple, -W % multiple
    padded = functional.pad(images, (0, right, 0, bottom), value=value)
    padding_mask = torch.ones(B, H + bottom, W + right, dtype=torch.bool, device=images.device)
    padding_mask[:, :H, :W] = False
    return padded, padding_mask
