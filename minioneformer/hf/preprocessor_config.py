"""`preprocessor_config.json`: the settings of an image processor on disk.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2, the form of the published interface.

Read are the files of published checkpoints, those of transformers (which since version 5 puts the
settings into `processor_config.json`), and those that training runs of this package leave.

Not here: the class file beside it (`hf/class_info.py`), what the settings do
(`hf/image_processor.py`).
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from minioneformer.checkpoints.folder_files import read_json

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
CLASS_FILES = ("class_info.json", "*_panoptic.json")

# say who wrote the file, or are of no use to this processor where they are at rest
KNOWN = frozenset(
    {
        *("image_processor_type", "feature_extractor_type", "processor_class", "auto_map"),
        *("model_input_names", "object_threshold", "overlap_threshold", "separate_parts"),
    }
)
OLD_NAMES = {"reduce_labels": "do_reduce_labels"}
# what older and newer versions of transformers write, with the value that changes nothing
IDLE: dict[str, object] = {
    "do_pad": True,
    "pad_size": None,
    "do_center_crop": False,
    "crop_size": None,
    "data_format": "channels_first",
    "input_data_format": None,
    "device": None,
    "return_tensors": None,
    "disable_grouping": None,
    "image_seq_length": None,
}


def read_settings(folder: Path, settings: Collection[str]) -> dict[str, Any]:
    """Read the settings of a folder.

    Args:
        folder: Holds `preprocessor_config.json`, or a `processor_config.json` with an
            "image_processor".
        settings: Names that the processor knows.

    Returns:
        Those of the file, by the names that the processor knows.

    Raises:
        FileNotFoundError: If neither file is there.
        ValueError: If a file is no JSON object.

    Warns:
        UserWarning: If the file has settings that nothing here reads; they are named.
    """
    path, values = _read(folder)
    values = {OLD_NAMES.get(name, name): value for name, value in values.items()}
    if "shortest_edge" in values:  # as training runs of this package write it
        values |= _own_size(values.pop("shortest_edge"), values.pop("longest_edge", None))
    if "max_size" in values:  # as versions of 2022 wrote it
        values["size"] = _old_size(values.get("size"), values.pop("max_size"))
    unread = sorted(
        name
        for name, value in values.items()
        if name not in settings
        and name not in KNOWN
        and (name not in IDLE or value not in (None, IDLE[name]))
    )
    if unread:
        warnings.warn(f"{path} has settings that are not read: {', '.join(unread)}.", stacklevel=3)
    return {name: value for name, value in values.items() if name in settings}


def check_names(overrides: Mapping[str, Any], settings: Collection[str]) -> None:
    """Refuse settings that there are not.

    Args:
        overrides: By name.
        settings: Names that there are.

    Raises:
        TypeError: If one is unknown; the nearest one is named.
    """
    for name in overrides:
        if name not in settings:
            near = difflib.get_close_matches(name, settings, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"no such setting, got {name}={overrides[name]!r:.60}.{hint}")


def _read(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = folder / PREPROCESSOR
    if path.is_file():
        return path, read_json(path)
    path = folder / PROCESSOR
    if path.is_file():
        nested = read_json(path).get("image_processor")
        if isinstance(nested, dict):
            return path, nested
    raise FileNotFoundError(
        f"no {PREPROCESSOR} in {str(folder)!r}, and no {PROCESSOR} with an image processor. Pass "
        f"the folder of a published checkpoint, or one written by save_pretrained."
    )


def _own_size(shortest: int | None, longest: int | None) -> dict[str, Any]:
    if shortest is None:
        return {"do_resize": False}
    return {"size": {"shortest_edge": shortest, "longest_edge": longest}}


def _old_size(size: Any, longest: int) -> Any:
    return {"shortest_edge": size, "longest_edge": longest} if isinstance(size, int) else size
