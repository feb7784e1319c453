"""`minioneformer demo` and `minioneformer train`.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: what happens in a run (`training/run.py`).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import tyro
from torch.utils.data import Dataset

from minioneformer.checkpoints.pretrained import Pretrained
from minioneformer.commands.shared import (
    EVALUATION_BATCH,
    INSTANCE_THRESHOLD,
    Settings,
    flat,
    write_figures,
)
from minioneformer.evaluation.evaluator import evaluate as evaluate_own_tokens
from minioneformer.processes import is_main
from minioneformer.structures import TASKS, PanopticSample
from minioneformer.training.dry_run import dry_run as take_dry_run
from minioneformer.training.initialize import take_over
from minioneformer.training.parts import build_dataset, build_predictor
from minioneformer.training.plan import plan_training, start_remarks
from minioneformer.training.recipe import Recipe
from minioneformer.training.recipes import override, recipe_named
from minioneformer.training.run import train as train_recipe
from minioneformer.visualize import draw_demo

DEMO_IMAGES = 6


def demo(
    *,
    output: Path = Path("runs/demo"),
    set_: Settings = (),
    resume: bool = False,
) -> None:
    """Train on the toy data set, score all three tasks, draw them.

    Args:
        output: Folder for weights, log, metrics.json and demo.png.
        set_: Change values of the recipe "toy", such as optimization.steps=100.
        resume: Go on with the run in the folder.
    """
    recipe = override(recipe_named("toy"), flat(set_))
    started = time.monotonic()
    pretrained = train_recipe(recipe, output, resume=resume, progress=sys.stderr.isatty())
    seconds = time.monotonic() - started
    dataset, _ = build_dataset(recipe.data, "val", None)
    result = evaluate_own_tokens(
        build_predictor(pretrained),
        dataset,
        categories=pretrained.categories,
        batch_size=EVALUATION_BATCH,
        progress=sys.stderr.isatty(),
    )
    if not is_main():
        return
    print(f"trained {recipe.optimization.steps} steps in {seconds:.0f} s")
    print(result.table())
    write_figures(output / "metrics.json", result.to_dict())
    _draw_demo(pretrained, dataset, output / "demo.png")
    print(f"wrote {output / 'metrics.json'}, {output / 'demo.png'} and {output / 'model'}")


def train(
    recipe: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE")],
    /,
    *,
    output: Path | None = None,
    data_root: Path | None = None,
    init: str | None = None,
    set_: Settings = (),
    resume: bool = False,
    tensorboard: bool = False,
    dry_run: bool = False,
) -> None:
    """Train a recipe and save the model.

    Started by torchrun, the processes share each batch, and the first one writes. Started again by
    torchrun or Slurm, the run goes on from its last checkpoint.

    Args:
        recipe: Its name (an unknown one lists those there are), or the recipe.json of a run.
        output: Folder for log, curves, checkpoints and the model; needed, but for a dry run.
        data_root: Folder of the data set, for recipes that read one.
        init: Fine-tune: start from this model, with its sizes and vocabulary and the classes of
            the data. A folder, a run, a name on the hub, a file of the original code, or "toy".
        set_: Change values of the recipe, such as optimization.base_lr=1e-4.
        resume: Go on with the run in the folder.
        tensorboard: Write events for TensorBoard too.
        dry_run: Print the resolved recipe, parameter groups, steps and memory, take two steps on
            generated images, and write nothing. Needs no data.
    """
    chosen = recipe_named(recipe)
    if init is not None:
        chosen = take_over(chosen, init)
    resolved = override(chosen, flat(set_))
    if dry_run:
        _show_dry_run(resolved)
        return
    if output is None:
        raise ValueError(f"a run needs a folder, got {output=}: give it with --output.")
    for remark in start_remarks(resolved) if is_main() else ():
        print(f"note: {remark}")
    trained = train_recipe(
        resolved,
        output,
        data_root=data_root,
        resume=resume,
        tensorboard=tensorboard,
        progress=sys.stderr.isatty(),
    )
    if not is_main():
        return
    if trained.report is not None:
        print(trained.report.summary())
    print(f"wrote {output / 'model'}")


def _show_dry_run(recipe: Recipe) -> None:
    """Everything that can be known first: the steps may need more memory than there is."""
    plan = plan_training(recipe)
    values = plan.recipe.to_dict()
    for name in ("id2label", "label2id"):  # long, and the data set decides them
        del values["model"][name]
    if is_main():
        print(json.dumps(values, indent=1))
        print(plan.text(), flush=True)
    measured = take_dry_run(recipe)
    if is_main():
        print(measured.text())


def _draw_demo(pretrained: Pretrained, dataset: Dataset[PanopticSample], path: Path) -> None:
    predictor = build_predictor(pretrained, class_threshold=INSTANCE_THRESHOLD)
    length = len(dataset)  # type: ignore[arg-type]  # torch does not say that it has one
    samples = [dataset[index] for index in range(min(DEMO_IMAGES, length))]
    rows = [{task: predictor.predict(sample.image, task) for task in TASKS} for sample in samples]
    draw_demo(samples, rows, pretrained.categories, path=path)
