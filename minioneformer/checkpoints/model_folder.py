"""Configuration and weights of a model in a folder, under their published names.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

`config.json` and `model.safetensors` (or `pytorch_model.bin`, or shards of either), as the
published folders have them and as transformers reads and writes them.

Not here: names (`checkpoints/huggingface.py`), single files (`checkpoints/weight_files.py`), what
else belongs to a trained model (`checkpoints/pretrained.py`).
"""

from __future__ import annotations

import dataclasses
import difflib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from minioneformer.checkpoints.folder_files import read_json, write_json
from minioneformer.checkpoints.huggingface import from_huggingface, to_huggingface
from minioneformer.checkpoints.load_report import LoadReport, load_into
from minioneformer.checkpoints.weight_files import (
    MAX_SHARD_BYTES,
    read_weight_file,
    write_weight_file,
)
from minioneformer.config import OneFormerConfig, check_fields
from minioneformer.field_types import fit_fields
from minioneformer.hub import TOY, find_folder, is_hub_name
from minioneformer.losses.criterion import Criterion
from minioneformer.model import OneFormer

CONFIG, WEIGHTS = "config.json", "model.safetensors"
ARCHITECTURE = "OneFormerForUniversalSegmentation"
# Parts that a published file may lack: its model was saved for inference.
FOR_TRAINING = ("model.text_mapper.", "criterion.")
HUB_FILES = ("*.json", "*.safetensors", "*.bin", "merges.txt")


class TrainedModules(nn.Module):
    """Everything that is trained: the model and the criterion's temperature.

    Args:
        model: With or without its text branch.
        criterion: Its losses.
    """

    def __init__(self, *, model: OneFormer, criterion: Criterion) -> None:
        super().__init__()
        self.model = model
        self.criterion = criterion

    @classmethod
    def from_config(
        cls, config: OneFormerConfig, *, checkpoint_blocks: bool = False
    ) -> TrainedModules:
        """Build both with random weights.

        Args:
            config: Of the model.
            checkpoint_blocks: See `OneFormer.from_config`.
        """
        model = OneFormer.from_config(config, checkpoint_blocks=checkpoint_blocks)
        return cls(model=model, criterion=Criterion.from_config(config))


def find_model(source: str | Path) -> Path:
    """Find the folder of a model.

    Args:
        source: That folder, the folder of a run that holds one as `model`, an id on the Hugging
            Face hub, or "toy" for the model that ships with the package.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If there is no model.
        ImportError: If it has to be fetched and `huggingface_hub` is not installed.
    """
    for folder in (Path(source), Path(source) / "model"):
        if (folder / CONFIG).is_file():
            return folder
    if is_hub_name(source) or (str(source) == TOY and not Path(source).exists()):
        return find_folder(source, files=HUB_FILES)
    raise FileNotFoundError(
        f"no model in {str(source)!r}: need a folder with {CONFIG} and {WEIGHTS}, the folder of a "
        "finished run, an id on the hub such as shi-labs/oneformer_coco_swin_large, or 'toy' for "
        "the model that ships with the package."
    )


def read_config(path: Path) -> OneFormerConfig:
    """Read a `config.json`, whoever wrote it.

    Args:
        path: Of the file.

    Returns:
        The configuration. Fields that mean nothing here are named in a warning.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON, a value is of another type than its field, or one that no
            published model has; the file is named.
    """
    values = read_json(path)
    try:
        fitted = fit_fields(OneFormerConfig, values, "config")
        config, unknown = OneFormerConfig.from_published(fitted)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if unknown:
        names = ", ".join(_with_near_match(name) for name in unknown)
        warnings.warn(f"{path}: fields that mean nothing here, got {names}.", stacklevel=2)
    return config


def change_config(config: OneFormerConfig, changes: Mapping[str, Any]) -> OneFormerConfig:
    """Override fields; names and number of the classes stay in step.

    Args:
        config: To start from.
        changes: By field name; `label2id` follows from `id2label` and may be given beside it.

    Returns:
        A new configuration.

    Raises:
        ValueError: If a field is unknown (near matches are named), or values do not fit together.
    """
    changes = {name: value for name, value in changes.items() if name != "label2id"}
    check_fields(OneFormerConfig, changes)
    if "id2label" in changes:
        labels = {int(label): name for label, name in changes["id2label"].items()}
        changes = {"num_labels": None} | changes | {"id2label": labels}
    elif changes.get("num_labels") not in (None, config.num_labels):
        changes = changes | {"id2label": {}}
    return dataclasses.replace(config, **changes)


def read_model(
    folder: str | Path,
    *,
    config: OneFormerConfig | None = None,
    changes: Mapping[str, Any] | None = None,
    new_classes: bool = False,
) -> tuple[OneFormerConfig, TrainedModules, LoadReport]:
    """Read a model.

    Args:
        folder: With the weights, and `config.json` unless `config` is given.
        config: Instead of that of the folder.
        changes: Fields to override.
        new_classes: The explicit word for tensors of another shape, those of another number of
            classes: they keep their first random values.

    Returns:
        The configuration; the modules in evaluation mode; what was loaded, skipped and begun anew.
        If the file lacks the text branch or the criterion, that is in the report and a warning.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is broken, or the weights do not fit the configuration; they are
            named.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG) if config is None else config
    config = change_config(config, changes or {})
    try:
        ours, skipped = from_huggingface(config, read_weight_file(folder))
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    modules = TrainedModules.from_config(config)
    report = load_into(
        modules,
        ours,
        source=str(folder),
        allow_missing=FOR_TRAINING,
        new_classes=new_classes,
        skipped=skipped,
    )
    begun = [name for name in report.reinitialised if not name.startswith("criterion.")]
    if begun or report.mismatched:
        warnings.warn(f"{folder}: {report.summary()}", stacklevel=2)
    return config, modules.eval(), report


def write_model(
    folder: str | Path,
    config: OneFormerConfig,
    modules: TrainedModules,
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> Path:
    """Write configuration and weights.

    Args:
        folder: Made if it is missing; files of the same names are replaced.
        config: Of the model.
        modules: Model and criterion.
        max_shard_bytes: Bytes per file; above it the weights are spread over several.

    Returns:
        The folder.

    Raises:
        OSError: If the folder cannot be written or the disk is full; weights that were there are
            then untouched.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = to_huggingface(config, modules.state_dict())
    write_json(folder / CONFIG, {"architectures": [ARCHITECTURE], **config.to_dict()})
    # subtle: written last, so a folder that has weights has everything else.
    write_weight_file(folder / WEIGHTS, weights, max_shard_bytes)
    return folder


def _with_near_match(name: str) -> str:
    known = [field.name for field in dataclasses.fields(OneFormerConfig)]
    near = difflib.get_close_matches(name, known, n=1)
    return f"{name!r} (near match: {near[0]})" if near else repr(name)
