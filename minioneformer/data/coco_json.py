"""The JSON of a panoptic annotation in the COCO format: read, checked, taken apart.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Top level: `images` (id, file_name), `annotations` (image_id, file_name of the PNG,
segments_info) and `categories` (id, name, isthing, color); a segment has id, category_id and,
optionally, iscrowd and area. Other keys are ignored. Whatever does not fit is an error of one
line that names the file and the entry.

Not here: images and PNGs (`data/coco.py`), writing the format (`data/coco_writer.py`).
"""

from __future__ import annotations

import colorsys
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minioneformer.structures import VOID_ID, Category, Segment

GOLDEN_RATIO = 0.618034  # steps of it spread any number of hues evenly

Entry = dict[str, Any]
KeyTypes = dict[str, tuple[type, ...]]

IMAGE_KEYS: KeyTypes = {"id": (int, str), "file_name": (str,)}
ANNOTATION_KEYS: KeyTypes = {"image_id": (int, str), "file_name": (str,), "segments_info": (list,)}
CATEGORY_KEYS: KeyTypes = {"id": (int,), "name": (str,), "isthing": (int,)}
SEGMENT_KEYS: KeyTypes = {"id": (int,), "category_id": (int,)}
SEGMENT_OPTIONAL_KEYS: KeyTypes = {"iscrowd": (int,), "area": (int, float)}


def read_entries(path: Path) -> tuple[list[tuple[Entry, Entry]], list[Entry], int]:
    """Read a file and join each image with its annotation.

    Args:
        path: The annotation file.

    Returns:
        (image, annotation) in the order of `images`; the categories, none if the file has none;
        how many images have no annotation.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read or is no JSON (with the position); if it lacks
            `images` or `annotations`; if an entry lacks a key or a value has a wrong type;
            if an id of an image, an annotation or a category occurs twice; if an annotation is
            of no image.
    """
    content = _load(path)
    images, annotations = content["images"], content["annotations"]
    categories = content.get("categories", [])
    _check_entries(images, IMAGE_KEYS, "image", path)
    _check_entries(annotations, ANNOTATION_KEYS, "annotation", path)
    _check_entries(categories, {"id": (int,)}, "category", path)
    _refuse_repeated([image["id"] for image in images], "image ids", path)
    _refuse_repeated([a["image_id"] for a in annotations], "image_ids of annotations", path)
    _refuse_repeated([category["id"] for category in categories], "category ids", path)

    by_image = {annotation["image_id"]: annotation for annotation in annotations}
    orphans = sorted(set(by_image) - {image["id"] for image in images}, key=str)
    if orphans:
        raise ValueError(f"{path}: annotations of no image, got image_ids {brief_list(orphans)}.")
    pairs = [(image, by_image[image["id"]]) for image in images if image["id"] in by_image]
    return pairs, categories, len(images) - len(pairs)


def choose_categories(
    entries: Sequence[Entry], given: Sequence[Category] | None, path: Path
) -> tuple[Category, ...]:
    """Take the given catalogue if it covers the file's, or else the file's own.

    Args:
        entries: The categories of the file.
        given: A catalogue, matched by `dataset_id`, or None.
        path: Of the file, for messages.

    Returns:
        The catalogue. A colour that the file does not give is made up, spread over the circle
        of hues.

    Raises:
        ValueError: If two of the given categories share a `dataset_id`; if an id of the file is
            not among them; if none are given and the file has none; if a category of the file
            lacks a name, `isthing`, or has a colour that is not three numbers from 0 to 255.

    Example:
        A file with categories 7 "cat" and 3 "sky": "cat" has label 0, "sky" label 1.
    """
    if given is not None:
        _refuse_repeated([category.dataset_id for category in given], "dataset_ids", path)
        known = {category.dataset_id for category in given}
        unknown = [entry["id"] for entry in entries if entry["id"] not in known]
        if unknown:
            raise ValueError(
                f"{path}: the given categories must cover the file's, got category ids "
                f"{brief_list(unknown)} that none of them has as dataset_id."
            )
        return tuple(given)
    if not entries:
        raise ValueError(f"{path}: needs a list of categories, got none. Pass categories=.")
    _check_entries(entries, CATEGORY_KEYS, "category", path)
    return tuple(_parse_category(entry, i, path) for i, entry in enumerate(entries))


