r"""Mean intersection over union: how well pixels are labelled.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

One confusion matrix over all pixels of all images. With g_c pixels annotated as class c, p_c
predicted as c, and t_c both:

$$IoU_c = \frac{t_c}{g_c + p_c - t_c}, \qquad mIoU = \text{mean of } IoU_c$$

Not here: sliding windows or averaging over scales (the predictions come as they are).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, Int64
from numpy import ndarray
from torch import Tensor

from minioneformer.evaluation.same_catalogue import check_same_catalogue
from minioneformer.evaluation.segment_positions import segment_positions
from minioneformer.structures import Category, Segment

IGNORE_LABEL = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanIoUResult:
    """Fractions; nan where nothing was there to measure.

    Args:
        miou: Mean of the classes' IoU; see `MeanIoU` for which classes.
        fwiou: Mean of the classes' IoU, weighted by their share of the annotated pixels.
        macc: Mean over annotated classes of the share of their pixels that is found.
        pacc: Share of the annotated pixels that is right.
        iou: Per class, in the order of the catalogue; nan for a class that is neither annotated
            nor predicted.
        accuracy: Per class, the share of its annotated pixels that is found; nan for a class that
            is not annotated.
        names: Of the classes.
    """

    miou: float
    fwiou: float
    macc: float
    pacc: float
    iou: tuple[float, ...]
    accuracy: tuple[float, ...]
    names: tuple[str, ...]

    def to_dict(self) -> dict[str, float]:
        """The four averages, as fractions."""
        return {"miou": self.miou, "fwiou": self.fwiou, "macc": self.macc, "pacc": self.pacc}


class MeanIoU:
    """Counts pixels image by image.

    A class that is annotated or predicted somewhere enters the mean; one that is predicted but
    never annotated enters with 0. What happens to a class that is neither is the choice
    `absent`.

    Args:
        categories: The catalogue; labels are positions in it.
        ignore_label: Marks annotated pixels that do not count; not a label.
        missing_label: Marks predicted pixels that are of no class: wrong where something is
            annotated, and nobody's false alarm. None refuses them.
        absent: "skip" leaves classes that are nowhere out of the mean; "zero" counts them as 0,
            as the ADE20K scene parsing tool does.

    Raises:
        ValueError: If `ignore_label` is a label of the catalogue, or `absent` is another word.

    Example:
        Annotation [[0, 0, 1, 255]], prediction [[0, 1, 1, 1]], 3 classes: IoU is 1/2 and 1/2,
        class 2 is nowhere. mIoU = 0.5 with "skip", 0.3333 with "zero"; pixel accuracy 2/3.

    Fidelity:
        "skip" is the rule of Detectron2 0.6, with which the published figures were made; later
        versions also leave out classes that are predicted but never annotated.
    """

    def __init__(
        self,
        categories: Sequence[Category],
        *,
        ignore_label: int = IGNORE_LABEL,
        missing_label: int | None = None,
        absent: str = "skip",
    ) -> None:
        if 0 <= ignore_label < len(categories):
            raise ValueError(
                f"ignore_label must not be one of the {len(categories)} labels, "
                f"got {ignore_label=}; -1 always works."
            )
        if absent not in ("skip", "zero"):
            raise ValueError(f"absent must be 'skip' or 'zero', got {absent=}.")
        self.categories = tuple(categories)
        self.ignore_label = ignore_label
        self.missing_label = missing_label
        self.absent = absent
        num_classes = len(self.categories)
        self.confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64)  # [true, found]
        self.missing = torch.zeros(num_classes, dtype=torch.int64)  # annotated, of no class found

    def update(
        self, predicted: Int[Tensor, "H W"], annotated: Int[Tensor, "H_true W_true"]
    ) -> None:
        """Add one image.

        Args:
            predicted: Label of each pixel.
            annotated: Label of each pixel, or `ignore_label`.

        Raises:
            ValueError: If the maps differ in size, or hold something that is no label.
        """
        if predicted.shape != annotated.shape:
            raise ValueError(
                f"prediction and annotation must have the same size, got "
                f"{tuple(predicted.shape)=}, {tuple(annotated.shape)=}; "
                f"predict at the size of the annotation."
            )
        predicted, annotated = predicted.cpu().long(), annotated.cpu().long()
        valid = annotated != self.ignore_label
        self._check_labels("annotated", annotated[valid])
        if self.missing_label is not None:
            missing = valid & (predicted == self.missing_label)
            self.missing += torch.bincount(annotated[missing], minlength=len(self.missing))
            valid &= ~missing
            self._check_labels("predicted", predicted[predicted != self.missing_label])
        else:
            self._check_labels("predicted", predicted)
        num_classes = len(self.categories)
        pairs = annotated[valid] * num_classes + predicted[valid]
        counts = torch.bincount(pairs, minlength=num_classes**2)
        self.confusion += counts.reshape(num_classes, num_classes)

    def merge(self, other: MeanIoU) -> None:
        """Add the counters of another instance, e.g. of another process.

        Args:
            other: Made with the same catalogue.

        Raises:
            ValueError: If the catalogues differ.
        """
        check_same_catalogue(self.categories, other.categories)
        self.confusion += other.confusion
        self.missing += other.missing

    def compute(self) -> MeanIoUResult:
        """The result so far; counting may go on."""
        confusion = self.confusion.double().numpy()
        right, found = confusion.diagonal(), confusion.sum(0)
        true = confusion.sum(1) + self.missing.double().numpy()
        union = true + found - right
        iou, accuracy = _share(right, union), _share(right, true)
        in_mean = iou[union > 0] if self.absent == "skip" else np.nan_to_num(iou)
        return MeanIoUResult(
            miou=_mean(in_mean),
            fwiou=float((np.nan_to_num(iou) * _share(true, true.sum())).sum()),
            macc=_mean(accuracy[true > 0]),
            pacc=float(_share(right.sum(), true.sum())),
            iou=tuple(iou.tolist()),
            accuracy=tuple(accuracy.tolist()),
            names=tuple(c.name for c in self.categories),
        )

    def _check_labels(self, name: str, labels: Int[Tensor, " *pixels"]) -> None:
        unknown = labels[(labels < 0) | (labels >= len(self.categories))].unique()[:5].tolist()
        if unknown:
            raise ValueError(
                f"{name} labels are positions in the catalogue of {len(self.categories)} classes, "
                f"got {unknown=} (ignore_label is {self.ignore_label})."
            )


def semantic_labels(
    segment_map: Int[Tensor, "H W"],
    segments: Sequence[Segment],
    *,
    ignore_label: int = IGNORE_LABEL,
) -> Int64[Tensor, "H W"]:
    """The label of each pixel's segment.

    Args:
        segment_map: Segment id of each pixel.
        segments: Of the annotation.
        ignore_label: For void pixels and crowds.

    Returns:
        A map as `MeanIoU.update` takes it.

    Raises:
        ValueError: If the map holds an id that is not listed.

    Example:
        The map [[5, 0, 9]] with segment 5 of label 2 and crowd 9 gives [[2, 255, 255]].
    """
    labels = [ignore_label if s.is_crowd else s.label for s in segments]
    positions = segment_positions(segment_map, [s.id for s in segments])
    return torch.tensor([*labels, ignore_label])[positions]  # position -1, void, is the last


def _share(part: ndarray | np.floating, whole: ndarray | np.floating) -> ndarray:
    """The ratio, nan where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _mean(values: ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
