"""mIoU of files of any program.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

Every PNG of the annotations is compared with the PNG of the same name, one pair at a time; only
the confusion matrix is kept. A grey or palette PNG holds labels. An RGB PNG is a panoptic one,
and the JSON beside its folder says what its segments are.

Not here: counting (`mean_iou.py`), reading (`label_folder.py`), the Cityscapes protocol
(`cityscapes_protocol.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from minioneformer.evaluation.label_folder import LabelFolder
from minioneformer.evaluation.mean_iou import MeanIoU
from minioneformer.structures import Category

IGNORED = -1
MISSING = -2
MOST_CLASSES = 10_000  # pairs of them are counted


def score_semantic_files(
    annotation_dir: str | Path,
    prediction_dir: str | Path,
    *,
    num_classes: int,
    ignore_index: int = 255,
    reduce_zero_label: bool = False,
    predictions_from_zero: bool = False,
    absent: Literal["skip", "zero"] | None = None,
    annotation_json: str | Path | None = None,
    prediction_json: str | Path | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Labels of pixels against labels of pixels.

    Args:
        annotation_dir: Its PNGs, those of subfolders included, decide what is compared.
        prediction_dir: Holds a PNG of the same name for each of them.
        num_classes: Labels are 0 .. num_classes - 1.
        ignore_index: Annotated pixels of this value do not count; a predicted one is of no class
            and counts as wrong.
        reduce_zero_label: Whether files count classes from 1, and 0 means "none of them": it is
            ignored where annotated, of no class where predicted.
        predictions_from_zero: With `reduce_zero_label`: predictions count from 0 nevertheless, as
            `minioneformer predict` writes them.
        absent: What a class that is neither annotated nor predicted does to the mean: "skip" is
            Detectron2's rule, "zero" that of the ADE20K tool. None takes the rule of the tool
            whose format it is: "zero" with `reduce_zero_label`, "skip" without.
        annotation_json: Of panoptic PNGs; None looks for `{annotation_dir}.json`.
        prediction_json: Of panoptic PNGs; None looks for `{prediction_dir}.json`.
        progress: Whether to draw a progress bar on the standard error.

    Returns:
        `miou`, `fwiou`, `macc`, `pacc` as fractions, nan where nothing is annotated, and
        `per_class`: for each label `iou` and `acc`, nan for a class that is nowhere.

    Raises:
        FileNotFoundError: If there is no annotation, or no prediction for one.
        ValueError: If a file is no map of labels, two maps differ in size, a value is neither
            a label nor ignored, or there are no classes or too many to count their pairs.

    Example:
        Annotation [[0, 0, 1, 255]], prediction [[0, 1, 1, 1]]: IoU 1/2 and 1/2, `pacc` 2/3.

    Fidelity:
        Means over classes as Detectron2 or as the ADE20K tool, see `absent`. Crowds of panoptic
        annotations are ignored, as everywhere in this package; Detectron2's converter keeps them
        as their class.
    """
    if not 1 <= num_classes <= MOST_CLASSES:
        raise ValueError(f"there must be 1 .. {MOST_CLASSES} classes, got {num_classes=}.")
    catalogue = [
        Category(name=str(i), is_thing=False, color=(0, 0, 0), dataset_id=i)
        for i in range(num_classes)
    ]
    rule = absent or ("zero" if reduce_zero_label else "skip")
    metric = MeanIoU(catalogue, ignore_label=IGNORED, missing_label=MISSING, absent=rule)
    truth = LabelFolder(
        annotation_dir,
        annotation_json,
        num_classes=num_classes,
        ignore_index=ignore_index,
        from_one=reduce_zero_label,
    )
    found = LabelFolder(
        prediction_dir,
        prediction_json,
        num_classes=num_classes,
        ignore_index=ignore_index,
        from_one=reduce_zero_label and not predictions_from_zero,
        categories_of=truth,
    )
    for name in tqdm(truth.names(), desc="score", unit="image", disable=not progress):
        annotated = truth.read(name, outside=IGNORED)
        predicted = found.read(name, outside=MISSING)
        try:
            metric.update(predicted, annotated)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    result = metric.compute()
    per_class = zip(result.iou, result.accuracy, strict=True)
    return {
        **result.to_dict(),
        "per_class": {i: {"iou": iou, "acc": acc} for i, (iou, acc) in enumerate(per_class)},
    }
