"""`minioneformer evaluate`.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: the metrics (`evaluation/`).
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Sequence
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
from minioneformer.inference.test_time_augmentation import MultiScalePredictor
from minioneformer.structures import TASKS, Category, Task
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

    Args:
        weights: Folder of a model or of a run, or "toy" for the model that ships.
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
    if scales and all_tokens:
        raise ValueError(f"several scales are for mIoU alone, got {scales=} with --all-tokens.")
    if output.is_dir():
        raise IsADirectoryError(f"the figures go to a file, got the folder {str(output)!r}.")
    pretrained = load(weights)
    samples = open_for_evaluation(
        dataset, root=data_root, split=split, images=images, categories=pretrained.categories
    )
    predictor: Any = build_predictor(pretrained)
    tasks: tuple[Task, ...] = samples.tasks
    if scales:
        predictor = MultiScalePredictor(predictor=predictor, shortest_edges=scales)
        tasks = ("semantic",)
    output.parent.mkdir(parents=True, exist_ok=True)  # fails now, not after the work
    if cityscapes_results is not None:
        _score_by_cityscapes_tool(
            predictor, samples, pretrained.categories, data_root, split, cityscapes_results, output
        )
        return
    if all_tokens and samples.tasks != TASKS:
        raise ValueError(
            f"the table of all tokens needs labels for all tasks, got {', '.join(samples.tasks)}: "
            "leave --all-tokens out."
        )
    run = functools.partial(
        evaluate_all_tokens if all_tokens else functools.partial(evaluate_own_tokens, tasks=tasks),
        predictor,
        samples,
        categories=pretrained.categories,
        batch_size=EVALUATION_BATCH if dataset == "toy" else 1,
        progress=sys.stderr.isatty(),
    )
    result: Any = run()
    if all_tokens:
        print(token_table(result))
        write_figures(output, {token: row.to_dict() for token, row in result.items()})
    else:
        print(result.table())
        write_figures(output, result.to_dict())
    print(f"wrote {output}")


def _score_by_cityscapes_tool(
    predictor: Any,
    samples: Any,
    categories: Sequence[Category],
    data_root: Path | None,
    split: str,
    folder: Path,
    output: Path,
) -> None:
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
    print(figures_text(figures))
    write_figures(output, figures)
    print(f"wrote {output} and {folder}")
