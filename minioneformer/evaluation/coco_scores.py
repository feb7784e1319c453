"""The twelve COCO figures, computed by pycocotools.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

pycocotools prints, wants files, and stumbles over empty lists of detections; this is the wall
around it. Annotations and detections are the dictionaries of the COCO format.

Not here: making those dictionaries from masks (`average_precision.py`).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FIGURES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragePrecisionResult:
    """The COCO figures as fractions; nan where nothing was annotated (pycocotools says -1).

    Args:
        ap: Average precision, mean over IoU thresholds 0.50, 0.55, ... 0.95 and over classes.
        ap50: The same at IoU threshold 0.50.
        ap75: The same at IoU threshold 0.75.
        ap_small: `ap` of objects below 32 x 32 pixels of area.
        ap_medium: `ap` of objects between 32 x 32 and 96 x 96 pixels.
        ap_large: `ap` of objects above 96 x 96 pixels.
        ar1: Average recall with one detection per image and class.
        ar10: The same with ten.
        ar100: The same with a hundred, the limit of all other figures too.
        ar_small: `ar100` of small objects.
        ar_medium: `ar100` of medium objects.
        ar_large: `ar100` of large objects.
        ap_per_class: `ap` of each class; nan for a class without annotation.
        names: Of the classes.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    ap_per_class: tuple[float, ...]
    names: tuple[str, ...]

    def to_dict(self) -> dict[str, float]:
        """The twelve figures."""
        return {name: getattr(self, name) for name in FIGURES}


def coco_scores(
    images: Sequence[dict[str, Any]],
    annotations: Sequence[dict[str, Any]],
    detections: Sequence[dict[str, Any]],
    class_names: dict[int, str],
    *,
    iou_type: Literal["segm", "bbox"] = "segm",
) -> AveragePrecisionResult:
    """Score detections against annotations.

    Args:
        images: With `id`, `height`, `width`; an image without detections counts as missed.
        annotations: With `id` (not 0), `image_id`, `category_id`, `area`, `iscrowd`, and
            `segmentation` or `bbox`.
        detections: With `image_id`, `category_id`, `score`, and `segmentation` (run lengths) or
            `bbox` (x, y, width, height); may be empty.
        class_names: By category id; other categories are left out.
        iou_type: What is compared.

    Returns:
        The figures; all nan if there are no annotations.

    Raises:
        ValueError: If a detection names an image that is not listed, or an annotation has id 0.
    """
    known = {image["id"] for image in images}
    strangers = sorted({d["image_id"] for d in detections if d["image_id"] not in known}, key=str)
    if strangers:
        raise ValueError(
            f"detections must be of listed images, got {strangers[:5]=}; "
            f"score them against the annotations they were made for."
        )
    zeros = sum(annotation["id"] == 0 for annotation in annotations)
    if zeros:  # pycocotools notes the id of the match, and reads 0 as "none"
        raise ValueError(f"annotation ids must not be 0, got {zeros=}; number them from 1.")
    categories = [{"id": i, "name": name} for i, name in class_names.items()]
    completed = [
        {**d, "id": i, "iscrowd": 0, "area": _area(d, iou_type)}
        for i, d in enumerate(detections, start=1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        true = _indexed(images, annotations, categories)
        found = _indexed(images, completed, categories)
        evaluation = COCOeval(true, found, iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"]  # (thresholds, recalls, classes, areas, limits)
    return AveragePrecisionResult(
        ap_per_class=tuple(_mean_of_measured(p[:, :, 0, -1]) for p in np.moveaxis(precision, 2, 0)),
        names=tuple(class_names[category_id] for category_id in evaluation.params.catIds),
        **{
            name: float(value) if value > -1 else float("nan")
            for name, value in zip(FIGURES, evaluation.stats, strict=True)
        },
    )


def _area(detection: dict[str, Any], iou_type: str) -> float:
    if iou_type == "segm":
        return float(run_lengths.area(detection["segmentation"]))
    return float(detection["bbox"][2] * detection["bbox"][3])


def _indexed(
    images: Sequence[dict[str, Any]],
    annotations: Sequence[dict[str, Any]],
    categories: Sequence[dict[str, Any]],
) -> COCO:
    """What `COCO(file)` and `loadRes` make, from memory and for empty lists too."""
    coco = COCO()
    coco.dataset = {
        "images": list(images),
        "annotations": [dict(a) for a in annotations],  # the evaluation writes into them
        "categories": list(categories),
    }
    coco.createIndex()
    return coco


def _mean_of_measured(precision: np.ndarray) -> float:
    measured = precision[precision > -1]
    return float(measured.mean()) if measured.size else float("nan")
