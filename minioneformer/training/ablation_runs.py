"""Do the runs of an ablation: several at a time, none twice.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.3; not drawn in Figure 2.

Each run has a folder, `{row}/seed_{n}`, with a plan and, once it is done, its results, written in
one step. A run with results is not done again; one that was stopped goes on from its last
checkpoint; one that fails stops no other.

`python -m minioneformer.training.ablation_runs FOLDER` does the run that is planned in a folder.

Not here: which runs (`training/ablation.py`), their means (`training/ablation_table.py`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from minioneformer.atomic import write_text_atomically
from minioneformer.evaluation.evaluator import evaluate
from minioneformer.structures import Task
from minioneformer.training.ablation import Row, row_recipe
from minioneformer.training.checkpoint import latest_checkpoint, list_checkpoints
from minioneformer.training.logbook import Logbook
from minioneformer.training.parts import build_dataset, build_predictor
from minioneformer.training.recipe import Recipe
from minioneformer.training.run import EVALUATION_BATCH, train

PLAN, RESULTS, OUTPUT = "plan.json", "results.json", "output.txt"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run.

    Args:
        row: Name of the row.
        seed: Of the run.
        recipe: To train.
        tasks: To evaluate, each with its own token.
    """

    row: str
    seed: int
    recipe: Recipe
    tasks: tuple[Task, ...]

    def folder(self, output: Path) -> Path:
        """Where the run lies.

        Args:
            output: Folder of the ablation.
        """
        return output / self.row / f"seed_{self.seed}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "row": self.row,
            "seed": self.seed,
            "tasks": list(self.tasks),
            "recipe": self.recipe.to_dict(),
        }


# Each run when it has ended, with what went wrong or "".
Runs: TypeAlias = Generator[tuple[Plan, str], None, None]


def plan_runs(base: Recipe, rows: Sequence[Row], seeds: int) -> list[Plan]:
    """All runs, seed by seed, so that an early stop leaves whole tables.

    Args:
        base: What the rows change.
        rows: Of the table.
        seeds: Runs of each row, with the seeds 0, 1, ...

    Returns:
        The plans.

    Raises:
        ValueError: If there would be no run, or a row does not fit the base recipe.
    """
    if seeds < 1:
        raise ValueError(f"needs a seed at least, got {seeds=}.")
    return [
        Plan(row=row.name, seed=seed, recipe=row_recipe(base, row, seed), tasks=row.tasks)
        for seed in range(seeds)
        for row in rows
    ]


def read_results(plan: Plan, output: Path) -> dict[str, float | None] | None:
    """The figures of a run, in percent.

    Args:
        plan: Of the run.
        output: Folder of the ablation.

    Returns:
        By name; None if the run is not done.

    Raises:
        ValueError: If what lies there was made by another plan.
    """
    path = plan.folder(output) / RESULTS
    if not path.is_file():
        return None
    results = json.loads(path.read_text(encoding="utf-8"))
    if _plan_of(results) != plan:
        raise ValueError(
            f"other results are there already, got {str(path)!r}: choose another folder, or the "
            "settings they were made with."
        )
    return results["figures"]


def do_run(plan: Plan, folder: Path, *, progress: bool = False) -> None:
    """Train, evaluate and write the results.

    Args:
        plan: What to do.
        folder: Of the run; one that was stopped goes on.
        progress: Whether to draw progress bars.

    Raises:
        ValueError: If the folder holds a run of another recipe.
        NonFiniteLossError: If training diverges.
        OSError: If something cannot be written.
    """
    parent = os.getppid()
    trained = train(
        plan.recipe,
        folder,
        resume=latest_checkpoint(folder) is not None,
        progress=progress,
        callbacks=(lambda _row: _stop_if_orphaned(parent),),
    )
    dataset, categories = build_dataset(plan.recipe.data, "val", None)
    result = evaluate(
        build_predictor(trained),
        dataset,
        categories=categories,
        tasks=plan.tasks,
        batch_size=EVALUATION_BATCH,
        progress=progress,
    )
    figures = {k: None if v != v else v for k, v in result.to_dict().items()}  # nan: undefined
    seconds = sum(row["seconds"] for row in Logbook(folder=folder).rows())
    results = plan.to_dict() | {"figures": figures, "training_seconds": round(seconds, 1)}
    write_text_atomically(folder / RESULTS, json.dumps(results, indent=1) + "\n")
    for path in list_checkpoints(folder):
        path.unlink()  # the model is in its own folder


def do_runs(plans: Sequence[Plan], output: Path, *, jobs: int = 1) -> Runs:
    """Do the runs that have no results yet.

    Args:
        plans: In the order in which they begin.
        output: Folder of the ablation.
        jobs: Runs at a time, each in a process of its own with its share of the cores. 1 does
            them one by one in this process, on all cores.

    Yields:
        Each plan when its run has ended, with what went wrong, or "".

    Raises:
        ValueError: If `jobs` is below 1, or other results lie in the folder.
        KeyboardInterrupt: After Ctrl-C; the runs in progress have then been told to stop.
    """
    if jobs < 1:
        raise ValueError(f"needs a run at a time, got {jobs=}.")
    missing = [plan for plan in plans if read_results(plan, output) is None]
    if jobs == 1:
        for plan in missing:
            yield plan, _do_here(plan, plan.folder(output))
        return
    with ThreadPoolExecutor(jobs) as executor, _Children() as children:
        waiting = {
            executor.submit(_do_elsewhere, plan, plan.folder(output), jobs, children): plan
            for plan in missing
        }
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def _do_here(plan: Plan, folder: Path) -> str:
    try:
        do_run(plan, folder, progress=sys.stderr.isatty())
    except (ValueError, OSError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _do_elsewhere(plan: Plan, folder: Path, jobs: int, children: _Children) -> str:
    """In a process of its own; what it says goes to a file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(folder / PLAN, json.dumps(plan.to_dict(), indent=1) + "\n")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with (folder / OUTPUT).open("ab") as said:
        child = children.start(
            [sys.executable, "-m", __spec__.name, str(folder)],
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # subtle: a second Ctrl-C would stop it at once, unsaved
        )
        if child is None:
            return "was not started: the others were stopped"
        status = child.wait()
    if status == 0:
        return ""
    lines = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace").splitlines()
    return f"ended with status {status}: {lines[-1] if lines else 'it said nothing'}"


class _Children:
    """Processes that are told to stop if this one is; none is started after that."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []
        self.stopped = False
        self.lock = threading.Lock()

    def __enter__(self) -> _Children:
        return self

    def start(self, words: list[str], **options: Any) -> subprocess.Popen[bytes] | None:
        # subtle: a process that is being started while the others are stopped would be missed
        with self.lock:
            if self.stopped:
                return None
            self.started.append(subprocess.Popen(words, **options))
            return self.started[-1]

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.stopped = True
            for child in self.started:
                if child.poll() is None:
                    child.terminate()


def _stop_if_orphaned(parent: int) -> None:
    """End a run whose command was killed: started again, the command would do it twice."""
    if os.getppid() != parent:
        signal.raise_signal(signal.SIGTERM)


def _plan_of(values: Mapping[str, Any]) -> Plan:
    """Read what `to_dict` wrote; fields that a recipe got since then have their defaults."""
    return Plan(
        row=values["row"],
        seed=values["seed"],
        recipe=Recipe.from_dict(values["recipe"]),
        tasks=tuple(values["tasks"]),
    )


if __name__ == "__main__":
    run_folder = Path(sys.argv[1])
    planned = json.loads((run_folder / PLAN).read_text(encoding="utf-8"))
    do_run(_plan_of(planned), run_folder)
