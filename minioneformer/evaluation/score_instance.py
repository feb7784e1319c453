"""The twelve COCO figures of files of any program.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

Masks stay run lengths, as they lie in the files. pycocotools trusts its input, so everything is
checked before it sees it.

Not here: the scoring (`coco_scores.py`), masks of a model (`average_precision.py`), masks of files
(`given_masks.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pycocotools import mask as run_lengths

from minioneformer.evaluation.coco_scores import FIGURES, coco_scores
from minioneformer.evaluation.given_masks import Size, given_runs
from minioneformer.evaluation.score_files import (
    IMAGE_ID,
    NUMBER,
    ImageNames,
    KeyTypes,
    Row,
    check_rows,
    is_number,
    read_json,
    read_lists,
    refuse_repeated,
)

USUAL_NAMES = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
)
IMAGE_KEYS: KeyTypes = {"id": IMAGE_ID, "height": (int,), "width": (int,)}
CATEGORY_KEYS: KeyTypes = {"id": (int,), "name": (str,)}
TRUTH_KEYS: KeyTypes = {"id": (int,), "image_id": IMAGE_ID, "category_id": (int,), "area": NUMBER}
FOUND_KEYS: KeyTypes = {"image_id": IMAGE_ID, "category_id": (int,), "score": NUMBER}


def score_instance_files(
    annotation_json: str | Path,
    prediction_json: str | Path,
    *,
    iou_type: Literal["segm", "bbox"] = "segm",
) -> dict[str, float]:
    """Average precision and recall of files of any program.

    Args:
        annotation_json: A COCO instance file: `images`, `annotations`, `categories`.
        prediction_json: A COCO results list: `image_id`, `category_id`, `score`, and
            `segmentation` (run lengths or polygons) or `bbox`. An image is named by the
            annotation file's id, or by its file name without folder and ending.
        iou_type: Whether masks or boxes are compared. Boxes are taken from the masks where a
            result has none.

    Returns:
        `AP`, `AP50`, `AP75`, `APs`, `APm`, `APl`, `AR1`, `AR10`, `AR100`, `ARs`, `ARm`, `ARl` as
        fractions; nan where nothing is annotated.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file does not have the format, a result is of an image that is not
            listed, a mask has another size than its image, or run lengths do not fill it.

    Warns:
        UserWarning: If results name categories that the annotation file does not list; they are
            left out, as by pycocotools.
    """
    truth = _read_truth(annotation_json, iou_type)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    names = {row["id"]: row["name"] for row in truth["categories"]}
    annotations = [
        {"iscrowd": 0, **row, **_shape(row, sizes, iou_type, f"{annotation_json}, annotation {i}")}
        for i, row in enumerate(truth["annotations"])
    ]
    detections = _detections(prediction_json, ImageNames(truth["images"]), sizes, iou_type)
    _warn_of_strangers(detections, names, prediction_json)
    result = coco_scores(truth["images"], annotations, detections, names, iou_type=iou_type)
    figures = result.to_dict()
    return {usual: figures[name] for usual, name in zip(USUAL_NAMES, FIGURES, strict=True)}


def _read_truth(path: str | Path, iou_type: str) -> dict[str, list[Row]]:
    truth = read_lists(path, ("images", "annotations", "categories"))
    shape: KeyTypes = {"segmentation": (list, dict)} if iou_type == "segm" else {"bbox": (list,)}
    check_rows(truth["images"], IMAGE_KEYS, f"{path}: images", optional={"file_name": (str,)})
    check_rows(truth["categories"], CATEGORY_KEYS, f"{path}: categories")
    check_rows(
        truth["annotations"],
        {**TRUTH_KEYS, **shape},
        f"{path}: annotations",
        optional={"iscrowd": (int,)},
    )
    refuse_repeated([row["id"] for row in truth["categories"]], "category ids", path)
    refuse_repeated([row["id"] for row in truth["images"]], "image ids", path)
    return truth


def _detections(
    path: str | Path, images: ImageNames, sizes: Mapping[int | str, Size], iou_type: str
) -> list[Row]:
    rows = read_json(path)
    if not isinstance(rows, list):
        raise ValueError(
            f"{path}: results must be a list of image_id, category_id, score and segmentation "
            f"or bbox, got a {type(rows).__name__}."
        )
    check_rows(rows, FOUND_KEYS, f"{path}", optional={"bbox": (list,)})
    detections = []
    for i, row in enumerate(rows):
        image_id = images.resolve(row["image_id"])
        if image_id is None:
            raise ValueError(
                f"{path}, entry {i}: results must be of images that the annotation file lists, "
                f"got image_id={row['image_id']!r}."
            )
        named = {**row, "image_id": image_id}
        detections.append({**named, **_shape(named, sizes, iou_type, f"{path}, entry {i}")})
    return detections


def _shape(row: Row, sizes: Mapping[int | str, Size], iou_type: str, where: str) -> Row:
    """The mask as compressed run lengths, or the box."""
    if iou_type == "bbox" and "bbox" in row:
        return {"bbox": _box(row["bbox"], where)}
    if row.get("segmentation") is None:
        raise ValueError(f"{where}: needs a {'segmentation' if iou_type == 'segm' else 'bbox'}.")
    if row["image_id"] not in sizes:
        raise ValueError(f"{where}: its image is not listed, got image_id={row['image_id']!r}.")
    runs = given_runs(row["segmentation"], sizes[row["image_id"]], where)
    if iou_type == "bbox":
        return {"bbox": run_lengths.toBbox(runs).tolist()}
    return {"segmentation": runs}


def _box(numbers: list[Any], where: str) -> list[Any]:
    if len(numbers) != 4 or not all(is_number(n) for n in numbers) or min(numbers[2:]) < 0:
        raise ValueError(
            f"{where}: a box must be left, top, width and height, got bbox={str(numbers)[:60]}."
        )
    return numbers


def _warn_of_strangers(
    detections: Sequence[Row], names: Mapping[int, str], path: str | Path
) -> None:
    strangers = sorted({d["category_id"] for d in detections if d["category_id"] not in names})
    if strangers:
        warnings.warn(
            f"{path}: results of categories that the annotation file does not list are left out, "
            f"got category ids {strangers[:5]} ({len(strangers)} in all).",
            stacklevel=3,
        )
