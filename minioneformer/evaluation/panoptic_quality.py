r"""Panoptic quality: how well predicted segments match annotated ones.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (the measure is that of "Panoptic Segmentation",
arXiv 1801.00868, Eq. 1); Figure 2 box: not drawn.

For class c, with TP the matched pairs, FP the unmatched predictions, FN the missed annotations:

$$PQ_c = \frac{\sum_{TP} IoU}{TP + FP/2 + FN/2}, \qquad SQ_c = \frac{\sum_{TP} IoU}{TP}, \qquad
  RQ_c = \frac{TP}{TP + FP/2 + FN/2}$$

Only counters are kept, so images stream through, and counters of several processes merge. The
counters are integers: the figures depend on no order and no sharing of work, to the last bit.

Not here: who matches whom in one image (`segment_overlap.py`), reading files
(`coco_panoptic_files.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from torch import Tensor

from minioneformer.evaluation.same_catalogue import check_same_catalogue
from minioneformer.evaluation.segment_overlap import SegmentOverlap
from minioneformer.structures import Category, PredictedSegment, Segment

IOU_UNITS = 2**53  # floats above 0.5 are multiples of 2**-53, so that sums of them are exact


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassQuality:
    """The counters of one class and what follows from them.

    Args:
        name: Of the class.
        is_thing: True for countable objects, False for stuff.
        iou_sum: Over the matched pairs.
        tp: Matched pairs.
        fp: Predicted segments without a match, ignored ones left out.
        fn: Annotated segments without a match, crowds left out.

    Example:
        One match of IoU 0.8 and one false alarm: RQ = 1 / 1.5, SQ = 0.8, PQ = 0.5333.
    """

    name: str
    is_thing: bool
    iou_sum: float
    tp: int
    fp: int
    fn: int

    @property
    def counts(self) -> bool:
        """True if the class was annotated or (wrongly) predicted at all: it enters averages."""
        return self.tp + self.fp + self.fn > 0

    @property
    def pq(self) -> float:
        """Panoptic quality in [0, 1]; 0 without a match."""
        return self.iou_sum / (self.tp + self.fp / 2 + self.fn / 2) if self.tp else 0.0

    @property
    def sq(self) -> float:
        """Segmentation quality, the mean IoU of the matches; 0 without a match."""
        return self.iou_sum / self.tp if self.tp else 0.0

    @property
    def rq(self) -> float:
        """Recognition quality, the F1 score of finding segments; 0 without a match."""
        return self.tp / (self.tp + self.fp / 2 + self.fn / 2) if self.tp else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PanopticQualityResult:
    """Averages over the classes that count; nan where no class does.

    Args:
        classes: Of the whole catalogue, in its order.
    """

    classes: tuple[ClassQuality, ...]

    def to_dict(self) -> dict[str, float]:
        """PQ, SQ and RQ of all classes, of things and of stuff, as fractions."""
        counting = [c for c in self.classes if c.counts]
        groups = {
            "": counting,
            "_things": [c for c in counting if c.is_thing],
            "_stuff": [c for c in counting if not c.is_thing],
        }
        values: dict[str, float] = {}
        for suffix, classes in groups.items():
            values["pq" + suffix] = _mean([c.pq for c in classes])
            values["sq" + suffix] = _mean([c.sq for c in classes])
            values["rq" + suffix] = _mean([c.rq for c in classes])
        return values

    @property
    def pq(self) -> float:
        """PQ of all classes."""
        return self.to_dict()["pq"]

    @property
    def pq_things(self) -> float:
        """PQ of things."""
        return self.to_dict()["pq_things"]

    @property
    def pq_stuff(self) -> float:
        """PQ of stuff."""
        return self.to_dict()["pq_stuff"]


class PanopticQuality:
    """Counts matches image by image.

    A predicted and an annotated segment match if their classes agree and their IoU exceeds 0.5,
    where the union leaves out the part of the prediction that lies on void. A crowd is never
    matched nor missed. A prediction without a match is a false alarm unless more than half of
    it lies on void or on a crowd of its class.

    Args:
        categories: The catalogue; labels are positions in it.

    Example:
        Annotation [[1, 1, 1, 1, 2]], prediction [[1, 1, 1, 2, 2]], both of one thing class:
        IoU 3/4 for the first pair and 1/2 (not above 0.5) for the second. TP 1, FP 1, FN 1:
        PQ = 0.75 / 2 = 0.375.

    Fidelity:
        Figures equal panopticapi's, two habits of which show: the area of an annotated segment
        is the one its file states, and of several crowds of one class in one image only the
        last excuses false alarms.
    """

    def __init__(self, categories: Sequence[Category]) -> None:
        self.categories = tuple(categories)
        self.iou_units = [0] * len(self.categories)  # subtle: int64 overflows at 1024 matches
        self.tp = np.zeros(len(self.categories), dtype=np.int64)  # (K,), and so on
        self.fp = np.zeros(len(self.categories), dtype=np.int64)
        self.fn = np.zeros(len(self.categories), dtype=np.int64)

    def update(
        self,
        predicted_map: Int[Tensor, "H W"],
        predicted_segments: Sequence[PredictedSegment],
        segment_map: Int[Tensor, "H_true W_true"],
        segments: Sequence[Segment],
    ) -> None:
        """Add one image.

        Args:
            predicted_map: Segment id of each pixel, 0 where nothing is predicted.
            predicted_segments: Of the prediction; one with id 0 turns those pixels into a
                segment like any other, as panopticapi has it.
            segment_map: Segment id of each pixel, 0 where nothing is annotated.
            segments: Of the annotation; may list segments without pixels (they are missed).

        Raises:
            ValueError: If the maps differ in size, a label is not in the catalogue, an id is
                listed twice, a map holds an id that its list lacks, a predicted segment has no
                pixel, or a stated area leaves nothing for a union.
        """
        image = SegmentOverlap.of(predicted_map, predicted_segments, segment_map, segments)
        self._check_labels(image)

        true, predicted, iou = image.matches()
        missed = ~image.is_crowd
        missed[true] = False
        false = image.excused_pixels() / image.predicted_areas <= 0.5
        false[predicted] = False

        for label, value in zip(image.labels[true].tolist(), iou.tolist(), strict=True):
            self.iou_units[label] += int(value * IOU_UNITS)
        np.add.at(self.tp, image.labels[true], 1)
        np.add.at(self.fn, image.labels[missed], 1)
        np.add.at(self.fp, image.predicted_labels[false], 1)

    def merge(self, other: PanopticQuality) -> None:
        """Add the counters of another instance, e.g. of another process.

        Args:
            other: Made with the same catalogue.

        Raises:
            ValueError: If the catalogues differ.
        """
        check_same_catalogue(self.categories, other.categories)
        self.iou_units = [a + b for a, b in zip(self.iou_units, other.iou_units, strict=True)]
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn

    def compute(self) -> PanopticQualityResult:
        """The result so far; counting may go on."""
        counters = zip(self.categories, self.iou_units, self.tp, self.fp, self.fn, strict=True)
        return PanopticQualityResult(
            classes=tuple(
                ClassQuality(
                    name=category.name,
                    is_thing=category.is_thing,
                    iou_sum=iou_units / IOU_UNITS,  # rounded once
                    tp=int(tp),
                    fp=int(fp),
                    fn=int(fn),
                )
                for category, iou_units, tp, fp, fn in counters
            )
        )

    def _check_labels(self, image: SegmentOverlap) -> None:
        labels = np.concatenate([image.labels, image.predicted_labels])
        unknown = labels[(labels < 0) | (labels >= len(self.categories))].tolist()
        if unknown:
            raise ValueError(
                f"labels are positions in the catalogue of {len(self.categories)} classes, "
                f"got {unknown=}."
            )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
