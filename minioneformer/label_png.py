"""PNGs whose pixel values are numbers, not colours to look at: read exactly or refused.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (annotations); not drawn in Figure 2.

A value is read as the file stores it. Whatever would have to be shortened or converted is refused,
since a label that is off by a little is another class.

Not here: what the values mean (`data/label_folder.py`, `evaluation/label_folder.py`, ...), colours
that are segment ids (`panoptic_png.py`).
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int64, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from minioneformer.image_bytes import BROKEN_FILE_ERRORS, read_image_bytes

HEADER_BYTES = 26  # up to the bits per channel and the colour type
GREY, RGB, PALETTE = 0, 2, 3  # colour types of the header
KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with transparency", 6: "RGB with transparency"}
# Pillow spreads grey values of 2 and 4 bits over 0 .. 255; this is the way back
SPREAD = {(2, GREY): 85, (4, GREY): 17}


def read_label_png(path: str | Path) -> Int64[Tensor, "H W"]:
    """Read one number per pixel: a label, an id, the index of a palette entry.

    Args:
        path: A PNG: grey with up to 16 bits, or with a palette, whose colours do not matter.

    Returns:
        The numbers, 0 to 65535.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no PNG, is cut off or broken, or has colours or transparency.
    """
    numbers, bits, kind = _read(Path(path))
    if kind not in (GREY, PALETTE):
        raise ValueError(
            f"a label map must be a PNG of one channel, grey or palette, got {_kind(bits, kind)}, "
            f"in {str(path)!r}. Colours are no labels: save the values behind them."
        )
    return torch.from_numpy(numbers.astype(np.int64) // SPREAD.get((bits, kind), 1))


def read_byte_png(path: str | Path) -> UInt8[Tensor, "3 H W"]:
    """Read three numbers per pixel, stored as red, green and blue.

    Args:
        path: A PNG: RGB, 8 bits per channel.

    Returns:
        The numbers, 0 to 255.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no PNG, is cut off or broken, or is not RGB with 8 bits
            per channel.
    """
    numbers, bits, kind = _read(Path(path))
    if (bits, kind) != (8, RGB):
        raise ValueError(
            f"three numbers per pixel need a PNG with 8 bits per channel, RGB, "
            f"got {_kind(bits, kind)}, in {str(path)!r}."
        )
    return rearrange(torch.from_numpy(numbers), "H W C -> C H W").contiguous()


def read_png_kind(path: str | Path) -> tuple[int, int]:
    """Read what sort of numbers a PNG holds, without decoding them.

    Args:
        path: A PNG.

    Returns:
        Bits per channel; the colour type, such as `GREY`, `RGB` or `PALETTE`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no PNG, is cut off or has a wrong checksum.
    """
    _, bits, kind = _read(Path(path), decode=False)
    return bits, kind


def _read(path: Path, *, decode: bool = True) -> tuple[np.ndarray, int, int]:
    """Pixels as Pillow has them, and what its modes do not tell: bits and colour type."""
    try:
        # subtle: Pillow opens 16 bits of each of red, green, blue as 8, without a word
        content = read_image_bytes(path)
        header = content[:HEADER_BYTES]
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            numbers = np.array(image) if decode else np.empty(0)
    except FileNotFoundError:
        raise FileNotFoundError(f"no annotation PNG, got path={str(path)!r}.") from None
    except UnidentifiedImageError:
        raise ValueError(f"not a PNG, got path={str(path)!r}.") from None
    except BROKEN_FILE_ERRORS as error:
        raise ValueError(f"broken PNG, got path={str(path)!r}: {error}.") from None
    return numbers, header[-2], header[-1]


def _kind(bits: int, kind: int) -> str:
    return f"{bits} bits per channel, {KINDS.get(kind, 'unknown')}"