def parse_segments(annotation: Entry, labels: Mapping[int, int], where: str) -> tuple[Segment, ...]:
    """Make segments of an annotation's entries.

    Args:
        annotation: Of one image.
        labels: Label of each category id.
        where: File and image, for messages.

    Returns:
        The segments in file order; the area is None where the file gives none.

    Raises:
        ValueError: If an entry lacks a key or a value has a wrong type; if an id occurs twice or
            is below 1; if a category is unknown; if an area is negative or not finite.
    """
    entries = annotation["segments_info"]
    _check_entries(entries, SEGMENT_KEYS, "segment", where, SEGMENT_OPTIONAL_KEYS)
    _refuse_repeated([entry["id"] for entry in entries], "segment ids", where)
    return tuple(_parse_segment(entry, labels, where) for entry in entries)


def brief_list(values: Sequence[Any], limit: int = 8) -> str:
    """Show the first few values, so that a message stays one line.

    Args:
        values: Anything that prints.
        limit: How many to show.

    Returns:
        Like a list's own text, with an ellipsis if some are left out.

    Example:
        `brief_list([1, 2, 3], limit=2)` is "[1, 2, ...]".
    """
    shown = ", ".join(repr(value) for value in values[:limit])
    return f"[{shown}{', ...' if len(values) > limit else ''}]"


def _load(path: Path) -> dict[str, Any]:
    """Parse the file; its top level must be an object with images and annotations."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}."
        ) from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: there is no such annotation file.") from error
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error}).") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: must be an object with images, annotations and categories, "
            f"got a {type(content).__name__}. Wrap the annotations in one."
        )
    for key in ("images", "annotations"):
        if key not in content:
            raise ValueError(
                f"{path}: needs {key!r} besides the rest, got keys {brief_list(sorted(content))}."
            )
    return content


def _parse_category(entry: Entry, position: int, path: Path) -> Category:
    hue = position * GOLDEN_RATIO % 1.0
    made_up = [round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, 0.7, 0.9)]
    color = entry.get("color", made_up)
    if not (
        isinstance(color, list)
        and len(color) == 3
        and all(isinstance(value, int) and 0 <= value <= 255 for value in color)
    ):
        raise ValueError(
            f"{path}: the color of category {entry['id']} must be three integers from 0 to 255, "
            f"got {color=}."
        )
    return Category(
        name=entry["name"],
        is_thing=bool(entry["isthing"]),
        color=(color[0], color[1], color[2]),
        dataset_id=entry["id"],
    )


def _parse_segment(entry: Entry, labels: Mapping[int, int], where: str) -> Segment:
    area = entry.get("area")
    if entry["id"] <= VOID_ID:
        raise ValueError(f"{where}: segment ids must be above {VOID_ID}, got id={entry['id']}.")
    if entry["category_id"] not in labels:
        raise ValueError(
            f"{where}: segment {entry['id']} has an unknown category, "
            f"got category_id={entry['category_id']}."
        )
    if area is not None and not 0 <= area < math.inf:
        raise ValueError(f"{where}: segment {entry['id']} needs an area >= 0, got {area=}.")
    return Segment(
        id=entry["id"],
        label=labels[entry["category_id"]],
        is_crowd=bool(entry.get("iscrowd", 0)),
        area=None if area is None else int(area),
    )


def _check_entries(
    entries: object,
    required: KeyTypes,
    kind: str,
    where: str | Path,
    optional: KeyTypes | None = None,
) -> None:
    """Refuse anything but a list of objects with these keys and types of values."""
    if not isinstance(entries, list):
        raise ValueError(f"{where}: needs a list of {kind} entries, got {entries!r:.60}.")
    types = required | (optional or {})
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(f"{where}: {kind} {position} must be an object, got {entry!r:.60}.")
        missing = [key for key in required if key not in entry]
        if missing:
            raise ValueError(
                f"{where}: {kind} {position} lacks {missing}, got keys {brief_list(sorted(entry))}."
            )
        for key in types.keys() & entry.keys():
            if not isinstance(entry[key], types[key]):
                wanted = " or ".join(wanted_type.__name__ for wanted_type in types[key])
                raise ValueError(
                    f"{where}: {key} of {kind} {position} must be {wanted}, "
                    f"got {str(entry[key])[:60]!r}."
                )


def _refuse_repeated(ids: Sequence[Any], kind: str, where: str | Path) -> None:
    if len(set(ids)) < len(ids):
        repeated = sorted({i for i in ids if ids.count(i) > 1}, key=str)
        raise ValueError(f"{where}: {kind} must be unique, got twice {brief_list(repeated)}.")
