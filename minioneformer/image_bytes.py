"""The bytes of an image file, with the checksums that decoders do not look at.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

A PNG has a checksum after each of its parts. Pillow checks those of the small parts only, so a bit
that flipped among the pixels gives other pixels and no error. JPEG has no checksums: there such a
bit goes unnoticed unless the decoder stumbles over it.

Not here: decoding (`pixels.py`, `panoptic_png.py`, `label_png.py`).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXEL_PARTS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")  # what the pixels depend on
# what Pillow raises on broken files, depending on where they are broken
BROKEN_FILE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_image_bytes(path: str | Path) -> bytes:
    """Read a file; if it is a PNG, check that its pixels are those that were written.

    Args:
        path: Of an image file of any format.

    Returns:
        All of it.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If a checksum of a PNG is wrong, or its pixels are cut off.
    """
    content = Path(path).read_bytes()
    check_image_bytes(content)
    return content


def check_image_bytes(content: bytes) -> None:
    """Check that the pixels of a PNG are those that were written; other formats pass.

    Args:
        content: All of an image file.

    Raises:
        ValueError: If a checksum of a PNG is wrong, or its pixels are cut off.
    """
    if content.startswith(SIGNATURE):
        _check_parts(memoryview(content))


def _check_parts(content: memoryview) -> None:
    """Each part: 4 bytes length, 4 bytes name, data, 4 bytes checksum of name and data."""
    start = len(SIGNATURE)
    while start + 8 <= len(content):
        name = bytes(content[start + 4 : start + 8])
        end = start + 8 + int.from_bytes(content[start : start + 4], "big")
        if name in PIXEL_PARTS:
            if end + 4 > len(content):
                raise ValueError(f"it is cut off in part {name.decode()} at byte {start}")
            if zlib.crc32(content[start + 4 : end]) != int.from_bytes(
                content[end : end + 4], "big"
            ):
                raise ValueError(f"wrong checksum of part {name.decode()} at byte {start}")
        start = end + 4
