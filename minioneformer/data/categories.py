"""Class tables of the data sets, as shipped in `data/catalog/*.json`.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2 (the class names that fill
its "Panoptic / Instance / Semantic Text" come from here).

A catalogue is a tuple of categories; the position of a category is its label, 0 .. K-1.

Not here: categories of a user's own annotation file (`data/coco.py` reads them from the file).
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minioneformer.structures import Category

CATALOGS = ("toy", "ade20k", "cityscapes", "coco", "mapillary_vistas")


def load_catalog(name: str) -> tuple[Category, ...]:
    """Read the class table of a data set.

    Args:
        name: One of `CATALOGS`.

    Returns:
        The categories; position = label. Names are verbatim (ADE20K's "window " keeps its
        trailing blank).

    Raises:
        ValueError: If there is no such catalogue; near matches are named.

    Example:
        `load_catalog("toy")[3]` is the thing "circle" with dataset id 4.
    """
    return tuple(
        Category(
            name=row["name"],
            is_thing=bool(row["isthing"]),
            color=tuple(row["color"]),
            dataset_id=row["dataset_id"],
        )
        for row in _table(name)["categories"]
    )


def catalog_rows(name: str) -> list[dict[str, Any]]:
    """Rows of a class table with everything that its file says, more than a `Category` holds.

    Args:
        name: One of `CATALOGS`.

    Returns:
        One dictionary per label; at least `id` (the label), `dataset_id`, `name`, `isthing`,
        `color`.

    Raises:
        ValueError: If there is no such catalogue; near matches are named.

    Example:
        `catalog_rows("cityscapes")[0]["supercategory"]` is "flat".
    """
    return [dict(row) for row in _table(name)["categories"]]


def class_names(categories: Sequence[Category]) -> list[str]:
    """Names in label order, as the text list needs them.

    Args:
        categories: A catalogue.

    Returns:
        One name per category, verbatim.
    """
    return [category.name for category in categories]


def ignore_label(name: str) -> int:
    """The label of pixels without a class, as the published models of a data set state it.

    Args:
        name: One of `CATALOGS`.

    Returns:
        A number that is no label of the catalogue.

    Raises:
        ValueError: If there is no such catalogue; near matches are named.

    Example:
        255 for COCO, 65 for the 65 classes of Mapillary Vistas.
    """
    return _table(name)["ignore_label"]


def ade20k_instance_labels() -> dict[int, int]:
    """ADE20K numbers its 100 things twice; this maps one numbering to the other.

    Returns:
        Red value in `annotations_instance/*.png` (1 .. 100) to label (0 .. 149).

    Example:
        Red value 1 is "bed", label 7.
    """
    rows = _table("ade20k")["categories"]
    return {row["instance100_id"]: row["id"] for row in rows if "instance100_id" in row}


@functools.cache
def _table(name: str) -> dict[str, Any]:
    if name not in CATALOGS:
        near = difflib.get_close_matches(name, CATALOGS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no such catalogue, got {name=}. Known: {', '.join(CATALOGS)}.{hint}")
    path = Path(__file__).parent / "catalog" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))
