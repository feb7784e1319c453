"""`minioneformer evaluate`.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: the metrics (`evaluation/`).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from minioneformer.commands.shared import (
    EVALUATION_BATCH,
    figures_text,
    load,
    write_figures,
)
from minioneformer.data.cityscapes import Cityscapes
from minioneformer.data.cityscapes_panoptic import CityscapesPanoptic
from minioneformer.data.named import open_for_evaluation
from minioneformer.evaluation.cityscapes_protocol import evaluate_cityscapes
from minioneformer.evaluation.evaluation_result import token_table
from minioneformer.evaluation.evaluator import evaluate as evaluate_own_tokens
from minioneformer.evaluation.evaluator import evaluate_all_tokens
from minioneformer.inference.predictor import Predictor
from minioneformer.inference.test_time_augmentation import MultiScalePredictor
from minioneformer.processes import is_main
from minioneformer.structures import TASKS, Category
from minioneformer.training.parts import build_predictor


def evaluate(
    weights: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WEIGHTS")],
    /,
    *,
    dataset: str,
    data_root: Path | None = None,
    split: str = "val",
    images: int | None = None,
    all_tokens: bool = False,
    scales: tuple[int, ...] = (),
    cityscapes_results: Path | None = None,
    output: Path = Path("metrics.json"),
) -> None:
    """Score a model: PQ, AP and mIoU, each with its own task token.

    Started by torchrun, the processes share the images; the figures are the same.

    Args:
        weights: Folder of a model or of a run, a name on the hub, or "toy".
        dataset: "toy", or what lies below the data root: "coco_panoptic", "coco", "ade20k",
            "cityscapes", "mapillary_vistas", or "own" (described in dataset.json).
        data_root: Folder of the data set, if it is not generated.
        split: Which part of it.
        images: How many generated images, 200 if not given; files are all used.
        all_tokens: Every metric under every token, a table of 3 x 3.
        scales: Shorter sides of images in pixels: mIoU alone, votes averaged over these sizes and
            their mirror images ("ms+flip").
        cityscapes_results: Cityscapes by its own tool (extra `cityscapes`): AP, IoU and iIoU of
            result files, which are written to this folder.
        output: JSON file for the figures, in percent.
    """
    chosen = [bool(scales), all_tokens, cityscapes_results is not None]
    if sum(chosen) > 1:
        raise ValueError(
            "--scales, --all-tokens and --cityscapes-results are three ways to score, got "
            f"{sum(chosen)} of them. Several scales are for mIoU alone."
        )
    if output.is_dir():
        raise IsADirectoryError(f"the figures go to a file, got the folder {str(output)!r}.")
    pretrained = load(weights)
    samples = open_for_evaluation(
        dataset, root=data_root, split=split, images=images, categories=pretrained.categories
    )
    predictor = build_predictor(pretrained)
    output.parent.mkdir(parents=True, exist_ok=True)  # fails now, not after the work
    if cityscapes_results is not None:
        text, figures = _score_by_cityscapes_tool(
            predictor, samples, pretrained.categories, data_root, split, cityscapes_results
        )
    else:
        batch_size = EVALUATION_BATCH if dataset == "toy" else 1
        score = _score_all_tokens if all_tokens else partial(_score, scales=scales)
        text, figures = score(predictor, samples, batch_size)
    if is_main():
        print(text)
        write_figures(output, figures)
        print(f"wrote {output}" + (f" and {cityscapes_results}" if cityscapes_results else ""))


def _score(
    predictor: Predictor, samples: Any, batch_size: int, *, scales: tuple[int, ...]
) -> tuple[str, dict[str, Any]]:
    """Each metric that the labels can measure with its own token."""
    views = MultiScalePredictor(predictor=predictor, shortest_edges=scales) if scales else None
    result = evaluate_own_tokens(
        views or predictor,
        samples,
        categories=predictor.categories,
        tasks=samples.tasks if views is None else ("semantic",),
        batch_size=batch_size,
        progress=sys.stderr.isatty(),
    )
    return result.table(), result.to_dict()


def _score_all_tokens(
    predictor: Predictor, samples: Any, batch_size: int
) -> tuple[str, dict[str, Any]]:
    """Every metric with every token."""
    if samples.tasks != TASKS:
        raise ValueError(
            f"the table of all tokens needs labels for all tasks, got {', '.join(samples.tasks)}: "
            "leave --all-tokens out."
        )
    results = evaluate_all_tokens(
        predictor,
        samples,
        categories=predictor.categories,
        batch_size=batch_size,
        progress=sys.stderr.isatty(),
    )
    return token_table(results), {token: row.to_dict() for token, row in results.items()}


def _score_by_cityscapes_tool(
    predictor: Any,
    samples: Any,
    categories: Sequence[Category],
    data_root: Path | None,
    split: str,
    folder: Path,
) -> tuple[str, dict[str, Any]]:
    """AP, IoU and iIoU of result files."""
    if not isinstance(samples, Cityscapes | CityscapesPanoptic):
        raise ValueError(
            "the tool of Cityscapes scores Cityscapes only, got --cityscapes-results with another "
            "data set."
        )
    inner = Path(data_root or ".") / "gtFine" / split
    outer = Path(data_root or ".") / "cityscapes" / "gtFine" / split
    instance, semantic = evaluate_cityscapes(
        predictor,
        samples,
        categories=categories,
        annotation_dir=inner if inner.is_dir() else outer,
        folder=folder,
    )
    figures = {
        "instance": None if instance is None else dataclasses.asdict(instance),
        "semantic": None if semantic is None else dataclasses.asdict(semantic),
    }
    return figures_text(figures), figures
