"""`minioneformer miniature`.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: what is written (`data/miniature.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from minioneformer.data.miniature import write_miniature


def miniature(
    layout: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="LAYOUT")],
    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")],
    /,
    *,
    images: int = 8,
) -> None:
    """Write a small generated data set in the layout of a published one.

    Args:
        layout: "ade20k", "cityscapes", "coco", "mapillary_vistas", or "coco_panoptic" with the
            classes of the toy data set.
        folder: Becomes the data root; empty or new.
        images: Of each split, "train" and "val".
    """
    root = write_miniature(layout, folder, images=images)
    print(f"wrote {images} + {images} images to {root}; look at them with")
    print(f"  minioneformer check-data {layout} --data-root {root}")
