"""The data sets that have a name on the command line and in recipes.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Not here: the data sets themselves (`data/toy.py`, `data/coco.py`, `data/ade20k.py` ...), data that
a user describes (`data/described.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minioneformer.data.ade20k import Ade20k
from minioneformer.data.annotation_checks import brief_list
from minioneformer.data.categories import load_catalog
from minioneformer.data.cityscapes import Cityscapes
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.described import open_described
from minioneformer.data.mapillary import Mapillary
from minioneformer.data.toy import SPLITS, ToyPanoptic
from minioneformer.structures import Category


def _open_coco(
    root: Path, split: str, *, categories: Sequence[Category] | None = None
) -> CocoPanoptic:
    """COCO itself: its 133 classes, whatever order the file has."""
    if categories is not None:
        return CocoPanoptic.from_root(root, split, categories=categories)
    catalog = load_catalog("coco")
    found = CocoPanoptic.from_root(root, split)
    _check_same_classes(found.categories, catalog, str(found.json_path), "COCO")
    if _facts(found.categories) == _facts(catalog):
        return found
    return CocoPanoptic.from_root(root, split, categories=catalog)


ON_DISK: Mapping[str, Callable[..., Any]] = {
    "coco_panoptic": CocoPanoptic.from_root,
    "coco": _open_coco,
    "ade20k": Ade20k.from_root,
    "cityscapes": Cityscapes.from_root,
    "mapillary_vistas": Mapillary,
    "own": open_described,
}
NAMES = ("toy", *ON_DISK)
TOY_IMAGES = 200


def open_on_disk(
    name: str, root: str | Path | None, split: str, *, categories: Sequence[Category] | None = None
) -> Any:
    """Open a data set that lies on disk.

    Args:
        name: One of `ON_DISK`.
        root: Folder of its files.
        split: "train", "val" or what the files are called.
        categories: The catalogue whose positions are the labels; None takes that of the files.

    Returns:
        The data set, with `categories` and `tasks`.

    Raises:
        FileNotFoundError: If files are missing; their places are named.
        ValueError: If the name is unknown (a near match is named), or the root is missing;
            whatever is wrong with the files.
    """
    if name == "toy":
        raise ValueError("the toy data set is generated: nothing of it lies on disk.")
    if name not in ON_DISK:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"dataset must be one of {', '.join(NAMES)}, got {name!r}.{hint}")
    if root is None:
        raise ValueError(f"dataset {name!r} lies on disk: give its data root, got {root=}.")
    return ON_DISK[name](Path(root), split, categories=categories)


def open_for_evaluation(
    name: str,
    *,
    root: Path | None,
    split: str,
    images: int | None,
    categories: Sequence[Category],
) -> Any:
    """Open a data set and make sure that a model knows its classes.

    Args:
        name: One of `NAMES`.
        root: Of files on disk; None for what is generated.
        split: "train", "val" or what the files are called.
        images: How many to generate, None for 200; None for files, which are used all.
        categories: Of the model; the labels of the data set are positions in them.

    Returns:
        The data set, of at least one image.

    Raises:
        FileNotFoundError: If files are missing; their places are named.
        ValueError: If the name is unknown (a near match is named); if a root, a split or a number
            of images is missing, not possible or not needed; if the model knows other classes;
            if there is no image; whatever is wrong with the files.
    """
    if name == "toy":
        return _open_toy(root, split, images, categories)
    if images is not None and name in ON_DISK:
        raise ValueError(f"files are evaluated all, got {images=}. Leave it out.")
    found = open_on_disk(name, root, split)
    where = f"{root}, {split}"
    if not len(found):
        raise ValueError(f"there is no annotated image in {where}.")
    _check_same_classes(found.categories, categories, where)
    if _facts(found.categories) == _facts(categories):
        return found
    # opened again for the labels of the model: the files have another order
    return open_on_disk(name, root, split, categories=categories)


def _open_toy(
    root: Path | None, split: str, images: int | None, categories: Sequence[Category]
) -> ToyPanoptic:
    if root is not None:
        raise ValueError(f"the toy data set is generated, got the data root {str(root)!r}.")
    if split not in SPLITS:
        raise ValueError(f"the toy data set has the splits {' and '.join(SPLITS)}, got {split!r}.")
    if images is not None and images < 1:
        raise ValueError(f"there must be something to evaluate on, got {images=}.")
    toy = ToyPanoptic(split=split, length=TOY_IMAGES if images is None else images)
    _check_same_classes(toy.categories, categories, "the toy data set")
    if _facts(toy.categories) != _facts(categories):
        raise ValueError(
            "the model has the classes of the toy data set in another order, got "
            f"{brief_list([category.name for category in categories])}."
        )
    return toy


def _check_same_classes(
    found: Sequence[Category], known: Sequence[Category], where: str, who: str = "the model"
) -> None:
    theirs, ours = set(_facts(found)), set(_facts(known))
    if theirs != ours:
        there = brief_list([name for _, name, _ in sorted(theirs - ours)])
        here = brief_list([name for _, name, _ in sorted(ours - theirs)])
        raise ValueError(
            f"{who} knows other classes than {where}, got only there {there}, only in {who} {here}."
        )


def _facts(categories: Sequence[Category]) -> list[tuple[int, str, bool]]:
    """What makes a class. By ids alone, class 1 of any data set would pass for that of another."""
    return [(c.dataset_id, c.name, c.is_thing) for c in categories]
