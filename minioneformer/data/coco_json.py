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
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from minioneformer.data.annotation_checks import (
    Entry,
    KeyTypes,
    brief_list,
    check_entries,
    load_json,
    refuse_repeated,
)
from minioneformer.data.packed_json import PackedJson
from minioneformer.structures import VOID_ID, Category, Segment

GOLDEN_RATIO = 0.618034  # steps of it spread any number of hues evenly

IMAGE_KEYS: KeyTypes = {"id": (int, str), "file_name": (str,)}
ANNOTATION_KEYS: KeyTypes = {"image_id": (int, str), "file_name": (str,), "segments_info": (list,)}
CATEGORY_KEYS: KeyTypes = {"id": (int,), "name": (str,), "isthing": (int,)}
SEGMENT_KEYS: KeyTypes = {"id": (int,), "category_id": (int,)}
SEGMENT_OPTIONAL_KEYS: KeyTypes = {"iscrowd": (int,), "area": (int, float)}


def read_entries(path: Path) -> tuple[PackedJson, list[Entry], int]:
    """Read a file and join each image with its annotation.

    Args:
        path: The annotation file.

    Returns:
        Pairs of image and annotation in the order of `images`, without the keys that nothing
        reads; the categories, none if the file has none; how many images have no annotation.

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
    check_entries(images, IMAGE_KEYS, "image", path)
    check_entries(annotations, ANNOTATION_KEYS, "annotation", path)
    check_entries(categories, {"id": (int,)}, "category", path)
    refuse_repeated([image["id"] for image in images], "image ids", path)
    refuse_repeated([a["image_id"] for a in annotations], "image_ids of annotations", path)
    refuse_repeated([category["id"] for category in categories], "category ids", path)

    by_image = {annotation["image_id"]: annotation for annotation in annotations}
    orphans = sorted(set(by_image) - {image["id"] for image in images}, key=str)
    if orphans:
        raise ValueError(f"{path}: annotations of no image, got image_ids {brief_list(orphans)}.")
    pairs = PackedJson(
        (_known_keys(image, IMAGE_KEYS), _known_annotation(by_image[image["id"]]))
        for image in images
        if image["id"] in by_image
    )
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
        refuse_repeated([category.dataset_id for category in given], "dataset_ids", path)
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
    check_entries(entries, CATEGORY_KEYS, "category", path)
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
    check_entries(entries, SEGMENT_KEYS, "segment", where, SEGMENT_OPTIONAL_KEYS)
    refuse_repeated([entry["id"] for entry in entries], "segment ids", where)
    return tuple(_parse_segment(entry, labels, where) for entry in entries)


def _load(path: Path) -> Entry:
    """Parse the file; its top level must be an object with images and annotations."""
    content = load_json(path)
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


def _known_keys(entry: Entry, known: KeyTypes) -> Entry:
    return {key: entry[key] for key in known if key in entry}


def _known_annotation(annotation: Entry) -> Entry:
    """What is read of an annotation; segments are checked later, so they may be anything here."""
    known = SEGMENT_KEYS | SEGMENT_OPTIONAL_KEYS
    segments = [
        _known_keys(segment, known) if isinstance(segment, dict) else segment
        for segment in annotation["segments_info"]
    ]
    return _known_keys(annotation, ANNOTATION_KEYS) | {"segments_info": segments}


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
