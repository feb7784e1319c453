"""What the folder of a run tells: read for its report.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: how it is shown (`report_page.py`).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minioneformer.training.checkpoint import list_checkpoints
from minioneformer.training.failure import REPORT_NAME
from minioneformer.training.logbook import LOG_NAME, read_rows
from minioneformer.training.validation import BEST, EVALUATIONS, METRICS, SAMPLES
from minioneformer.training.versions import read_versions

RECIPE, MODEL_FOLDER = "recipe.json", "model"
RECENT_STEPS = 100

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is, and how fast; None where the log does not say.

    Args:
        step: Updates done.
        total: Updates to do.
        images: Seen, each as often as it came.
        seconds: Spent in steps; evaluations and checkpoints come on top.
        seconds_left: In steps, at the speed of the last ones; 0 at the end.
        images_per_second: Of the last steps.
        waiting_share: Of the time in steps that went into waiting for batches, 0 to 1.
        memory_gib: Peak.
    """

    step: int
    total: int | None
    images: int | None
    seconds: int | float | None
    seconds_left: int | float | None
    images_per_second: int | float | None
    waiting_share: int | float | None
    memory_gib: int | float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """A run as its folder tells it.

    Args:
        name: Of the recipe, or of the folder if there is no recipe.
        folder_name: Its last part.
        recipe: As in `recipe.json`; empty if there is none.
        rows: Of the log.
        progress: From recipe and log.
        logged_at: When the last step was logged, in seconds since 1970.
        evaluations: Oldest first; the last one of each step.
        metric: Figure that decides which one is the best; None without evaluations.
        samples: Pictures of predictions by step, oldest first.
        failure: What stopped the run, see `FailureReport`; None if nothing did.
        checkpoints: Bytes by the name of the file, oldest first.
        models: Folders of models, such as "best".
        versions: See `record_versions`.
    """

    name: str
    folder_name: str
    recipe: Mapping[str, Any]
    rows: Sequence[Row]
    progress: Progress
    logged_at: float
    evaluations: Sequence[Row]
    metric: str | None
    samples: Mapping[int, Path]
    failure: Mapping[str, Any] | None
    checkpoints: Mapping[str, int]
    models: Sequence[str]
    versions: Sequence[Mapping[str, Any]]


def read_run(folder: Path) -> RunState:
    """Read everything, in whatever state the run is.

    Args:
        folder: Of the run.

    Returns:
        What is there. Evaluations and pictures of steps that are no longer in the log are left
        out: the run was resumed from before them.

    Raises:
        NotADirectoryError: If it is a file.
        FileNotFoundError: If there is no such folder, or no log in it.
        ValueError: If no step is logged yet, or a file is not what the run wrote.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"a run is a folder, got the file {str(folder)!r}.")
    log = folder / LOG_NAME
    if not log.is_file():
        raise FileNotFoundError(f"no run in {str(folder)!r}: need a folder with {LOG_NAME}.")
    rows = read_rows(log)
    if not rows:
        raise ValueError(f"no step is logged yet, got an empty {log}. Wait for the first ones.")
    recipe = _read_object(folder / RECIPE) or {}
    step = rows[-1]["step"]
    evaluations = _evaluations(folder, step)
    failure = _read_object(folder / REPORT_NAME)
    return RunState(
        name=str(recipe.get("name") or folder.resolve().name),
        folder_name=folder.resolve().name,
        recipe=recipe,
        rows=rows,
        progress=measure_progress(rows, _section(recipe, "optimization").get("steps")),
        logged_at=log.stat().st_mtime,
        evaluations=evaluations,
        metric=_metric(recipe, evaluations),
        samples=_samples(folder, step),
        # A resumed run may have gone past it.
        failure=failure if failure is not None and failure.get("step", 0) > step else None,
        checkpoints=_checkpoints(folder),
        models=[name for name in (BEST, MODEL_FOLDER) if (folder / name).is_dir()],
        versions=read_versions(folder),
    )


def measure_progress(rows: Sequence[Row], total: int | None) -> Progress:
    """Sums and means over a log.

    Args:
        rows: At least one; those of older runs may lack some values.
        total: Updates to do, if known.

    Returns:
        See `Progress`.

    Example:
        Two of four steps of 2 s each, at 8 images per second, took 4 s for 32 images; 4 s are
        left.
    """
    step = rows[-1]["step"]
    timed = [row for row in rows if row.get("seconds")]
    recent = timed[-RECENT_STEPS:]
    seconds, recent_seconds = _sum(timed, "seconds"), _sum(recent, "seconds")
    with_speed = [row for row in timed if "images_per_second" in row]
    waiting = [row for row in timed if "seconds_waiting" in row]
    left = None if total is None or not recent else (total - step) * recent_seconds / len(recent)
    return Progress(
        step=step,
        total=total,
        images=round(_images(with_speed)) if with_speed else None,
        seconds=seconds if timed else None,
        seconds_left=left,
        images_per_second=_images(recent) / recent_seconds if with_speed else None,
        waiting_share=_sum(waiting, "seconds_waiting") / seconds if waiting else None,
        memory_gib=max((row["memory_gib"] for row in rows if "memory_gib" in row), default=None),
    )


def best_evaluation(evaluations: Sequence[Row], metric: str) -> Row:
    """The one whose model is kept as the best.

    Args:
        evaluations: Oldest first, at least one.
        metric: That decides.

    Returns:
        The highest; of equal ones the first. What is not defined counts as 0.
    """
    return max(evaluations, key=lambda row: row.get(metric) or 0.0)


def _sum(rows: Sequence[Row], name: str) -> int | float:
    return sum(row[name] for row in rows)


def _images(rows: Sequence[Row]) -> int | float:
    return sum(row["seconds"] * row.get("images_per_second", 0) for row in rows)


def _evaluations(folder: Path, last_step: int) -> list[Row]:
    by_step = {row["step"]: row for row in read_rows(folder / EVALUATIONS)}
    return [by_step[step] for step in sorted(by_step) if step <= last_step]


def _metric(recipe: Mapping[str, Any], evaluations: Sequence[Row]) -> str | None:
    if not evaluations:
        return None
    chosen = _section(recipe, "optimization").get("keep_best")
    return chosen or next((name for name in METRICS.values() if name in evaluations[-1]), None)


def _checkpoints(folder: Path) -> dict[str, int]:
    sizes = {}
    for path in list_checkpoints(folder):
        with contextlib.suppress(FileNotFoundError):  # a run that goes on just removed it
            sizes[path.name] = path.stat().st_size
    return sizes


def _samples(folder: Path, last_step: int) -> dict[int, Path]:
    numbered = {
        int(number): path
        for path in (folder / SAMPLES).glob("step_*.png")
        if (number := path.stem.removeprefix("step_")).isdecimal()
    }
    return {step: numbered[step] for step in sorted(numbered) if step <= last_step}


def _section(recipe: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = recipe.get(name)
    return section if isinstance(section, dict) else {}


def _read_object(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}. Mend or delete it.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold one object, got {str(values)[:60]!r}. Delete it.")
    return values
