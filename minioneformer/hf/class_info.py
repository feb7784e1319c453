"""The classes as the published processor knows them: a JSON file and the `metadata` made from it.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2, the form of the published interface.

The file holds `{"0": {"name": "wall", "isthing": 0}, ...}`, the metadata `"0"`, `"1"`, ... with
the names, `"thing_ids"` and `"class_names"`.

Not here: the package's own class tables (`data/categories.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minioneformer.checkpoints.folder_files import read_json
from minioneformer.hub import find_folder, is_hub_name
from minioneformer.structures import Category


def metadata_from_class_info(class_info: Mapping[str, Any]) -> dict[str, Any]:
    """Make the metadata of a class file.

    Args:
        class_info: By label, written as text.

    Returns:
        The metadata, in order of the labels.

    Raises:
        ValueError: If the labels are not 0 .. K - 1, or a class has no name or no "isthing".

    Example:
        `{"0": {"name": "sky", "isthing": 0}, "1": {"name": "cat", "isthing": 1}}` gives
        `{"0": "sky", "1": "cat", "thing_ids": [1], "class_names": ["sky", "cat"]}`.
    """
    labels = [str(label) for label in range(len(class_info))]
    if set(labels) != set(class_info):
        raise ValueError(
            f"a class file must have the keys '0' .. '{len(class_info) - 1}', got "
            f"{', '.join(class_info):.60}."
        )
    for label in labels:
        entry = class_info[label]
        if not isinstance(entry, Mapping) or not {"name", "isthing"} <= set(entry):
            raise ValueError(
                f"a class needs a 'name' and an 'isthing' of 0 or 1, got {entry!r:.60} for class "
                f"{label}."
            )
    names = [str(class_info[label]["name"]) for label in labels]
    things = [int(label) for label in labels if class_info[label]["isthing"]]
    return {**dict(zip(labels, names, strict=True)), "thing_ids": things, "class_names": names}


def class_info_from_metadata(metadata: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Undo `metadata_from_class_info`.

    Args:
        metadata: As published.

    Returns:
        What the class file holds.
    """
    return {
        str(label): {"name": category.name, "isthing": int(category.is_thing)}
        for label, category in enumerate(categories_of(metadata))
    }


def categories_of(metadata: Mapping[str, Any]) -> tuple[Category, ...]:
    """Give the metadata the form of the package's own catalogues.

    Args:
        metadata: As published.

    Returns:
        By label; colours are black, and dataset ids are the labels.

    Raises:
        ValueError: If "class_names" or "thing_ids" is missing, or a thing is no class.
    """
    missing = [key for key in ("class_names", "thing_ids") if key not in metadata]
    if missing:
        raise ValueError(f"metadata needs 'class_names' and 'thing_ids', got none of {missing}.")
    names, things = list(metadata["class_names"]), {int(i) for i in metadata["thing_ids"]}
    unknown = sorted(things - set(range(len(names))))
    if unknown:
        raise ValueError(
            f"thing_ids must be labels, 0 to {len(names) - 1}, got thing_ids with {unknown[:5]}."
        )
    return tuple(
        Category(name=str(name), is_thing=label in things, color=(0, 0, 0), dataset_id=label)
        for label, name in enumerate(names)
    )


def is_local(repo_path: str | None, class_info_file: str) -> bool:
    """Whether the class file can be read without the hub.

    Args:
        repo_path: A local folder, or "owner/name" of a repository of the hub.
        class_info_file: Its name in there.

    Returns:
        False if it has to be fetched.
    """
    if (Path(repo_path or "") / class_info_file).is_file():
        return True
    return repo_path is None or not is_hub_name(repo_path)


def read_class_info(repo_path: str | None, class_info_file: str) -> dict[str, Any]:
    """Read the class file, fetching it if need be.

    Args:
        repo_path: A local folder, or "owner/name" of a repository of the hub; None means that
            `class_info_file` is a path.
        class_info_file: Its name in there.

    Returns:
        What it holds.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is no JSON object.
        ImportError: If it has to be fetched and `huggingface_hub` is not installed.

    Fidelity:
        transformers asks the hub in the constructor; here nothing is fetched before it is used.
    """
    if is_local(repo_path, class_info_file):
        path = Path(repo_path or "") / class_info_file
    else:
        path = _fetched(str(repo_path), class_info_file) / class_info_file
    if not path.is_file():
        raise FileNotFoundError(
            f"no class file {class_info_file!r}, got {repo_path=}. Pass repo_path: a folder, or "
            f"the name of a repository, that holds it."
        )
    return read_json(path)


def _fetched(name: str, class_info_file: str) -> Path:
    """The published class files lie in a repository of data; own ones mostly beside a model."""
    hint = "Pass repo_path: a local folder that holds the class file."
    try:
        folder = find_folder(name, files=[class_info_file], repo_type="dataset", hint=hint)
    except FileNotFoundError:
        return find_folder(name, files=[class_info_file], hint=hint)
    if (folder / class_info_file).is_file():
        return folder
    return find_folder(name, files=[class_info_file], hint=hint)
