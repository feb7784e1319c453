"""Segment ids as colours of a PNG: the format of COCO panoptic annotations.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1 (panoptic annotations); not drawn in Figure 2.
After: COCO panoptic format, id = R + 256 G + 65536 B.

Not here: what the ids mean (`data/coco.py`), writing whole data sets (`data/coco_writer.py`).
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int, Int64, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from minioneformer.image_bytes import BROKEN_FILE_ERRORS, read_image_bytes

MAX_ID = 256**3 - 1
BITS_AT = 24  # byte of a PNG that says how many bits a channel has


def rgb_to_id(rgb: UInt8[Tensor, "3 H W"]) -> Int64[Tensor, "H W"]:
    """Read colours as numbers of base 256, red the lowest digit.

    Args:
        rgb: Colours of the panoptic PNG.

    Returns:
        Segment ids, 0 to `MAX_ID`.

    Example:
        Colour (1, 2, 3) is 1 + 256 * 2 + 65536 * 3 = 197121.
    """
    red, green, blue = rgb
    # 24 bits fit in int32, which is half as much to move as int64
    ids = blue.to(torch.int32).mul_(256).add_(green).mul_(256).add_(red)
    return ids.to(torch.int64)


def id_to_rgb(segment_map: Int[Tensor, "H W"]) -> UInt8[Tensor, "3 H W"]:
    """Write numbers as colours; the inverse of `rgb_to_id`.

    Args:
        segment_map: Segment ids, 0 to `MAX_ID`.

    Returns:
        Colours of the panoptic PNG.

    Raises:
        ValueError: If an id is negative or does not fit in three bytes.

    Example:
        Id 256 is colour (0, 1, 0).
    """
    ids = segment_map.to(torch.int64)
    if ids.numel() and (ids.min() < 0 or ids.max() > MAX_ID):
        raise ValueError(
            f"segment ids must be in 0 .. {MAX_ID} to fit in a colour, "
            f"got {int(ids.min())} .. {int(ids.max())}. Renumber the segments from 1."
        )
    return torch.stack([ids % 256, ids // 256 % 256, ids // 65536]).to(torch.uint8)


def read_panoptic_png(path: str | Path) -> Int64[Tensor, "H W"]:
    """Read the segment map of one image.

    Args:
        path: A panoptic PNG: RGB, 8 bits per channel.

    Returns:
        Segment ids; 0 is void.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a readable PNG, is cut off, has a wrong checksum, or is not
            RGB with 8 bits. Palette and grey PNGs are refused: their pixel values are not segment
            ids of this format.
    """
    try:
        content = read_image_bytes(path)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.load()
            mode = image.mode
            packed = image.tobytes("raw", "RGBX") if mode == "RGB" else b""
            size = (image.height, image.width)
    except FileNotFoundError:
        raise FileNotFoundError(f"no panoptic PNG, got path={str(path)!r}.") from None
    except UnidentifiedImageError:
        raise ValueError(f"not a PNG, got path={str(path)!r}.") from None
    except BROKEN_FILE_ERRORS as error:
        raise ValueError(f"broken PNG, got path={str(path)!r}: {error}.") from None
    # subtle: Pillow opens 16 bits per channel as 8, without a word; the header tells
    bits = content[BITS_AT]
    if mode != "RGB" or bits != 8:
        raise ValueError(
            f"a panoptic PNG must be RGB with 8 bits (id = R + 256 G + 65536 B), got {mode=}, "
            f"{bits=} in {str(path)!r}. A label map or palette PNG is no panoptic annotation."
        )
    # as `rgb_to_id`, but four bytes at a time are one number; the fourth means nothing
    ids = np.frombuffer(packed, dtype="<u4") & MAX_ID
    return torch.from_numpy(ids.astype(np.int64)).view(size)


def write_panoptic_png(path: str | Path, segment_map: Int[Tensor, "H W"]) -> None:
    """Write a segment map; `read_panoptic_png` gives it back.

    Args:
        path: Of the PNG; its folder exists.
        segment_map: Segment ids, 0 to `MAX_ID`.

    Raises:
        ValueError: If an id does not fit in a colour.
    """
    rgb = rearrange(id_to_rgb(segment_map), "C H W -> H W C").contiguous()
    Image.fromarray(rgb.numpy()).save(path, format="PNG")
