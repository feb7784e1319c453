"""Small data sets in the layouts of the large ones, drawn by the toy data set.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

What runs on a miniature runs on the download: folders, names and formats of files are those of the
layout. The scenes are the toy's, and its eight classes stand for eight classes of the catalogue.

Not here: how a layout is written (`data/ade20k_writer.py`, `data/cityscapes_writer.py`,
`data/coco_writer.py`, `data/mapillary_writer.py`), opening it (`data/named.py`).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from minioneformer.data import ade20k_writer, cityscapes_writer
from minioneformer.data.ade20k_writer import write_ade20k
from minioneformer.data.categories import load_catalog
from minioneformer.data.cityscapes_writer import write_cityscapes
from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.data.mapillary_writer import write_mapillary
from minioneformer.data.toy import SPLITS, ToyPanoptic
from minioneformer.structures import PanopticSample

# label in the catalogue of sky, grass, water; circle, square, triangle, ring, cross
TOY_LABELS: Mapping[str, Sequence[int]] = {
    "coco_panoptic": range(8),  # the toy's own classes
    # sky-other-merged, grass-merged, water-other; sports ball, tv, kite, donut, airplane
    "coco": (119, 125, 113, 32, 62, 33, 54, 4),
    "ade20k": ade20k_writer.TOY_LABELS,
    "cityscapes": cityscapes_writer.TOY_LABELS,
    # Sky, Terrain, Water; Manhole, Billboard, Traffic Sign (Front), Bicycle, Utility Pole
    "mapillary_vistas": (27, 29, 31, 41, 35, 50, 52, 47),
}


def write_miniature(
    layout: str,
    folder: str | Path,
    *,
    images: int = 8,
    size: tuple[int, int] = (64, 96),
    seed: int = 0,
) -> Path:
    """Write a training and a validation split.

    Args:
        layout: "ade20k", "cityscapes", "coco" or "mapillary_vistas" (v1.2) as downloaded, with the
            classes of their catalogues; "coco_panoptic" with the toy's own classes. Training and
            `open_on_disk` know the result under this name.
        folder: Becomes the data root; created if missing.
        images: Of each split.
        size: (H, W) of the images.
        seed: Another seed, other scenes.

    Returns:
        The folder.

    Raises:
        FileExistsError: If there is something in the folder.
        ValueError: If there is no such layout (a near match is named), or there are to be no
            images; if the toy data set cannot draw that size or seed.
    """
    if layout not in TOY_LABELS:
        near = difflib.get_close_matches(layout, TOY_LABELS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"layout must be one of {', '.join(TOY_LABELS)}, got {layout!r}.{hint}")
    if images < 1:
        raise ValueError(f"a miniature needs at least one image, got {images=}.")
    toys = [ToyPanoptic(split=split, size=size, length=images, seed=seed) for split in SPLITS]
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"a miniature is written into an empty folder, got {str(folder)!r}.")
    for toy in toys:
        WRITERS[layout](_relabeled(toy, TOY_LABELS[layout]), folder, toy.split)
    return folder


def _relabeled(toy: ToyPanoptic, labels: Sequence[int]) -> Iterator[PanopticSample]:
    for sample in (toy[index] for index in range(len(toy))):
        segments = (dataclasses.replace(s, label=labels[s.label]) for s in sample.segments)
        yield dataclasses.replace(sample, segments=tuple(segments))


def _write_toy(samples: Iterator[PanopticSample], folder: Path, split: str) -> None:
    write_coco_panoptic(samples, load_catalog("toy"), folder, name=split)


def _write_coco(samples: Iterator[PanopticSample], folder: Path, split: str) -> None:
    catalog = load_catalog("coco")
    write_coco_panoptic(samples, catalog, folder, name=f"{split}2017", image_suffix=".jpg")


def _write_ade20k(samples: Iterator[PanopticSample], folder: Path, split: str) -> None:
    write_ade20k(samples, folder, split=split)


def _write_cityscapes(samples: Iterator[PanopticSample], folder: Path, split: str) -> None:
    write_cityscapes(samples, folder, split=split)


def _write_mapillary(samples: Iterator[PanopticSample], folder: Path, split: str) -> None:
    name = {"train": "training", "val": "validation"}[split]
    write_mapillary(samples, load_catalog("mapillary_vistas"), folder, split=name)


WRITERS: Mapping[str, Callable[[Iterator[PanopticSample], Path, str], None]] = {
    "coco_panoptic": _write_toy,
    "coco": _write_coco,
    "ade20k": _write_ade20k,
    "cityscapes": _write_cityscapes,
    "mapillary_vistas": _write_mapillary,
}
