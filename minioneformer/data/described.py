"""A user's own data, described once in a file beside it: `dataset.json`.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

The file names the form, the folders of each split, and what the form needs to know:

    {"format": "semantic_folder",
     "splits": {"train": {"image_dir": "train", "png_dir": "train_labels"}},
     "values": {"0": "ignore", "1": "road", "2": "car"}, "things": ["car"]}

The other values are the arguments of the class that reads the form, under the same names.

Not here: those classes (`data/coco.py`, `data/coco_instance.py`, `data/label_folder.py`,
`data/labelme.py`).
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minioneformer.data.background import WithBackground
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.coco_instance import CocoInstance
from minioneformer.data.label_folder import InstanceFolder, SemanticFolder
from minioneformer.data.labelme import LabelMe
from minioneformer.structures import Category

DESCRIPTION = "dataset.json"
FORMATS: Mapping[str, Callable[..., Any]] = {
    "coco_panoptic": CocoPanoptic,
    "coco_instance": CocoInstance,
    "semantic_folder": SemanticFolder,
    "instance_folder": InstanceFolder,
    "labelme": LabelMe,
}
PATHS = ("json_path", "image_dir", "png_dir", "json_dir", "class_json")
OWN_KEYS = ("format", "splits", "background")


def open_described(
    root: str | Path, split: str, *, categories: Sequence[Category] | None = None
) -> Any:
    """Open a split of a described data set.

    Args:
        root: Folder with `dataset.json`; paths in it are relative to it and stay inside.
        split: One of the splits that the file names.
        categories: The catalogue of a model whose positions are the labels; None makes one of
            the description.

    Returns:
        The data set. With `background` in the description, objects over one class of that name.

    Raises:
        FileNotFoundError: If there is no description, or a folder is missing.
        ValueError: If the description is broken, names no such form, split or argument (near
            matches are named), or a path leaves the folder; whatever the form refuses.
    """
    path = Path(root) / DESCRIPTION
    values = _read(path)
    kind = _one_of(values.get("format"), FORMATS, f"{path}: format")
    splits = values.get("splits")
    if not isinstance(splits, Mapping):
        raise ValueError(f"{path}: splits must name the folders of each split, got {splits!r:.60}.")
    places = splits[_one_of(split, splits, f"{path}: the split")]
    options = {key: value for key, value in values.items() if key not in OWN_KEYS}
    arguments = {**options, **places} | ({} if categories is None else {"categories": categories})
    known = list(inspect.signature(FORMATS[kind]).parameters)
    for name in arguments:
        _one_of(name, known, f"{path}: an argument of {kind}")
    for name in PATHS:
        if arguments.get(name) is not None:
            arguments[name] = _inside(Path(root), str(arguments[name]), path)
    for name in ("values", "class_of"):
        if isinstance(arguments.get(name), Mapping):
            arguments[name] = {_whole(k, path): v for k, v in arguments[name].items()}
    background = values.get("background")
    try:
        dataset = FORMATS[kind](**arguments)
    except TypeError as error:
        raise ValueError(f"{path}: {error}.") from error
    return dataset if background is None else _with_background(dataset, background, path)


def _with_background(dataset: Any, name: Any, path: Path) -> WithBackground:
    if dataset.tasks != ("instance",):
        raise ValueError(
            f"{path}: background is for data that annotate objects only, got {dataset.tasks=}."
        )
    return WithBackground(dataset, name=str(name))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no description of the data, got {str(path)!r}. See the guide on own data."
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold one JSON object, got a {type(values).__name__}.")
    return values


def _one_of(name: Any, known: Mapping[str, Any] | Sequence[str], what: str) -> str:
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f" Near match: {near[0]}." if near else f" There are: {', '.join(known)}."
        raise ValueError(f"{what} is not known, got {name!r}.{hint}")
    return name


def _inside(root: Path, value: str, path: Path) -> Path:
    place = (root / value).resolve()
    if not place.is_relative_to(root.resolve()):
        raise ValueError(f"{path}: a path must stay in the folder, got {value!r}.")
    return place


def _whole(key: str, path: Path) -> int:
    if not key.isdecimal():
        raise ValueError(f"{path}: values of pixels are whole numbers, got {key!r}.")
    return int(key)
