"""`minioneformer predict`.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: the prediction (`inference/predictor.py`), its files (`inference/result_files.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from minioneformer.commands.shared import INSTANCE_THRESHOLD, load
from minioneformer.inference.predictor import Prediction, Predictor
from minioneformer.inference.result_files import (
    write_instance_results,
    write_panoptic_results,
    write_semantic_results,
)
from minioneformer.pixels import read_image
from minioneformer.structures import Task
from minioneformer.text.task_prompt import check_task
from minioneformer.training.parts import build_predictor
from minioneformer.visualize import draw_prediction, save_figure


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
        weights: Folder of a model or of a run, a name on the hub, or "toy".
        images: Image files.
        task: "panoptic", "instance" or "semantic".
        output: Folder for NAME_TASK.png (overlay with legend) and the results: COCO panoptic
            PNG + JSON, COCO instance JSON, or label PNG + JSON.
    """
    checked = check_task(task)
    _check_images(images, checked, output)
    pretrained = load(weights)
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
