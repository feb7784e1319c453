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


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_map_to_text(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# what a value must be, by the name of the argument
KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    **{name: ("a path", _is_text) for name in PATHS},
    "values": ('a map such as {"0": "ignore", "1": "road"}', _is_map_to_text),
    "class_of": ('a map such as {"1": "car"}', _is_map_to_text),
    "classes": (
        "a list of labels, or a map from labels to classes",
        lambda value: _is_list_of_text(value) or _is_map_to_text(value),
    ),
    "things": ("a list of class names", _is_list_of_text),
    "stuff": ("a list of class names", _is_list_of_text),
    "class_name": ("a name", _is_text),
    "background": ("a name", _is_text),
    "png_suffix": ("the end of a file name", _is_text),
    "divisor": ("a whole number", _is_whole),
    "covered": ("true or false", lambda value: isinstance(value, bool)),
}


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
    if not isinstance(places, Mapping):
        raise ValueError(f"{path}: split {split!r} must name its folders, got {places!r:.60}.")
    options = {key: value for key, value in values.items() if key not in OWN_KEYS}
    given = {name: value for name, value in {**options, **places}.items() if value is not None}
    arguments = _checked(given, kind, path)
    if categories is not None:
        arguments = _without_kinds(arguments, categories, path) | {"categories": categories}
    dataset = FORMATS[kind](**arguments)
    background = values.get("background")
    if background is None:
        return dataset
    _check_kind("background", background, path)
    return _with_background(dataset, background, path)


def _checked(given: Mapping[str, Any], kind: str, path: Path) -> dict[str, Any]:
    """Arguments of a form: known, of the right kinds, complete, paths inside the folder."""
    parameters = inspect.signature(FORMATS[kind]).parameters
    known = [name for name in parameters if name in KINDS]
    arguments = dict(given)
    for name, value in given.items():
        _check_kind(_one_of(name, known, f"{path}: an argument of {kind}"), value, path)
        if name in PATHS:
            arguments[name] = _inside(path.parent, value, path)
        if name in ("values", "class_of"):
            arguments[name] = {_whole(key, path): text for key, text in value.items()}
    missing = [
        n for n in known if parameters[n].default is inspect.Parameter.empty and n not in given
    ]
    if missing:
        raise ValueError(
            f"{path}: {kind} needs {' and '.join(missing)}, got {', '.join(given) or 'nothing'}. "
            f"Folders and files stand in the splits."
        )
    return arguments


def _check_kind(name: str, value: Any, path: Path) -> None:
    what, fits = KINDS[name]
    if not fits(value):
        raise ValueError(f"{path}: {name} must be {what}, got {value!r:.60}.")


def _without_kinds(
    arguments: Mapping[str, Any], categories: Sequence[Category], path: Path
) -> dict[str, Any]:
    """Without what a given catalogue says already: which classes are things, and which stuff."""
    things = {category.name: category.is_thing for category in categories}
    for key, is_thing in (("things", True), ("stuff", False)):
        wrong = [n for n in arguments.get(key, ()) if things.get(n, is_thing) != is_thing]
        if wrong:
            raise ValueError(
                f"{path}: {key} disagree with the classes of the model, got {wrong}. "
                f"Describe the data as they were when it was trained."
            )
    return {key: value for key, value in arguments.items() if key not in ("things", "stuff")}


def _with_background(dataset: Any, name: str, path: Path) -> WithBackground:
    if dataset.tasks != ("instance",):
        raise ValueError(
            f"{path}: background is for data that annotate objects only, got {dataset.tasks=}."
        )
    return WithBackground(dataset, name=name)


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
    if not isinstance(name, str) or name not in known:
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
