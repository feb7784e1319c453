"""A trained model as a folder: weights, configuration, classes, tokenizer.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

The files have the published names: `config.json`, `model.safetensors`,
`preprocessor_config.json`, `class_info.json`, `vocab.json`, `merges.txt`. Weights are named as
our modules are.

Not here: how the single files are read and written (`checkpoints/folder_files.py`), checkpoints
of a run in progress (`training/checkpoint.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from torch import Tensor, nn

from minioneformer.checkpoints.folder_files import (
    read_classes,
    read_json,
    read_weights,
    write_classes,
    write_json,
    write_weights,
)
from minioneformer.config import OneFormerConfig
from minioneformer.field_types import fit_fields
from minioneformer.losses.criterion import Criterion
from minioneformer.model import OneFormer
from minioneformer.pixels import IMAGE_MEAN, IMAGE_STD
from minioneformer.structures import Category
from minioneformer.text.tokenizer import BPETokenizer

WEIGHTS, CONFIG, PREPROCESSOR = "model.safetensors", "config.json", "preprocessor_config.json"
CLASSES = "class_info.json"
TEXT_BRANCH = "model.text_mapper."
SHOWN = 5  # tensors named in an error


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How images are prepared and results decoded.

    Args:
        shortest_edge: Of the resized image in pixels; None keeps the size.
        longest_edge: Upper bound in pixels; None sets none.
        object_threshold: Class probability a panoptic segment must exceed.
        overlap_threshold: Share of its mask a panoptic segment must own.
    """

    shortest_edge: int | None = None
    longest_edge: int | None = None
    object_threshold: float = 0.8
    overlap_threshold: float = 0.8


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


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What a folder holds.

    Args:
        config: Of the model.
        modules: Model and criterion.
        tokenizer: That the model was trained with.
        categories: The classes, by label.
        settings: Of images and results.
    """

    config: OneFormerConfig
    modules: TrainedModules
    tokenizer: BPETokenizer
    categories: tuple[Category, ...]
    settings: ImageSettings

    @property
    def model(self) -> OneFormer:
        """The model alone."""
        return self.modules.model


def save_pretrained(folder: str | Path, pretrained: Pretrained) -> Path:
    """Write the folder.

    Args:
        folder: Created if missing; files of the same names are replaced.
        pretrained: What to write.

    Returns:
        The folder.

    Raises:
        OSError: If the folder cannot be written or the disk is full; weights that were there
            are then untouched.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pretrained.tokenizer.save(folder)
    settings = pretrained.settings
    preprocessor = {
        "image_processor_type": "OneFormerImageProcessor",
        "image_mean": [value / 255 for value in IMAGE_MEAN],
        "image_std": [value / 255 for value in IMAGE_STD],
        "class_info_file": CLASSES,
        "num_text": pretrained.config.num_text,
        **dataclasses.asdict(settings),
    }
    write_classes(folder / CLASSES, pretrained.categories)
    write_json(folder / PREPROCESSOR, preprocessor)
    write_json(folder / CONFIG, pretrained.config.to_dict())
    # subtle: written last, so a folder that has weights has everything else.
    write_weights(folder / WEIGHTS, pretrained.modules.state_dict())
    return folder


def load_pretrained(source: str | Path, *, with_text: bool = False) -> Pretrained:
    """Read a folder that `save_pretrained` wrote.

    Args:
        source: The folder, the folder of a run that holds one as `model`, or "toy" for the
            model that ships with the package.
        with_text: Whether the text branch is built and loaded too; needed to train on.

    Returns:
        What the folder holds; the model is in evaluation mode.

    Raises:
        FileNotFoundError: If the folder or one of its files is missing.
        ValueError: If a file is truncated or broken (named), the weights do not fit the
            configuration (tensors named), the vocabulary is another one, or a text branch is
            asked for that is not there.
    """
    folder = _find(source)
    config = _read_config(folder / CONFIG)
    if with_text and not config.is_training:
        raise ValueError(f"{folder} holds no text branch, got {with_text=}.")
    config = dataclasses.replace(config, is_training=with_text)
    settings = _read_settings(folder / PREPROCESSOR)
    categories = read_classes(folder / CLASSES, config.num_classes)
    tokenizer = BPETokenizer.from_folder(folder)
    if tokenizer.vocab_size != config.text_encoder_vocab_size:
        raise ValueError(
            f"{folder}: the model was trained with another vocabulary, got "
            f"{tokenizer.vocab_size=}, {config.text_encoder_vocab_size=}."
        )
    modules = TrainedModules(
        model=OneFormer.from_config(config), criterion=Criterion.from_config(config)
    )
    weights = read_weights(folder / WEIGHTS)
    if not with_text:
        weights = {k: v for k, v in weights.items() if not k.startswith(TEXT_BRANCH)}
    load_weights(modules, weights, folder / WEIGHTS)
    return Pretrained(
        config=config,
        modules=modules.eval(),
        tokenizer=tokenizer,
        categories=categories,
        settings=settings,
    )


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Copy weights into a module, all or nothing.

    Args:
        module: With the same names and shapes.
        weights: By name.
        source: Named in errors.

    Raises:
        ValueError: If tensors are missing, unknown or of another shape; they are named.
    """
    own = module.state_dict()
    problems = {
        "missing": [name for name in own if name not in weights],
        "unknown": [name for name in weights if name not in own],
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} for {tuple(own[name].shape)}"
            for name in own
            if name in weights and weights[name].shape != own[name].shape
        ],
    }
    found = [_list(kind, names) for kind, names in problems.items() if names]
    if found:
        raise ValueError(f"{source} does not fit the model: {'; '.join(found)}.")
    module.load_state_dict(weights)


def _list(kind: str, names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {kind}: {', '.join(names[:SHOWN])}{rest}"


def _find(source: str | Path) -> Path:
    if str(source) == "toy" and not Path(source).exists():
        return Path(str(resources.files("minioneformer"))) / "assets" / "toy"
    for folder in (Path(source), Path(source) / "model"):
        if (folder / CONFIG).is_file():
            return folder
    raise FileNotFoundError(
        f"no model in {str(source)!r}: need a folder with {CONFIG} and {WEIGHTS}, the folder of a "
        "finished run, or 'toy' for the model that ships with the package."
    )


def _read_config(path: Path) -> OneFormerConfig:
    values = read_json(path)
    try:
        return OneFormerConfig.from_dict(fit_fields(OneFormerConfig, values, "config"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_settings(path: Path) -> ImageSettings:
    values = read_json(path)
    known = {f.name: values[f.name] for f in dataclasses.fields(ImageSettings) if f.name in values}
    try:
        return ImageSettings(**fit_fields(ImageSettings, known, "settings"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
