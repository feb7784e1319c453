"""The data sets that have a name on the command line, opened for a model that is evaluated.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Not here: the data sets themselves (`data/toy.py`, `data/coco.py`), data to train on
(`training/run.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from minioneformer.data.annotation_checks import brief_list
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.toy import SPLITS, ToyPanoptic
from minioneformer.structures import Category

NAMES = ("toy", "coco_panoptic")
TOY_IMAGES = 200


def open_for_evaluation(
    name: str,
    *,
    root: Path | None,
    split: str,
    images: int | None,
    categories: Sequence[Category],
) -> ToyPanoptic | CocoPanoptic:
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
    if name == "coco_panoptic":
        return _open_coco(root, split, images, categories)
    near = difflib.get_close_matches(name, NAMES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"dataset must be one of {', '.join(NAMES)}, got {name!r}.{hint}")


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


def _open_coco(
    root: Path | None, split: str, images: int | None, categories: Sequence[Category]
) -> CocoPanoptic:
    if root is None:
        raise ValueError(f"dataset 'coco_panoptic' lies on disk: give its data root, got {root=}.")
    if images is not None:
        raise ValueError(f"files are evaluated all, got {images=}. Leave it out.")
    coco = CocoPanoptic.from_root(root, split)
    if not len(coco):
        raise ValueError(f"there is no annotated image in {coco.json_path}.")
    _check_same_classes(coco.categories, categories, str(coco.json_path))
    # opened again for the labels of the model: the file may have another order
    return CocoPanoptic.from_root(root, split, categories=categories)


def _check_same_classes(found: Sequence[Category], known: Sequence[Category], where: str) -> None:
    theirs, ours = set(_facts(found)), set(_facts(known))
    if theirs != ours:
        there = brief_list([name for _, name, _ in sorted(theirs - ours)])
        here = brief_list([name for _, name, _ in sorted(ours - theirs)])
        raise ValueError(
            f"the model knows other classes than {where}, got only there {there}, only in the "
            f"model {here}."
        )


def _facts(categories: Sequence[Category]) -> list[tuple[int, str, bool]]:
    """What makes a class. By ids alone, class 1 of any data set would pass for that of another."""
    return [(c.dataset_id, c.name, c.is_thing) for c in categories]
