"""The command line: demo, train, evaluate, predict.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

The only place that parses arguments and prints. A mistake of the user gives one line on the
standard error and exit status 2; set MINIONEFORMER_TRACEBACK=1 to see where it came from.

Not here: what the commands do (`training/run.py`, `evaluation/`, `inference/`).
"""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from torch.utils.data import Dataset
from tqdm import tqdm

from minioneformer.atomic import write_text_atomically
from minioneformer.checkpoints.pretrained import Pretrained, load_pretrained
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.toy import ToyPanoptic
from minioneformer.evaluation.evaluation_result import token_table
from minioneformer.evaluation.evaluator import evaluate as evaluate_own_tokens
from minioneformer.evaluation.evaluator import evaluate_all_tokens
from minioneformer.inference.result_files import (
    write_instance_results,
    write_panoptic_results,
    write_semantic_results,
)
from minioneformer.pixels import read_image
from minioneformer.structures import TASKS, PanopticSample, Task
from minioneformer.text.task_prompt import check_task
from minioneformer.training.failure import NonFiniteLossError
from minioneformer.training.recipes import override, recipe_named
from minioneformer.training.run import build_dataset, build_predictor
from minioneformer.training.run import train as train_recipe
from minioneformer.visualize import draw_demo, draw_prediction, save_figure

DATASETS = ("toy", "coco_panoptic")
INSTANCE_THRESHOLD = 0.5  # class probability of the instances that `predict` keeps
DEMO_IMAGES = 6
EVALUATION_BATCH = 20

Settings = Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="KEY=VALUE ...")]


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
    recipe = override(recipe_named("toy"), set_)
    started = time.monotonic()
    pretrained = train_recipe(recipe, output, resume=resume, progress=True)
    print(f"trained {recipe.optimization.steps} steps in {time.monotonic() - started:.0f} s")
    dataset, _ = build_dataset(recipe.data, "val", None)
    result = evaluate_own_tokens(
        build_predictor(pretrained),
        dataset,
        categories=pretrained.categories,
        batch_size=EVALUATION_BATCH,
        progress=True,
    )
    print(result.table())
    _write_json(output / "metrics.json", result.to_dict())
    _draw_demo(pretrained, dataset, output / "demo.png")
    print(f"wrote {output / 'metrics.json'}, {output / 'demo.png'} and {output / 'model'}")


def train(
    recipe: tyro.conf.Positional[str],
    /,
    *,
    output: Path,
    data_root: Path | None = None,
    set_: Settings = (),
    resume: bool = False,
) -> None:
    """Train a recipe and save the model.

    Args:
        recipe: Its name; an unknown one lists those there are.
        output: Folder for log, curves, checkpoints and the model.
        data_root: Folder of the data set, for recipes that read one.
        set_: Change values of the recipe, such as optimization.base_lr=1e-4.
        resume: Go on with the run in the folder.
    """
    resolved = override(recipe_named(recipe), set_)
    train_recipe(resolved, output, data_root=data_root, resume=resume, progress=True)
    print(f"wrote {output / 'model'}")


def evaluate(
    weights: tyro.conf.Positional[str],
    /,
    *,
    dataset: str,
    data_root: Path | None = None,
    split: str = "val",
    images: int | None = None,
    all_tokens: bool = False,
    output: Path = Path("metrics.json"),
) -> None:
    """Score a model: PQ, AP and mIoU, each with its own task token.

    Args:
        weights: Folder of a model or of a run, or "toy" for the model that ships.
        dataset: "toy" or "coco_panoptic".
        data_root: Folder of the data set, if it is not generated.
        split: Which part of it.
        images: How many generated images; files are all used.
        all_tokens: Every metric under every token, a table of 3 x 3.
        output: JSON file for the figures, in percent.
    """
    pretrained = load_pretrained(weights)
    samples = _open_dataset(dataset, data_root, split, images, pretrained)
    predictor = build_predictor(pretrained)
    run = functools.partial(
        evaluate_all_tokens if all_tokens else evaluate_own_tokens,
        predictor,
        samples,
        categories=pretrained.categories,
        batch_size=EVALUATION_BATCH if dataset == "toy" else 1,
        progress=True,
    )
    result: Any = run()
    if all_tokens:
        print(token_table(result))
        _write_json(output, {token: row.to_dict() for token, row in result.items()})
    else:
        print(result.table())
        _write_json(output, result.to_dict())
    print(f"wrote {output}")


