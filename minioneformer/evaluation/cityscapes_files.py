"""Results in the form that the Cityscapes server and its tool take.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (Cityscapes); Figure 2 box: not drawn.

    folder/instance/{image}_pred.txt, {image}_{number}.png    a mask, a class id, a score per line
    folder/semantic/{image}_pred.png                          a class id per pixel

`{image}` is city, sequence and frame, such as "frankfurt_000000_000294". In a group of processes
each one must write, its own images, into the same folder.

Not here: scoring them (`cityscapes_protocol.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from minioneformer.processes import from_main
from minioneformer.structures import Category, InstancePrediction, SemanticPrediction

# of the classes whose objects are scored; files use these and not the train ids 0 .. 18
LABEL_IDS = {
    **{"person": 24, "rider": 25, "car": 26, "truck": 27},
    **{"bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33},
}


def write_cityscapes_instances(
    folder: str | Path,
    results: Iterable[tuple[str, InstancePrediction]],
    categories: Sequence[Category],
) -> Path:
    """Write masks as the official server takes them.

    Args:
        folder: Created if missing.
        results: File name of the image, and what was predicted; read once, in order. Stuff is
            left out.
        categories: The catalogue; `dataset_id` is the label id of Cityscapes.

    Returns:
        `folder/instance`.

    Raises:
        FileExistsError: If it is there already.
        ValueError: If a file name is none of Cityscapes, or a `dataset_id` is not the label id.
    """
    _check_ids(categories)
    target = _new_folder(folder, "instance")
    for file_name, prediction in results:
        image = core_name(file_name)
        lines = []
        rows = zip(prediction.labels.tolist(), prediction.scores.tolist(), strict=True)
        for number, (label, score) in enumerate(rows):
            if not categories[label].is_thing:
                continue
            mask_name = f"{image}_{number}.png"
            mask = prediction.masks[number].cpu().numpy().astype(np.uint8) * 255
            Image.fromarray(mask).save(target / mask_name)
            lines.append(f"{mask_name} {categories[label].dataset_id} {score}\n")
        (target / f"{image}_pred.txt").write_text("".join(lines))
    return target


def write_cityscapes_labels(
    folder: str | Path,
    results: Iterable[tuple[str, SemanticPrediction]],
    categories: Sequence[Category],
) -> Path:
    """Write label maps as the official server takes them.

    Args:
        folder: Created if missing.
        results: File name of the image, and what was predicted; read once, in order.
        categories: The catalogue; `dataset_id` is the label id of Cityscapes.

    Returns:
        `folder/semantic`.

    Raises:
        FileExistsError: If it is there already.
        ValueError: If a file name is none of Cityscapes, or a `dataset_id` is not the label id.
    """
    _check_ids(categories)
    ids = torch.tensor([category.dataset_id for category in categories], dtype=torch.uint8)
    target = _new_folder(folder, "semantic")
    for file_name, prediction in results:
        pixels = ids[prediction.label_map.cpu()].numpy()
        Image.fromarray(pixels).save(target / f"{core_name(file_name)}_pred.png")
    return target


def core_name(file_name: str) -> str:
    """City, sequence and frame of a file of Cityscapes.

    Args:
        file_name: Of an image or an annotation; folders do not matter.

    Raises:
        ValueError: If it does not begin with the three.

    Example:
        "val/ulm/ulm_000003_000019_leftImg8bit.png" gives "ulm_000003_000019".
    """
    parts = Path(file_name).name.split("_")
    if len(parts) < 4 or not (parts[1].isdigit() and parts[2].isdigit()) or " " in parts[0]:
        raise ValueError(
            f"files of Cityscapes are named city_sequence_frame_type.png, got {file_name=}."
        )
    return "_".join(parts[:3])


def _check_ids(categories: Sequence[Category]) -> None:
    for c in categories:
        if c.dataset_id != LABEL_IDS.get(c.name, c.dataset_id) or not 0 <= c.dataset_id <= 255:
            raise ValueError(
                f"dataset_id must be the label id of Cityscapes (person 24, not train id 11), "
                f"got {c.dataset_id=} for {c.name!r}."
            )


def _new_folder(folder: str | Path, kind: str) -> Path:
    target = Path(folder) / kind
    if from_main(target.exists()):  # subtle: another process may have made it a moment ago
        raise FileExistsError(
            f"there are results already, got {str(target)!r}. Choose another folder, or delete it."
        )
    target.mkdir(parents=True, exist_ok=True)
    return target
