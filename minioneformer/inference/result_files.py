"""Write predictions to disk, in the forms that the COCO tools read.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

    folder/panoptic.json   folder/panoptic/{image}.png   segment ids as colours, and what they are
    folder/semantic.json   folder/semantic/{image}.png   a label per pixel, and their names
    folder/instances.json                                a list of scored masks as run lengths

`{image}` is the name of the image file, subfolders kept, its ending replaced. The PNGs come
first and the JSON last, so a folder with a JSON is complete.

Not here: how files are named (`result_names.py`), annotations (`data/coco_writer.py`), pictures
to look at (`visualize/`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from pycocotools import mask as run_lengths
from torch import Tensor

from minioneformer.inference.result_names import ResultNames
from minioneformer.panoptic_png import write_panoptic_png
from minioneformer.structures import (
    VOID_ID,
    Category,
    InstancePrediction,
    PanopticPrediction,
    SemanticPrediction,
)

LARGEST_BYTE = 255

Row: TypeAlias = dict[str, Any]


def write_panoptic_results(
    folder: str | Path,
    results: Iterable[tuple[str, int | str, PanopticPrediction]],
    categories: Sequence[Category],
) -> Path:
    """Write panoptic predictions: PNGs, and a JSON of the layout of COCO annotations.

    The JSON holds images and categories too, and `iscrowd` is 0 everywhere: `evaluation` takes
    it as a prediction, and `data.coco.CocoPanoptic` as a (machine-made) annotation.

    Args:
        folder: Created if missing.
        results: File name of the image, its id in the annotation file, what was predicted;
            read once, in order.
        categories: The catalogue that the labels refer to.

    Returns:
        The JSON, `folder/panoptic.json`.

    Raises:
        FileExistsError: If there are such results in the folder already.
        ValueError: If a file name leads out of the folder, or shares its PNG with another one;
            if two results share an id; if a label is not in the catalogue, a score is not
            finite, or segments and segment map name different ids.

    Example:
        Of image "b/cat.jpg" the segment map becomes `folder/panoptic/b/cat.png`.
    """
    names = ResultNames(folder, "panoptic")
    images, annotations = [], []
    for file_name, image_id, prediction in results:
        names.claim_id(image_id)
        png_name = names.claim_png(file_name)
        segments_info = _segments_info(prediction, categories, image_id)
        write_panoptic_png(names.png_path(png_name), prediction.segment_map.cpu())
        images.append(_image_row(file_name, image_id, prediction.segment_map))
        annotations.append(
            {"image_id": image_id, "file_name": png_name, "segments_info": segments_info}
        )
    return names.write_json(
        {
            "images": images,
            "annotations": annotations,
            "categories": [_category_row(category) for category in categories],
        }
    )


def write_semantic_results(
    folder: str | Path,
    results: Iterable[tuple[str, int | str, SemanticPrediction]],
    categories: Sequence[Category],
) -> Path:
    """Write semantic predictions: grey PNGs of labels, and a JSON that says what labels mean.

    Args:
        folder: Created if missing.
        results: File name of the image, its id in the annotation file, what was predicted;
            read once, in order.
        categories: The catalogue that the labels refer to. With more than 255 classes the
            PNGs have 16 bits per pixel instead of 8.

    Returns:
        The JSON, `folder/semantic.json`. Its categories are the rows of the label table: `label`
        is the value of a pixel, `id` the dataset's own number of that class.

    Raises:
        FileExistsError: If there are such results in the folder already.
        ValueError: If a file name leads out of the folder, or shares its PNG with another one;
            if two results share an id; if a label is not in the catalogue.
    """
    names = ResultNames(folder, "semantic")
    pixel_type = np.uint8 if len(categories) <= LARGEST_BYTE else np.uint16
    images, annotations = [], []
    for file_name, image_id, prediction in results:
        names.claim_id(image_id)
        png_name = names.claim_png(file_name)
        _check_labels(prediction.label_map.unique().tolist(), categories, image_id)
        pixels = prediction.label_map.cpu().numpy().astype(pixel_type)
        Image.fromarray(pixels).save(names.png_path(png_name), format="PNG")
        images.append(_image_row(file_name, image_id, prediction.label_map))
        annotations.append({"image_id": image_id, "file_name": png_name})
    return names.write_json(
        {
            "images": images,
            "annotations": annotations,
            "categories": [
                {"label": label, **_category_row(category)}
                for label, category in enumerate(categories)
            ],
        }
    )


def write_instance_results(
    folder: str | Path,
    results: Iterable[tuple[str, int | str, InstancePrediction]],
    categories: Sequence[Category],
) -> Path:
    """Write instance predictions as a COCO results list, which pycocotools' `loadRes` reads.

    Args:
        folder: Created if missing.
        results: File name of the image (not used: the list knows images by id), its id in the
            annotation file, what was predicted; read once, in order.
        categories: The catalogue that the labels refer to.

    Returns:
        The JSON, `folder/instances.json`: a list of `image_id`, `category_id`, `segmentation`,
        `score` and `bbox` (left, top, width, height, in pixels). An image on which nothing was
        found does not appear.

    Raises:
        FileExistsError: If there are such results in the folder already.
        ValueError: If two results share an id, a label is not in the catalogue, or a score is
            not finite.
    """
    names = ResultNames(folder, "instances")
    rows = []
    for _, image_id, prediction in results:
        names.claim_id(image_id)
        labels, scores = prediction.labels.tolist(), prediction.scores.tolist()
        _check_labels(labels, categories, image_id)
        _check_scores(scores, image_id)
        for mask, label, score in zip(prediction.masks, labels, scores, strict=True):
            runs = _run_lengths(mask)
            rows.append(
                {
                    "image_id": image_id,
                    "category_id": categories[label].dataset_id,
                    "segmentation": {"size": runs["size"], "counts": runs["counts"].decode()},
                    "score": score,
                    "bbox": _bounding_box(runs),
                }
            )
    return names.write_json(rows)


def _segments_info(
    prediction: PanopticPrediction, categories: Sequence[Category], image_id: int | str
) -> list[Row]:
    segments, segment_map = prediction.segments, prediction.segment_map
    listed = [segment.id for segment in segments]
    drawn = set(segment_map.unique().tolist()) - {VOID_ID}
    if drawn != set(listed) or len(drawn) != len(listed):
        raise ValueError(
            f"segments and segment map must name the same ids, once each, got segments="
            f"{listed}, in the map {sorted(drawn)}, {image_id=}."
        )
    _check_labels([segment.label for segment in segments], categories, image_id)
    _check_scores([segment.score for segment in segments], image_id)
    rows = []
    for segment in segments:
        runs = _run_lengths(segment_map == segment.id)
        rows.append(
            {
                "id": segment.id,
                "category_id": categories[segment.label].dataset_id,
                "isthing": int(categories[segment.label].is_thing),
                "area": int(run_lengths.area(runs)),
                "bbox": _bounding_box(runs),
                "iscrowd": 0,
                "score": segment.score,
            }
        )
    return rows


def _run_lengths(mask: Bool[Tensor, "H W"]) -> Row:
    # subtle: COCO counts down the columns
    return run_lengths.encode(np.asfortranarray(mask.cpu().to(torch.uint8).numpy()))


def _bounding_box(runs: Row) -> list[int]:
    """Left, top, width, height in pixels; all 0 for an empty mask."""
    return [int(side) for side in run_lengths.toBbox(runs)]


def _check_labels(
    labels: Sequence[int], categories: Sequence[Category], image_id: int | str
) -> None:
    unknown = [label for label in labels if not 0 <= label < len(categories)]
    if unknown:
        raise ValueError(
            f"labels must be in 0 .. {len(categories) - 1}, got {unknown=}, {image_id=}. "
            f"Pass the catalogue that the model was trained with."
        )


def _check_scores(scores: Sequence[float], image_id: int | str) -> None:
    if not all(math.isfinite(score) for score in scores):
        raise ValueError(f"JSON holds finite scores only, got {scores=}, {image_id=}.")


def _image_row(file_name: str, image_id: int | str, pixel_map: Tensor) -> Row:
    height, width = pixel_map.shape
    return {"id": image_id, "file_name": file_name, "width": width, "height": height}


def _category_row(category: Category) -> Row:
    return {
        "id": category.dataset_id,
        "name": category.name,
        "isthing": int(category.is_thing),
        "color": list(category.color),
    }
