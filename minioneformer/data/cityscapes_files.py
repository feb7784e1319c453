"""Which files a Cityscapes folder has, and which belong together.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (Cityscapes); not drawn in Figure 2.

Not here: reading them (`data/cityscapes.py`, `data/cityscapes_panoptic.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from minioneformer.data.annotation_checks import brief_list, refuse_repeated
from minioneformer.data.cityscapes_segments import CATEGORIES
from minioneformer.data.coco_json import choose_categories
from minioneformer.structures import Category

FOLDER = "cityscapes"
SPLITS = ("train", "val", "test")
IMAGE_END = "_leftImg8bit.png"
INSTANCE_END = "_gtFine_instanceIds.png"
LABEL_END = "_gtFine_labelIds.png"


def find_root(data_root: str | Path, split: str) -> Path:
    """Find the folder that holds `leftImg8bit` and `gtFine`.

    Args:
        data_root: That folder, or the one above it if it is called `cityscapes`.
        split: "train", "val" or "test".

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If there are no images of the split.
        ValueError: If `split` is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"the splits of Cityscapes are {', '.join(SPLITS)}, got {split=}.")
    roots = [Path(data_root), Path(data_root) / FOLDER]
    for root in roots:
        if (root / "leftImg8bit" / split).is_dir():
            return root
    places = ", ".join(str(root / "leftImg8bit" / split) for root in roots)
    raise FileNotFoundError(f"Cityscapes is not there, got none of: {places}.")


def find_files(folder: Path, end: str) -> dict[str, str]:
    """List the files of a folder, and of all folders in it, by the id that begins their name.

    Args:
        folder: Where to look.
        end: What follows the id in a file's name.

    Returns:
        Id to path below the folder, in the order of the ids.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If two files have one id.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no such folder, got {str(folder)!r}.")
    paths = sorted(folder.rglob(f"*{end}"), key=lambda path: path.name)
    ids = [path.name.removesuffix(end) for path in paths]
    refuse_repeated(ids, f"ids of the files *{end}", folder)
    return {i: path.relative_to(folder).as_posix() for i, path in zip(ids, paths, strict=True)}


def refuse_orphans(
    annotated: Iterable[str], images: Mapping[str, str], where: Path, image_dir: Path
) -> None:
    """Refuse annotations without an image.

    Args:
        annotated: Ids that have an annotation.
        images: Those that have an image.
        where: The annotations, for messages.
        image_dir: For messages.

    Raises:
        ValueError: If an id has no image; the first few are named.
    """
    orphans = [image_id for image_id in annotated if image_id not in images]
    if orphans:
        raise ValueError(
            f"{where}: every annotation needs an image *{IMAGE_END} in {image_dir}, got none for "
            f"{brief_list(orphans)}."
        )


def choose_catalog(given: Sequence[Category] | None, where: Path) -> tuple[Category, ...]:
    """Take the given catalogue if it covers that of Cityscapes, or else that of Cityscapes.

    Args:
        given: Matched by `dataset_id`, or None.
        where: The annotations, for messages.

    Returns:
        The catalogue.

    Raises:
        ValueError: If the given one lacks a class, or two of its classes share a `dataset_id`.
    """
    if given is None:
        return CATEGORIES
    return choose_categories([{"id": c.dataset_id} for c in CATEGORIES], given, where)
