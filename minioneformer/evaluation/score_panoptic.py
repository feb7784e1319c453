"""The report of panoptic quality, in the form of the official tool.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

Not here: counting (`panoptic_quality.py`), reading the files (`coco_panoptic_files.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minioneformer.evaluation.coco_panoptic_files import count_panoptic_files
from minioneformer.evaluation.panoptic_quality import ClassQuality


def score_panoptic_files(
    annotation_json: str | Path,
    annotation_dir: str | Path,
    prediction_json: str | Path,
    prediction_dir: str | Path,
    *,
    progress: bool = False,
) -> dict[str, Any]:
    """Panoptic quality of files of any program.

    Args:
        annotation_json: Lists categories, and per image its PNG and segments.
        annotation_dir: Holds the annotated PNGs.
        prediction_json: Lists per image its PNG and segments.
        prediction_dir: Holds the predicted PNGs.
        progress: Whether to draw a progress bar on the standard error.

    Returns:
        `All`, `Things` and `Stuff`, each with `pq`, `sq`, `rq` (fractions, nan where no class
        counts) and `n`, the number of classes that count; and `per_class`, for each category id
        `pq`, `sq` and `rq`.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: As `count_panoptic_files`.

    Fidelity:
        Figures and names are those of panopticapi, which gives 0 to a class that occurs nowhere,
        and fails where no class of a group occurs.
    """
    quality = count_panoptic_files(
        annotation_json, annotation_dir, prediction_json, prediction_dir, progress=progress
    )
    classes = quality.compute().classes
    return {
        "All": _group(classes),
        "Things": _group([c for c in classes if c.is_thing]),
        "Stuff": _group([c for c in classes if not c.is_thing]),
        "per_class": {
            category.dataset_id: {"pq": c.pq, "sq": c.sq, "rq": c.rq}
            for category, c in zip(quality.categories, classes, strict=True)
        },
    }


def _group(classes: Sequence[ClassQuality]) -> dict[str, float | int]:
    counting = [c for c in classes if c.counts]
    return {
        "pq": _mean([c.pq for c in counting]),
        "sq": _mean([c.sq for c in counting]),
        "rq": _mean([c.rq for c in counting]),
        "n": len(counting),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
