"""Average precision of instance masks.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

Masks become run lengths at once (a few hundred bytes each instead of a bit per pixel), so images
stream through; pycocotools scores them in the end. It takes detections of equal score in the order
of their images; here that is an order of ids, so the figures do not depend on who came first.

Not here: the scoring (`coco_scores.py`), the Cityscapes protocol (ten thresholds over eight
classes, with its own tool).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from pycocotools import mask as run_lengths
from torch import Tensor

from minioneformer.evaluation.coco_scores import AveragePrecisionResult, coco_scores
from minioneformer.evaluation.same_catalogue import check_same_catalogue
from minioneformer.evaluation.segment_positions import segment_positions
from minioneformer.structures import Category, InstancePrediction, Segment


class _TrueObject(NamedTuple):
    label: int
    runs: bytes
    area: float
    is_crowd: bool


class _FoundObject(NamedTuple):
    label: int
    runs: bytes
    score: float


class _Image(NamedTuple):
    """What one image adds. Sorted by id, images of one id by content."""

    order: tuple[int, str]
    size: tuple[int, int]  # (H, W)
    annotated: tuple[_TrueObject, ...]
    detected: tuple[_FoundObject, ...]


class AveragePrecision:
    """Collects predicted and annotated objects image by image.

    Only things take part. Of each image and class the hundred best detections count. A crowd
    is neither found nor missed, and detections inside it are not false.

    Args:
        categories: The catalogue; labels are positions in it.

    Example:
        One object, one detection of the same class with the same mask: every figure that is
        not nan is 1. The same detection with IoU 0.7 passes the thresholds 0.50 to 0.70, five
        of ten: AP = 0.5, AP50 = 1, AP75 = 0.

    Fidelity:
        The annotated objects are the thing segments of the panoptic annotation, as in the
        published figures ("COCO AP on panoptic-derived objects"). The official instance files
        hold some objects that the panoptic ones lack, and figures against them differ.
    """

    def __init__(self, categories: Sequence[Category]) -> None:
        self.categories = tuple(categories)
        self.images: list[_Image] = []

    def update(
        self,
        prediction: InstancePrediction,
        segment_map: Int[Tensor, "H W"],
        segments: Sequence[Segment],
        *,
        image_id: int | str = 0,
    ) -> None:
        """Add one image.

        Args:
            prediction: Scored masks; those of stuff are left out, none at all is fine.
            segment_map: Segment id of each pixel.
            segments: Of the annotation; stuff is left out.
            image_id: Among detections of equal score, those of the smallest id come first
                (numbers before texts); images that share an id are told apart by their content.

        Raises:
            ValueError: If masks and map differ in size, a label is not in the catalogue, or
                the map holds an id that is not listed.
        """
        if prediction.masks.shape[1:] != segment_map.shape:
            raise ValueError(
                f"prediction and annotation must have the same size, got "
                f"{tuple(prediction.masks.shape[1:])=}, {tuple(segment_map.shape)=}; "
                f"predict at the size of the annotation."
            )
        labels = prediction.labels.tolist()
        self._check_labels([*labels, *(s.label for s in segments)])
        scores = prediction.scores.tolist()
        detected = tuple(
            _FoundObject(label, encode_mask(prediction.masks[i])["counts"], scores[i])
            for i, label in enumerate(labels)
            if self.categories[label].is_thing
        )
        self.images.append(
            _Image(
                order=(image_id, "") if isinstance(image_id, int) else (sys.maxsize, image_id),
                size=(segment_map.shape[0], segment_map.shape[1]),
                annotated=self._annotated(segment_map, segments),
                detected=detected,
            )
        )

    def merge(self, other: AveragePrecision) -> None:
        """Add what another instance collected, e.g. that of another process.

        Args:
            other: Made with the same catalogue, from other images.

        Raises:
            ValueError: If the catalogues differ.
        """
        check_same_catalogue(self.categories, other.categories)
        self.images += other.images

    def compute(self) -> AveragePrecisionResult:
        """The result so far; collecting may go on."""
        things = {i: c.name for i, c in enumerate(self.categories) if c.is_thing}
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        detections: list[dict[str, Any]] = []
        for image_id, image in enumerate(sorted(self.images), start=1):
            height, width = image.size
            images.append({"id": image_id, "height": height, "width": width})
            annotations += [
                {
                    "id": len(annotations) + number,
                    "image_id": image_id,
                    "category_id": true.label,
                    "segmentation": {"size": [height, width], "counts": true.runs},
                    "area": true.area,
                    "iscrowd": int(true.is_crowd),
                }
                for number, true in enumerate(image.annotated, start=1)  # 0 would be unmatched
            ]
            detections += [
                {
                    "image_id": image_id,
                    "category_id": found.label,
                    "segmentation": {"size": [height, width], "counts": found.runs},
                    "score": found.score,
                }
                for found in image.detected
            ]
        return coco_scores(images, annotations, detections, things)

    def _annotated(
        self, segment_map: Int[Tensor, "H W"], segments: Sequence[Segment]
    ) -> tuple[_TrueObject, ...]:
        positions = segment_positions(segment_map, [s.id for s in segments])
        objects = []
        for i, segment in enumerate(segments):
            if self.categories[segment.label].is_thing:
                runs = encode_mask(positions == i)  # one at a time: large images have many
                area = run_lengths.area(runs) if segment.area is None else segment.area
                objects.append(
                    _TrueObject(segment.label, runs["counts"], float(area), segment.is_crowd)
                )
        return tuple(objects)

    def _check_labels(self, labels: Sequence[int]) -> None:
        unknown = [label for label in labels if not 0 <= label < len(self.categories)]
        if unknown:
            raise ValueError(
                f"labels are positions in the catalogue of {len(self.categories)} classes, "
                f"got {unknown=}."
            )


def encode_masks(masks: Bool[Tensor, "M H W"]) -> list[dict[str, Any]]:
    """Masks as COCO run lengths.

    Args:
        masks: True where the object is; M may be 0.

    Returns:
        One dictionary with `size` and `counts` (bytes) per mask.

    Example:
        A mask of 2 rows and 3 columns has `size` [2, 3]; its runs go down the columns.
    """
    return [encode_mask(mask) for mask in masks]


def encode_mask(mask: Bool[Tensor, "H W"]) -> dict[str, Any]:
    """A mask as COCO run lengths.

    Args:
        mask: True where the object is.

    Returns:
        `size` and `counts` (bytes).

    Example:
        Of the mask [[0, 1], [0, 1]] the runs are 2 and 2.
    """
    # subtle: COCO counts down the columns, so the mask must be contiguous column by column
    return run_lengths.encode(np.asfortranarray(mask.cpu().to(torch.uint8).numpy()))
