"""`minioneformer score`: prediction files of any program against annotation files.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: the figures (`evaluation/score_panoptic.py`, `evaluation/score_instance.py`,
`evaluation/score_semantic.py`).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from minioneformer.commands.shared import figures_text
from minioneformer.evaluation.score_instance import score_instance_files
from minioneformer.evaluation.score_panoptic import score_panoptic_files
from minioneformer.evaluation.score_semantic import score_semantic_files


def score_panoptic(*, gt_json: Path, gt_dir: Path, pred_json: Path, pred_dir: Path) -> None:
    """PQ, SQ and RQ of panoptic PNGs, as panopticapi has them.

    Args:
        gt_json: Annotation file in the COCO panoptic format.
        gt_dir: Folder of its PNGs.
        pred_json: Prediction file: image_id, file_name and segments_info of each image.
        pred_dir: Folder of its PNGs.
    """
    figures = score_panoptic_files(
        gt_json, gt_dir, pred_json, pred_dir, progress=sys.stderr.isatty()
    )
    _print(figures)


def score_instance(
    *, gt_json: Path, pred_json: Path, iou_type: Literal["segm", "bbox"] = "segm"
) -> None:
    """The twelve COCO figures of a results list, by pycocotools.

    Args:
        gt_json: Annotation file in the COCO instance format.
        pred_json: Results list: image_id, category_id, score, and segmentation or bbox.
        iou_type: Compare masks or boxes.
    """
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        figures = score_instance_files(gt_json, pred_json, iou_type=iou_type)
    for note in notes:
        print(f"minioneformer: warning: {note.message}", file=sys.stderr)
    _print(figures)


def score_semantic(
    *,
    gt_dir: Path,
    pred_dir: Path,
    num_classes: int,
    ignore_index: int = 255,
    reduce_zero_label: bool = False,
    pred_from_zero: bool = False,
    absent: Literal["skip", "zero"] | None = None,
    gt_json: Path | None = None,
    pred_json: Path | None = None,
) -> None:
    """mIoU, frequency weighted IoU and accuracies of label PNGs.

    Args:
        gt_dir: Folder of annotated PNGs: labels, or panoptic ones with a JSON beside the folder.
        pred_dir: Folder of predicted PNGs of the same names.
        num_classes: Labels are 0 to this, less one.
        ignore_index: Value of pixels that are of no class.
        reduce_zero_label: The files count classes from 1, and 0 is no class (ADE20K).
        pred_from_zero: The predictions count from 0 nevertheless, as `predict` writes them.
        absent: Whether a class that is nowhere is left out of the mean ("skip", Detectron2's
            rule) or counts as 0 ("zero", the ADE20K tool's); if not given, "zero" with
            reduce_zero_label and "skip" without.
        gt_json: Of panoptic annotations, if it is not beside their folder.
        pred_json: Of panoptic predictions, if it is not beside their folder.
    """
    figures = score_semantic_files(
        gt_dir,
        pred_dir,
        num_classes=num_classes,
        ignore_index=ignore_index,
        reduce_zero_label=reduce_zero_label,
        predictions_from_zero=pred_from_zero,
        absent=absent,
        annotation_json=gt_json,
        prediction_json=pred_json,
        progress=sys.stderr.isatty(),
    )
    _print(figures)


# tyro calls the function while it reads the words; `score` itself has nothing left to do
Kind = (
    Annotated[None, tyro.conf.subcommand("panoptic", constructor=score_panoptic)]
    | Annotated[None, tyro.conf.subcommand("instance", constructor=score_instance)]
    | Annotated[None, tyro.conf.subcommand("semantic", constructor=score_semantic)]
)


def score(*, kind: Annotated[Kind, tyro.conf.arg(name="")]) -> None:
    """Score prediction files of any program; print one JSON object of fractions.

    Args:
        kind: What the files hold.
    """


def _print(figures: Mapping[str, Any]) -> None:
    print(figures_text(figures))
