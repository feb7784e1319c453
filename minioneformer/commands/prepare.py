"""`minioneformer prepare`.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: what is written (`data/prepare.py`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from minioneformer.data.prepare import prepare as prepare_files


def prepare(
    dataset: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATASET")],
    /,
    *,
    data_root: Path,
    num_workers: int = 0,
) -> None:
    """Write the panoptic files of a data set as its official preparation does.

    A run that was stopped is started again with the same words and goes on.

    Args:
        dataset: "ade20k" or "cityscapes"; "coco" and "mapillary_vistas" need nothing.
        data_root: Folder of the data set, or the one that holds it.
        num_workers: Threads that work beside this one.
    """
    splits = prepare_files(
        dataset, data_root, num_workers=num_workers, progress=sys.stderr.isatty()
    )
    if not splits:
        print(f"{dataset} needs no preparation: it is read as it was downloaded")
    for split in splits:
        counts = f"{split.written} PNGs written, {split.kept} kept, {split.replaced} replaced"
        print(f"{split.json_path}: {counts}")
