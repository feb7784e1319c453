"""A trained model as a folder: weights, configuration, classes, tokenizer, image settings.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

The files are those of published folders: `config.json`, `model.safetensors`,
`preprocessor_config.json`, a file of classes, `vocab.json`, `merges.txt`. Other programs read what
is written here, and what they wrote is read.

Not here: configuration and weights (`checkpoints/model_folder.py`), image settings
(`checkpoints/image_settings.py`), checkpoints of a run in progress (`training/checkpoint.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minioneformer.checkpoints.folder_files import read_json, write_classes, write_json
from minioneformer.checkpoints.image_settings import (
    CLASSES,
    ImageSettings,
    preprocessor_values,
    read_categories,
    read_settings,
)
from minioneformer.checkpoints.load_report import LoadReport
from minioneformer.checkpoints.model_folder import (
    CONFIG,
    TrainedModules,
    find_model,
    read_config,
    read_model,
    write_model,
)
from minioneformer.config import OneFormerConfig
from minioneformer.model import OneFormer
from minioneformer.structures import Category
from minioneformer.text.tokenizer import BPETokenizer

PREPROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What a folder holds.

    Args:
        config: Of the model.
        modules: Model and criterion.
        tokenizer: That the model was trained with.
        categories: The classes, by label.
        settings: Of images and results.
        report: What was loaded, skipped and begun anew; None for a model that was not loaded.
    """

    config: OneFormerConfig
    modules: TrainedModules
    tokenizer: BPETokenizer
    categories: tuple[Category, ...]
    settings: ImageSettings
    report: LoadReport | None = None

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
    write_classes(folder / CLASSES, pretrained.categories)
    write_json(folder / PREPROCESSOR, preprocessor_values(pretrained.settings, pretrained.config))
    return write_model(folder, pretrained.config, pretrained.modules)


def load_pretrained(source: str | Path, *, with_text: bool = False) -> Pretrained:
    """Read a model and everything that it needs to predict.

    Args:
        source: A folder that `save_pretrained` or transformers wrote, the folder of a run that
            holds one as `model`, an id on the Hugging Face hub such as
            "shi-labs/oneformer_coco_swin_large" (needs the extra `hub`), or "toy" for the model
            that ships with the package.
        with_text: Whether the text branch is built and loaded too; needed to train on.

    Returns:
        What the folder holds; the model is in evaluation mode.

    Raises:
        FileNotFoundError: If the folder or one of its files is missing.
        ValueError: If a file is truncated or broken (named), the weights do not fit the
            configuration (tensors named), the vocabulary is another one, or a text branch is
            asked for that is not there.
    """
    folder = find_model(source)
    if with_text and not read_config(folder / CONFIG).is_training:
        raise ValueError(f"{folder} holds no text branch, got {with_text=}.")
    preprocessor = folder / PREPROCESSOR
    values = read_json(preprocessor)
    settings = read_settings(values, preprocessor)
    tokenizer = BPETokenizer.from_folder(folder)
    config, modules, report = read_model(folder, changes={"is_training": with_text})
    if tokenizer.vocab_size != config.text_encoder_vocab_size:
        raise ValueError(
            f"{folder}: the model was trained with another vocabulary, got "
            f"{tokenizer.vocab_size=}, {config.text_encoder_vocab_size=}."
        )
    return Pretrained(
        config=config,
        modules=modules,
        tokenizer=tokenizer,
        categories=read_categories(folder, values, config),
        settings=settings,
        report=report,
    )
