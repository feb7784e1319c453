"""PNGs whose pixels are numbers: labels, instance ids, palette indices.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (annotations); not drawn in Figure 2.

Not here: panoptic PNGs, whose colours are ids (`panoptic_png.py`); what the numbers mean
(`data/label_folder.py`, `data/mapillary.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from minioneformer.pixels import BROKEN_FILE_ERRORS

EIGHT_BIT_MODES = ("1", "L", "P")
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I")
# Pillow spreads grey values of 2 and 4 bits over 0 .. 255; this is the way back
SPREAD = {"L;2": 85, "L;4": 17}


def read_value_png(path: str | Path, *, sixteen_bits: bool = False) -> Int64[Tensor, "H W"]:
    """Read the number of each pixel as it is stored.

    Of a palette PNG the index is the number, whatever its colour.

    Args:
        path: A PNG of one channel: grey of 1, 2, 4, 8 or 16 bits, or palette.
        sixteen_bits: True refuses PNGs of fewer bits.

    Returns:
        0 to 65535.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a readable PNG, is cut off, has several channels, or has
            too few bits.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            mode = image.mode
            # subtle: the tile is gone once the pixels are loaded
            stored_as = image.tile[0][3] if image.tile else mode
            values = np.array(image)
    except FileNotFoundError:
        raise FileNotFoundError(f"no annotation PNG, got path={str(path)!r}.") from None
    except UnidentifiedImageError:
        raise ValueError(f"not a PNG, got path={str(path)!r}.") from None
    except BROKEN_FILE_ERRORS as error:
        raise ValueError(f"broken PNG, got path={str(path)!r}: {error}.") from None
    if mode not in EIGHT_BIT_MODES + SIXTEEN_BIT_MODES:
        raise ValueError(
            f"{path}: the PNG needs one channel, grey or palette, whose values are the labels, "
            f"got {mode=}. Colours are no labels: save the values behind them."
        )
    if sixteen_bits and mode not in SIXTEEN_BIT_MODES:
        raise ValueError(f"{path}: the PNG needs 16 bits per pixel, got {mode=}.")
    return torch.from_numpy(values.astype(np.int64) // SPREAD.get(str(stored_as), 1))
