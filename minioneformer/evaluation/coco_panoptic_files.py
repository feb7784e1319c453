"""Panoptic quality of predictions on disk, in the COCO panoptic format.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

Takes the four paths that the official tool takes, so that results of other programs can be
compared.

Not here: reading a training set (`data/coco.py`), which also checks what it reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minioneformer.evaluation.panoptic_quality import PanopticQuality, PanopticQualityResult
from minioneformer.panoptic_png import read_panoptic_png
from minioneformer.structures import Category, PredictedSegment, Segment


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
        FileNotFoundError: If a PNG does not exist.
        ValueError: If an annotated image has no prediction, a file name leads out of its
            folder, a category is unknown, or a map contradicts its list of segments
            (see `PanopticQuality.update`).
    """
    annotations = json.loads(Path(annotation_json).read_text())
    categories, labels = _categories(annotations["categories"])
    predictions = json.loads(Path(prediction_json).read_text())["annotations"]
    prediction_of_image = {entry["image_id"]: entry for entry in predictions}
    quality = PanopticQuality(categories)
    for entry in annotations["annotations"]:
        image_id = entry["image_id"]
        if image_id not in prediction_of_image:
            raise ValueError(
                f"every annotated image needs a prediction, got none for {image_id=}; "
                f"list it with no segments and an all-zero PNG if nothing was found."
            )
        prediction = prediction_of_image[image_id]
        quality.update(
            read_panoptic_png(_inside(prediction_dir, prediction["file_name"])),
            [
                PredictedSegment(id=s["id"], label=_label(s, labels), score=1.0)
                for s in prediction["segments_info"]
            ],
            read_panoptic_png(_inside(annotation_dir, entry["file_name"])),
            [
                Segment(
                    id=s["id"],
                    label=_label(s, labels),
                    is_crowd=bool(s["iscrowd"]),
                    area=s["area"],
                )
                for s in entry["segments_info"]
            ],
        )
    return quality.compute()


def _categories(
    entries: list[dict[str, Any]],
) -> tuple[tuple[Category, ...], Mapping[int, int]]:
    """The catalogue in file order, and the label of each category id."""
    categories = tuple(
        Category(
            name=entry["name"],
            is_thing=bool(entry["isthing"]),
            color=(0, 0, 0),  # nothing is drawn here
            dataset_id=entry["id"],
        )
        for entry in entries
    )
    return categories, {c.dataset_id: label for label, c in enumerate(categories)}


def _label(segment: Mapping[str, Any], labels: Mapping[int, int]) -> int:
    category_id = segment["category_id"]
    if category_id not in labels:
        raise ValueError(
            f"a segment names a category that the annotation file does not list, "
            f"got {category_id=}; known are {sorted(labels)[:10]} ({len(labels)} in all)."
        )
    return labels[category_id]


def _inside(folder: str | Path, file_name: str) -> Path:
    """The path of a file that the folder really holds."""
    root = Path(folder).resolve()
    path = (root / file_name).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"file names must stay inside {str(root)!r}, got {file_name=}.")
    return path
