"""Panoptic quality of predictions on disk, in the COCO panoptic format.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

Takes the four paths that the official tool takes, so that results of other programs can be
compared. Images are read one at a time and only counters are kept.

Not here: reading a training set (`data/coco.py`), the names of the figures in the official
tool's report (`score_panoptic.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Int64
from torch import Tensor
from tqdm import tqdm

from minioneformer.evaluation.panoptic_quality import PanopticQuality, PanopticQualityResult
from minioneformer.evaluation.score_files import (
    IMAGE_ID,
    NUMBER,
    ImageNames,
    KeyTypes,
    Row,
    check_rows,
    read_lists,
    refuse_repeated,
)
from minioneformer.panoptic_png import read_panoptic_png
from minioneformer.structures import Category, PredictedSegment, Segment

CATEGORY_KEYS: KeyTypes = {"id": (int,), "name": (str,), "isthing": (int,)}
MAP_KEYS: KeyTypes = {"image_id": IMAGE_ID, "file_name": (str,), "segments_info": (list,)}
SEGMENT_KEYS: KeyTypes = {"id": (int,), "category_id": (int,)}
TRUTH_KEYS: KeyTypes = {"iscrowd": (int,), "area": NUMBER}


def evaluate_panoptic_files(
    annotation_json: str | Path,
    annotation_dir: str | Path,
    prediction_json: str | Path,
    prediction_dir: str | Path,
) -> PanopticQualityResult:
    """Compare two folders of panoptic PNGs.

    Args:
        annotation_json: Lists categories, and per image its PNG and segments.
        annotation_dir: Holds the annotated PNGs.
        prediction_json: Lists per image its PNG and segments.
        prediction_dir: Holds the predicted PNGs.

    Returns:
        The figures over all annotated images; predictions for other images are not looked at.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: As `count_panoptic_files`.
    """
    return count_panoptic_files(
        annotation_json, annotation_dir, prediction_json, prediction_dir
    ).compute()


def count_panoptic_files(
    annotation_json: str | Path,
    annotation_dir: str | Path,
    prediction_json: str | Path,
    prediction_dir: str | Path,
    *,
    progress: bool = False,
) -> PanopticQuality:
    """`evaluate_panoptic_files`, the counters and the catalogue included.

    Args:
        annotation_json: Lists categories, and per image its PNG and segments.
        annotation_dir: Holds the annotated PNGs.
        prediction_json: Lists per image its PNG and segments. An image is named by the
            annotation file's id, or by its file name without folder and ending.
        prediction_dir: Holds the predicted PNGs.
        progress: Whether to draw a progress bar on the standard error.

    Returns:
        The counters; `categories` are those of the annotation file, in its order.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a JSON does not have the format; an annotated image has no prediction, a
            file name leads out of its folder, a category is unknown, or a map contradicts its
            list of segments (see `PanopticQuality.update`).
    """
    truth = read_lists(annotation_json, ("annotations", "categories"), ("images",))
    categories = file_categories(truth["categories"], annotation_json)
    labels = {c.dataset_id: label for label, c in enumerate(categories)}
    check_rows(truth["annotations"], MAP_KEYS, f"{annotation_json}: annotations")
    prediction_of_image = _predictions_by_image(
        prediction_json, image_names(truth["images"], truth["annotations"], annotation_json)
    )
    quality = PanopticQuality(categories)
    for entry in _with_progress(truth["annotations"], progress):
        image_id = entry["image_id"]
        if image_id not in prediction_of_image:
            raise ValueError(
                f"every annotated image needs a prediction, got none for {image_id=}; "
                f"list it with no segments and an all-zero PNG if nothing was found."
            )
        prediction = prediction_of_image[image_id]
        found = predicted_segments(prediction, labels, f"{prediction_json}, {image_id=}")
        annotated = annotated_segments(entry, labels, f"{annotation_json}, {image_id=}")
        predicted_map = read_map(prediction_dir, prediction["file_name"])
        segment_map = read_map(annotation_dir, entry["file_name"])
        try:
            quality.update(predicted_map, found, segment_map, annotated)
        except ValueError as error:
            raise ValueError(f"{image_id=}: {error}") from None
    return quality


def file_categories(rows: Sequence[Any], path: str | Path) -> tuple[Category, ...]:
    """The catalogue of an annotation file, in its order.

    Args:
        rows: Its `categories`.
        path: Of the file, for messages.

    Raises:
        ValueError: If an entry lacks a key or an id occurs twice.
    """
    check_rows(rows, CATEGORY_KEYS, f"{path}: categories")
    refuse_repeated([row["id"] for row in rows], "category ids", path)
    return tuple(
        Category(
            name=row["name"],
            is_thing=bool(row["isthing"]),
            color=(0, 0, 0),  # nothing is drawn here
            dataset_id=row["id"],
        )
        for row in rows
    )


def image_names(images: Sequence[Any], annotations: Sequence[Row], path: str | Path) -> ImageNames:
    """The annotated images by id and name; the PNG's name serves where no image is listed.

    Args:
        images: Of the annotation file; may be empty.
        annotations: Of the annotation file.
        path: Of the file, for messages.

    Raises:
        ValueError: If an image lacks its id, or two annotations are of one image.
    """
    check_rows(images, {"id": IMAGE_ID}, f"{path}: images", optional={"file_name": (str,)})
    refuse_repeated([a["image_id"] for a in annotations], "image_ids of annotations", path)
    listed = {image["id"]: image.get("file_name") for image in images}
    return ImageNames(
        [
            {"id": a["image_id"], "file_name": listed.get(a["image_id"]) or a["file_name"]}
            for a in annotations
        ]
    )


def predicted_segments(
    entry: Row, labels: Mapping[int, int], where: str
) -> tuple[PredictedSegment, ...]:
    """The segments that a prediction lists for an image.

    Args:
        entry: Of the image.
        labels: Label of each category id.
        where: File and image, for messages.

    Raises:
        ValueError: If a segment lacks a key, or names an unknown category.
    """
    check_rows(entry["segments_info"], SEGMENT_KEYS, f"{where}: segments_info")
    return tuple(
        PredictedSegment(id=row["id"], label=_label(row, labels, where), score=1.0)
        for row in entry["segments_info"]
    )


def annotated_segments(entry: Row, labels: Mapping[int, int], where: str) -> tuple[Segment, ...]:
    """The segments that an annotation lists for an image.

    Args:
        entry: Of the image.
        labels: Label of each category id.
        where: File and image, for messages.

    Raises:
        ValueError: If a segment lacks a key, or names an unknown category.
    """
    check_rows(entry["segments_info"], SEGMENT_KEYS, f"{where}: segments_info", optional=TRUTH_KEYS)
    return tuple(
        Segment(
            id=row["id"],
            label=_label(row, labels, where),
            is_crowd=bool(row.get("iscrowd", 0)),
            area=None if "area" not in row else int(row["area"]),
        )
        for row in entry["segments_info"]
    )


def read_map(folder: str | Path, file_name: str) -> Int64[Tensor, "H W"]:
    """Read a panoptic PNG that the folder really holds.

    Args:
        folder: Of the PNGs.
        file_name: As the JSON names it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the name leads out of the folder, or the file is no panoptic PNG.
    """
    root = Path(folder).resolve()
    path = (root / file_name).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"file names must stay inside {str(root)!r}, got {file_name=}.")
    return read_panoptic_png(path)


def _predictions_by_image(path: str | Path, names: ImageNames) -> dict[int | str, Row]:
    rows = read_lists(path, ("annotations",))["annotations"]
    check_rows(rows, {"image_id": IMAGE_ID}, f"{path}: annotations")
    resolved = [(names.resolve(row["image_id"]), row) for row in rows]
    # subtle: predictions of other images may be of any form, nobody looks at them
    known = [(image_id, row) for image_id, row in resolved if image_id is not None]
    check_rows([row for _, row in known], MAP_KEYS, f"{path}: annotations")
    refuse_repeated([image_id for image_id, _ in known], "image_ids of predictions", path)
    return dict(known)


def _label(segment: Mapping[str, Any], labels: Mapping[int, int], where: str) -> int:
    category_id = segment["category_id"]
    if category_id not in labels:
        raise ValueError(
            f"{where}: a segment names a category that the annotation file does not list, "
            f"got {category_id=}; known are {sorted(labels)[:10]} ({len(labels)} in all)."
        )
    return labels[category_id]


def _with_progress(entries: Sequence[Row], progress: bool) -> Iterable[Row]:
    return tqdm(entries, desc="score", unit="image", disable=not progress)
