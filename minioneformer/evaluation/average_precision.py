"""Average precision of instance masks.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

Masks become run lengths at once (a few hundred bytes each instead of a bit per pixel), so images
stream through; pycocotools scores them in the end.

Not here: the scoring (`coco_scores.py`), the Cityscapes protocol (ten thresholds over eight
classes, with its own tool).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from pycocotools import mask as run_lengths
from torch import Tensor

from minioneformer.evaluation.coco_scores import AveragePrecisionResult, coco_scores
from minioneformer.evaluation.segment_positions import segment_positions
from minioneformer.structures import Category, InstancePrediction, Segment


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
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.detections: list[dict[str, Any]] = []

    def update(
        self,
        prediction: InstancePrediction,
        segment_map: Int[Tensor, "H W"],
        segments: Sequence[Segment],
    ) -> None:
        """Add one image.

        Args:
            prediction: Scored masks; those of stuff are left out, none at all is fine.
            segment_map: Segment id of each pixel.
            segments: Of the annotation; stuff is left out.

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
        image_id = len(self.images) + 1
        height, width = segment_map.shape
        self.images.append({"id": image_id, "height": height, "width": width})
        self._add_annotations(image_id, segment_map, segments)

        kept = [i for i, label in enumerate(labels) if self.categories[label].is_thing]
        scores = prediction.scores.tolist()
        for i in kept:
            self.detections.append(
                {
                    "image_id": image_id,
                    "category_id": labels[i],
                    "segmentation": encode_mask(prediction.masks[i]),
                    "score": scores[i],
                }
            )

    def merge(self, other: AveragePrecision) -> None:
        """Add what another instance collected, e.g. that of another process.

        Args:
            other: Made with the same catalogue, from other images.

        Raises:
            ValueError: If the catalogues differ.
        """
        if self.categories != other.categories:
            raise ValueError(
                f"only results of one catalogue can be merged, got {len(self.categories)=}, "
                f"{len(other.categories)=} with other entries."
            )
        images, annotations = len(self.images), len(self.annotations)
        self.images += [{**x, "id": x["id"] + images} for x in other.images]
        self.annotations += [
            {**x, "id": x["id"] + annotations, "image_id": x["image_id"] + images}
            for x in other.annotations
        ]
        self.detections += [{**x, "image_id": x["image_id"] + images} for x in other.detections]

    def compute(self) -> AveragePrecisionResult:
        """The result so far; collecting may go on."""
        things = {i: c.name for i, c in enumerate(self.categories) if c.is_thing}
        return coco_scores(self.images, self.annotations, self.detections, things)

    def _add_annotations(
        self, image_id: int, segment_map: Int[Tensor, "H W"], segments: Sequence[Segment]
    ) -> None:
        positions = segment_positions(segment_map, [s.id for s in segments])
        things = [i for i, s in enumerate(segments) if self.categories[s.label].is_thing]
        for i in things:
            runs = encode_mask(positions == i)  # one at a time: large images have many
            area = segments[i].area
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,  # 0 would count as unmatched
                    "image_id": image_id,
                    "category_id": segments[i].label,
                    "segmentation": runs,
                    "area": float(run_lengths.area(runs)) if area is None else float(area),
                    "iscrowd": int(segments[i].is_crowd),
                }
            )

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
