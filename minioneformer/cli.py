"""The command line: demo, train, evaluate, predict.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

The only place that parses arguments and prints. A mistake of the user gives one line on the
standard error and exit status 2; set MINIONEFORMER_TRACEBACK=1 to see where it came from.

Not here: what the commands do (`training/run.py`, `evaluation/`, `inference/`).
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from torch.utils.data import Dataset
from tqdm import tqdm

from minioneformer.atomic import write_text_atomically
from minioneformer.checkpoints.pretrained import Pretrained, load_pretrained
from minioneformer.data.named import open_for_evaluation
from minioneformer.evaluation.evaluation_result import token_table
from minioneformer.evaluation.evaluator import evaluate as evaluate_own_tokens
from minioneformer.evaluation.evaluator import evaluate_all_tokens
from minioneformer.inference.predictor import Prediction, Predictor
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
from minioneformer.training.run import build_dataset, build_predictor, default_device
from minioneformer.training.run import train as train_recipe
from minioneformer.visualize import draw_demo, draw_prediction, save_figure

INSTANCE_THRESHOLD = 0.5  # class probability of the instances that `predict` keeps
DEMO_IMAGES = 6
EVALUATION_BATCH = 20
WORKER_FAILED = "in DataLoader worker process"

# subtle: without appending, a second --set would silently replace the first
Settings = Annotated[
    tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]],
    tyro.conf.arg(name="set", metavar="KEY=VALUE ..."),
]


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
    recipe = override(recipe_named("toy"), _flat(set_))
    started = time.monotonic()
    pretrained = train_recipe(recipe, output, resume=resume, progress=sys.stderr.isatty())
    print(f"trained {recipe.optimization.steps} steps in {time.monotonic() - started:.0f} s")
    dataset, _ = build_dataset(recipe.data, "val", None)
    result = evaluate_own_tokens(
        build_predictor(pretrained),
        dataset,
        categories=pretrained.categories,
        batch_size=EVALUATION_BATCH,
        progress=sys.stderr.isatty(),
    )
    print(result.table())
    _write_json(output / "metrics.json", result.to_dict())
    _draw_demo(pretrained, dataset, output / "demo.png")
    print(f"wrote {output / 'metrics.json'}, {output / 'demo.png'} and {output / 'model'}")


def train(
    recipe: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE")],
    /,
    *,
    output: Path,
    data_root: Path | None = None,
    set_: Settings = (),
    resume: bool = False,
) -> None:
    """Train a recipe and save the model.

    Args:
        recipe: Its name (an unknown one lists those there are), or the recipe.json of a run.
        output: Folder for log, curves, checkpoints and the model.
        data_root: Folder of the data set, for recipes that read one.
        set_: Change values of the recipe, such as optimization.base_lr=1e-4.
        resume: Go on with the run in the folder.
    """
    resolved = override(recipe_named(recipe), _flat(set_))
    train_recipe(resolved, output, data_root=data_root, resume=resume, progress=sys.stderr.isatty())
    print(f"wrote {output / 'model'}")


def evaluate(
    weights: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WEIGHTS")],
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
        images: How many generated images, 200 if not given; files are all used.
        all_tokens: Every metric under every token, a table of 3 x 3.
        output: JSON file for the figures, in percent.
    """
    if output.is_dir():
        raise IsADirectoryError(f"the figures go to a file, got the folder {str(output)!r}.")
    pretrained = _load(weights)
    samples = open_for_evaluation(
        dataset, root=data_root, split=split, images=images, categories=pretrained.categories
    )
    predictor = build_predictor(pretrained)
    output.parent.mkdir(parents=True, exist_ok=True)  # fails now, not after the work
    run = functools.partial(
        evaluate_all_tokens if all_tokens else evaluate_own_tokens,
        predictor,
        samples,
        categories=pretrained.categories,
        batch_size=EVALUATION_BATCH if dataset == "toy" else 1,
        progress=sys.stderr.isatty(),
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
    weights: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WEIGHTS")],
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGE ...")],
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
    _check_images(images, checked, output)
    pretrained = _load(weights)
    predictor = build_predictor(pretrained, class_threshold=INSTANCE_THRESHOLD)
    # subtle: results come one by one, so the writer refuses a folder that has some before any work
    results = _predict_and_draw(predictor, images, checked, output)
    written = WRITERS[checked](output, results, pretrained.categories)
    print(f"wrote {len(images)} overlays and {written}")


WRITERS: Mapping[Task, Callable[..., Path]] = {
    "panoptic": write_panoptic_results,
    "instance": write_instance_results,
    "semantic": write_semantic_results,
}


def _flat(settings: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    return tuple(itertools.chain.from_iterable(settings))


def _load(weights: str) -> Pretrained:
    pretrained = load_pretrained(weights)
    pretrained.modules.to(default_device())
    return pretrained


def _check_images(images: Sequence[Path], task: Task, output: Path) -> None:
    """Find what would go wrong later before any work is done."""
    if not images:
        raise ValueError("no images given.")
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"results need a folder, got the file {str(output)!r}.")
    by_stem: dict[str, Path] = {}
    for path in images:
        other = by_stem.setdefault(path.stem.casefold(), path)
        if other is not path:
            raise ValueError(
                f"two images would share the results named {path.stem!r}, got {str(other)!r} and "
                f"{str(path)!r}. Predict them into two folders."
            )
    originals = {path.resolve() for path in images}
    for path in images:
        read_image(path)
        if (overlay := _overlay_path(path, task, output)).resolve() in originals:
            raise ValueError(
                f"the overlay of {str(path)!r} would replace the image {str(overlay)!r}. "
                f"Choose another output folder."
            )


def _overlay_path(image: Path, task: Task, output: Path) -> Path:
    return output / f"{image.stem}_{task}.png"


def _predict_and_draw(
    predictor: Predictor, images: Sequence[Path], task: Task, output: Path
) -> Iterator[tuple[str, str, Prediction]]:
    """Name, id and prediction of each image, its overlay written on the way."""
    for path in tqdm(images, unit="image", disable=None):
        image = read_image(path)
        prediction = predictor.predict(image, task)
        figure = draw_prediction(
            image, prediction, predictor.categories, title=f"{path.name}, {task}"
        )
        save_figure(figure, _overlay_path(path, task, output))
        yield path.name, path.stem, prediction


def _draw_demo(pretrained: Pretrained, dataset: Dataset[PanopticSample], path: Path) -> None:
    predictor = build_predictor(pretrained, class_threshold=INSTANCE_THRESHOLD)
    length = len(dataset)  # type: ignore[arg-type]  # torch does not say that it has one
    samples = [dataset[index] for index in range(min(DEMO_IMAGES, length))]
    rows = [{task: predictor.predict(sample.image, task) for task in TASKS} for sample in samples]
    draw_demo(samples, rows, pretrained.categories, path=path)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write figures; those that are not defined (nan) become null."""
    write_text_atomically(path, json.dumps(_without_nan(values), indent=1) + "\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _one_line(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if WORKER_FAILED in text:
        # torch puts the traceback of a loader's process into the message; its last line counts
        text = text.rstrip().rpartition("\n")[2].partition(": ")[2]
    return " ".join(text.split())


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
    except SystemExit as stop:  # tyro has printed help, or what is wrong with the words
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt as stop:
        print(f"minioneformer: stopped. {stop}".rstrip(), file=sys.stderr)
        return 130
    except (ValueError, OSError, NonFiniteLossError) as error:
        if os.environ.get("MINIONEFORMER_TRACEBACK"):
            raise
        print(f"minioneformer: error: {_one_line(error)}", file=sys.stderr)
        return 2
    return 0
