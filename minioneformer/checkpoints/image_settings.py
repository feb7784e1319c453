"""How images are prepared and results decoded, and which classes there are: two published files.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4 and 4.1; not drawn in Figure 2.

`preprocessor_config.json` has the fields of the published image processor, and three of ours for
post-processing, which published files lack: those of the data set are taken then.

Not here: the image processor itself (`hf/image_processor.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minioneformer.checkpoints.folder_files import read_classes
from minioneformer.config import OneFormerConfig
from minioneformer.data.categories import CATALOGS, load_catalog
from minioneformer.field_types import fit_value
from minioneformer.pixels import IMAGE_MEAN, IMAGE_STD
from minioneformer.structures import Category

CLASSES = "class_info.json"
BILINEAR = 2  # Pillow's number of the filter
LARGEST = 255.0
PUBLISHED_SIZE = {"shortest_edge": 800, "longest_edge": 1333}


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How images are prepared and results decoded.

    Args:
        shortest_edge: Of the resized image in pixels; None keeps the size.
        longest_edge: Upper bound in pixels; None sets none.
        object_threshold: Class probability a panoptic segment must exceed.
        overlap_threshold: Share of its mask a panoptic segment must own.
        separate_parts: Pixels that a connected part of a thing must have to be an object of its
            own; 0 keeps things whole.
    """

    shortest_edge: int | None = None
    longest_edge: int | None = None
    object_threshold: float = 0.8
    overlap_threshold: float = 0.8
    separate_parts: int = 0


def preprocessor_values(settings: ImageSettings, config: OneFormerConfig) -> dict[str, Any]:
    """The content of `preprocessor_config.json`.

    Args:
        settings: To write.
        config: Of the model.

    Returns:
        JSON values under the published names, and both thresholds.
    """
    edges = {"shortest_edge": settings.shortest_edge, "longest_edge": settings.longest_edge}
    return {
        "image_processor_type": "OneFormerImageProcessor",
        "processor_class": "OneFormerProcessor",
        "do_resize": settings.shortest_edge is not None,
        "size": {name: edge for name, edge in edges.items() if edge is not None}
        if settings.shortest_edge
        else PUBLISHED_SIZE,
        "resample": BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / LARGEST,
        "do_normalize": True,
        "image_mean": [value / LARGEST for value in IMAGE_MEAN],
        "image_std": [value / LARGEST for value in IMAGE_STD],
        "ignore_index": None,
        "do_reduce_labels": False,
        "repo_path": None,
        "class_info_file": CLASSES,
        "num_text": config.num_text,
        "num_labels": config.num_classes,
        "object_threshold": settings.object_threshold,
        "overlap_threshold": settings.overlap_threshold,
        "separate_parts": settings.separate_parts,
    }


def read_settings(values: Mapping[str, Any], path: Path) -> ImageSettings:
    """Read what `preprocessor_values` or another program wrote.

    Args:
        values: Of the file.
        path: Named in errors.

    Returns:
        The settings.

    Raises:
        ValueError: If a value is of another type, or the images of the model were normalised in
            another way than ours.
    """
    try:
        _check_normalisation(values)
        shortest, longest = _edges(values)
        default = 0.5 if "ade20k" in str(values.get("class_info_file")) else 0.8
        thresholds = {
            "object_threshold": values.get("object_threshold", default),
            "overlap_threshold": values.get("overlap_threshold", 0.8),
        }
        fitted = {name: fit_value(value, float, name) for name, value in thresholds.items()}
        parts = fit_value(values.get("separate_parts", 0), int, "separate_parts")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return ImageSettings(
        shortest_edge=shortest, longest_edge=longest, separate_parts=parts, **fitted
    )


def read_categories(
    folder: Path, values: Mapping[str, Any], config: OneFormerConfig
) -> tuple[Category, ...]:
    """The classes of a model.

    Args:
        folder: Of the model.
        values: Of its `preprocessor_config.json`, which names the file of classes.
        config: Of the model.

    Returns:
        By label. A published file of classes that is not in the folder is replaced by the
        catalogue of its data set.

    Raises:
        FileNotFoundError: If there is neither the file nor a catalogue.
        ValueError: If the file is broken or is about another number of classes.
    """
    name = Path(str(values.get("class_info_file") or CLASSES)).name
    catalog = next((known for known in CATALOGS if name.startswith(known)), None)
    if not (folder / name).is_file() and catalog is not None:
        categories = load_catalog(catalog)
        if len(categories) == config.num_classes:
            return categories
    return read_classes(folder / name, config.num_classes)


def _edges(values: Mapping[str, Any]) -> tuple[int | None, int | None]:
    if not values.get("do_resize", True):
        return None, None
    size = values.get("size", PUBLISHED_SIZE)
    if not isinstance(size, Mapping):  # the form of older files
        size = {"shortest_edge": size, "longest_edge": values.get("max_size")}
    shortest, longest = (
        fit_value(size.get(name), int | None, f"size.{name}")
        for name in ("shortest_edge", "longest_edge")
    )
    return shortest, longest


def _check_normalisation(values: Mapping[str, Any]) -> None:
    for name, ours in (("image_mean", IMAGE_MEAN), ("image_std", IMAGE_STD)):
        expected = [round(value / LARGEST, 6) for value in ours]
        given = fit_value(values.get(name, expected), tuple[float, float, float], name)
        if not all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(given, expected, strict=True)):
            raise ValueError(
                f"{name} must be that of every published model, {expected}, got {list(given)}."
            )
