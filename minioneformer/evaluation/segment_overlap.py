"""Which predicted segments match which annotated ones.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (the rules are those of "Panoptic Segmentation",
arXiv 1801.00868, Sec. 4.1); Figure 2 box: not drawn.

One image at a time. A pair matches if the classes agree and the IoU exceeds 0.5; because
segments of one map are disjoint, each has then at most one partner and nothing is optimised.

Not here: counting over images (`panoptic_quality.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from minioneformer.evaluation.segment_positions import segment_positions
from minioneformer.structures import PredictedSegment, Segment


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentOverlap:
    """Pixel counts of one image: G annotated segments against P predicted ones.

    Args:
        overlap: Pixels that a pair shares.
        on_void: Pixels of each prediction where nothing is annotated.
        areas: Of the annotated segments, as their file states them, else counted.
        predicted_areas: Counted, void included.
        labels: Of the annotated segments.
        predicted_labels: Of the predicted segments.
        is_crowd: True where an annotated segment is a crowd.

    Example:
        Annotation [[1, 1, 1, 1, 2]], prediction [[1, 1, 1, 2, 2]]: `overlap` is
        [[3, 1], [0, 1]]. With one label for all, only the first pair matches, with IoU 3/4:
        the second pair's is 1/2, which is not above 0.5.
    """

    overlap: Int[ndarray, "G P"]
    on_void: Int[ndarray, " P"]
    areas: Int[ndarray, " G"]
    predicted_areas: Int[ndarray, " P"]
    labels: Int[ndarray, " G"]
    predicted_labels: Int[ndarray, " P"]
    is_crowd: Bool[ndarray, " G"]

    @classmethod
    def of(
        cls,
        predicted_map: Int[Tensor, "H W"],
        predicted_segments: Sequence[PredictedSegment],
        segment_map: Int[Tensor, "H_true W_true"],
        segments: Sequence[Segment],
    ) -> SegmentOverlap:
        """Count the pixels of one image.

        Args:
            predicted_map: Segment id of each pixel, 0 where nothing is predicted.
            predicted_segments: Of the prediction.
            segment_map: Segment id of each pixel, 0 where nothing is annotated.
            segments: Of the annotation.

        Raises:
            ValueError: If the maps differ in size, an id is listed twice, a map holds an id
                that its list lacks, or a predicted segment has no pixel.
        """
        if predicted_map.shape != segment_map.shape:
            raise ValueError(
                f"prediction and annotation must have the same size, got "
                f"{tuple(predicted_map.shape)=}, {tuple(segment_map.shape)=}; "
                f"predict at the size of the annotation."
            )
        rows, columns = len(segments) + 1, len(predicted_segments) + 1
        row = segment_positions(segment_map, [s.id for s in segments]) + 1  # 0 is void
        column = segment_positions(predicted_map, [s.id for s in predicted_segments]) + 1
        pairs = torch.bincount((row * columns + column).flatten(), minlength=rows * columns)
        counts = pairs.reshape(rows, columns).numpy()  # (G + 1, P + 1)

        predicted_areas = counts[:, 1:].sum(0)
        empty = [s.id for s, n in zip(predicted_segments, predicted_areas, strict=True) if n == 0]
        if empty:
            raise ValueError(f"every predicted segment needs a pixel, got {empty=} without one.")
        counted = counts[1:].sum(1)
        stated = [s.area for s in segments]
        return cls(
            overlap=counts[1:, 1:],
            on_void=counts[0, 1:],
            areas=np.array(
                [n if a is None else a for a, n in zip(stated, counted, strict=True)], np.int64
            ),
            predicted_areas=predicted_areas,
            labels=np.array([s.label for s in segments], np.int64),
            predicted_labels=np.array([s.label for s in predicted_segments], np.int64),
            is_crowd=np.array([s.is_crowd for s in segments], np.bool_),
        )

    def matches(self) -> tuple[Int[ndarray, " M"], Int[ndarray, " M"], Float[ndarray, " M"]]:
        """Positions of the matched pairs, annotated and predicted, and their IoU.

        Raises:
            ValueError: If a stated area leaves nothing for a union.
        """
        same_class = self.labels[:, None] == self.predicted_labels
        true, predicted = np.nonzero((self.overlap > 0) & same_class & ~self.is_crowd[:, None])
        shared = self.overlap[true, predicted]
        # subtle: pixels of the prediction on void are nobody's mistake, they leave the union
        union = self.areas[true] + self.predicted_areas[predicted] - shared
        union = union - self.on_void[predicted]
        if not union.all():
            stated = self.areas[true][union == 0].tolist()
            raise ValueError(f"stated areas must be those of the pixels, got {stated=} of more.")
        iou = shared / union
        return true[iou > 0.5], predicted[iou > 0.5], iou[iou > 0.5]

    def excused_pixels(self) -> Int[ndarray, " P"]:
        """Pixels of each prediction on void or on the crowd of its class."""
        excused = self.on_void.copy()
        crowd_of_class = {int(self.labels[i]): i for i in np.flatnonzero(self.is_crowd)}
        for i, label in enumerate(self.predicted_labels.tolist()):
            if label in crowd_of_class:
                excused[i] += self.overlap[crowd_of_class[label], i]
        return excused