def predict(
    weights: tyro.conf.Positional[str],
    images: tyro.conf.Positional[tuple[Path, ...]],
    /,
    *,
    task: str = "panoptic",
    output: Path,
) -> None:
    """Segment images; write overlays and results.

    Args:
        weights: Folder of a model or of a run, or "toy" for the model that ships.
        images: Image files.
        task: "panoptic", "instance" or "semantic".
        output: Folder for NAME_TASK.png (overlay with legend) and the results: COCO panoptic
            PNG + JSON, COCO instance JSON, or label PNG + JSON.
    """
    checked = check_task(task)
    if not images:
        raise ValueError("no images given.")
    pretrained = load_pretrained(weights)
    predictor = build_predictor(pretrained, class_threshold=INSTANCE_THRESHOLD)
    pixels = [read_image(path) for path in images]  # a broken one is found before any work
    results = []
    for path, image in tqdm(list(zip(images, pixels, strict=True)), unit="image", disable=None):
        prediction = predictor.predict(image, checked)
        figure = draw_prediction(
            image, prediction, pretrained.categories, title=f"{path.name}, {checked}"
        )
        save_figure(figure, output / f"{path.stem}_{checked}.png")
        results.append((path.name, path.stem, prediction))
    written = WRITERS[checked](output, results, pretrained.categories)
    print(f"wrote {len(results)} overlays and {written}")


WRITERS: Mapping[Task, Callable[..., Path]] = {
    "panoptic": write_panoptic_results,
    "instance": write_instance_results,
    "semantic": write_semantic_results,
}


def _open_dataset(
    name: str, root: Path | None, split: str, images: int | None, pretrained: Pretrained
) -> Dataset[PanopticSample]:
    if name not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {name!r}.")
    if name == "coco_panoptic":
        if root is None:
            raise ValueError("dataset 'coco_panoptic' lies on disk: give --data-root.")
        return CocoPanoptic.from_root(root, split, categories=pretrained.categories)
    if root is not None:
        raise ValueError(f"the toy data set is generated, got --data-root {str(root)!r}.")
    if split not in ("train", "val"):
        raise ValueError(f"the toy data set has the splits train and val, got {split!r}.")
    toy = ToyPanoptic(split="val" if split == "val" else "train", length=images or 200)
    if toy.categories != pretrained.categories:
        raise ValueError(
            "the model knows other classes than the toy data set, got "
            f"{', '.join(category.name for category in pretrained.categories[:8])}."
        )
    return toy


def _draw_demo(pretrained: Pretrained, dataset: Dataset[PanopticSample], path: Path) -> None:
    predictor = build_predictor(pretrained, class_threshold=INSTANCE_THRESHOLD)
    samples = [dataset[index] for index in range(DEMO_IMAGES)]
    rows = [{task: predictor.predict(sample.image, task) for task in TASKS} for sample in samples]
    draw_demo(samples, rows, pretrained.categories, path=path)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write figures; those that are not defined (nan) become null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, json.dumps(_without_nan(values), indent=1) + "\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Words after the program's name; None takes those of the process.

    Returns:
        Exit status: 0, or 2 for a mistake, 130 for Ctrl-C.
    """
    commands: dict[str, Callable[..., Any]] = {
        "demo": demo,
        "train": train,
        "evaluate": evaluate,
        "predict": predict,
    }
    try:
        tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="minioneformer",
            description="OneFormer by hand: one model for three segmentation tasks.",
            args=list(sys.argv[1:] if arguments is None else arguments),
        )
    except KeyboardInterrupt as stop:
        print(f"minioneformer: stopped. {stop}".rstrip(), file=sys.stderr)
        return 130
    except (ValueError, OSError, NonFiniteLossError) as error:
        if os.environ.get("MINIONEFORMER_TRACEBACK"):
            raise
        print(f"minioneformer: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0
