"""From one layout of published weights to another, and to a folder that predicts.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

A file of the original code holds weights alone. What else a model needs comes from the table of
published models (its classes, sizes and thresholds, found by the name of the file or given by
name) and from a vocabulary.

Not here: the names in the layouts (`checkpoints/huggingface.py`, `checkpoints/official.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from minioneformer.checkpoints.image_settings import ImageSettings
from minioneformer.checkpoints.infer_config import infer_config, layout_of
from minioneformer.checkpoints.load_report import LoadReport, load_into
from minioneformer.checkpoints.model_folder import (
    CONFIG,
    FOR_TRAINING,
    TrainedModules,
    find_model,
    read_config,
    read_model,
)
from minioneformer.checkpoints.official import from_official, to_official
from minioneformer.checkpoints.pretrained import Pretrained, load_pretrained, save_pretrained
from minioneformer.checkpoints.weight_files import read_weight_file, write_official
from minioneformer.config import DinatConfig, OneFormerConfig
from minioneformer.data.categories import load_catalog
from minioneformer.presets.published import published_model, published_model_of_file
from minioneformer.presets.published_model import PublishedModel
from minioneformer.text.tokenizer import BPETokenizer

Layout = Literal["huggingface", "official"]


@dataclass(frozen=True, kw_only=True)
class OfficialModel:
    """What a file of the original code gives.

    Args:
        config: Read from the shapes of its tensors, with what shapes do not show.
        modules: With the weights, in evaluation mode.
        published: The published model that the file is one of; None for another.
        report: What was loaded, skipped and begun anew.
    """

    config: OneFormerConfig
    modules: TrainedModules
    published: PublishedModel | None
    report: LoadReport


def read_official(path: str | Path, *, model: str | None = None) -> OfficialModel:
    """Read a file of the original code.

    Args:
        path: A `.pth`, or Detectron2's `.pkl`.
        model: Name of the published model that it is one of; None finds it by the name of the
            file. Classes, sizes of images and dilations of DiNAT come from there.

    Returns:
        The model, with the text branch and the criterion if the file has them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is broken, of another layout, or not the model that was named.
    """
    path = Path(path)
    published = published_model_of_file(path) if model is None else published_model(model)
    weights = read_weight_file(path)
    try:
        config = _config(weights, published)
        ours, skipped = from_official(config, weights)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    modules = TrainedModules.from_config(config)
    report = load_into(modules, ours, source=str(path), skipped=skipped, allow_missing=FOR_TRAINING)
    return OfficialModel(config=config, modules=modules.eval(), published=published, report=report)


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: Layout,
    model: str | None = None,
    vocabulary: str | Path | None = None,
) -> LoadReport:
    """Write a model in another layout.

    Args:
        source: A file of the original code, or a model as `find_model` finds it.
        target: A folder for "huggingface", a file for "official".
        to: The layout of the target.
        model: Name of the published model that a file is one of; see `read_official`.
        vocabulary: CLIP's, for a folder made from a file: a folder with `vocab.json` and
            `merges.txt`, or the original `bpe_simple_vocab_16e6.txt.gz`.

    Returns:
        What was loaded, skipped and begun anew.

    Raises:
        FileNotFoundError: If a file is missing.
        FileExistsError: If the target is there.
        ValueError: If a file is broken, weights do not fit, or the vocabulary is missing or is
            that of another model.
    """
    target = Path(target)
    if target.exists():
        raise FileExistsError(f"the target is there already, got {str(target)!r}.")
    from_folder = not Path(source).is_file()
    source = find_model(source) if from_folder else Path(source)
    if to == "official":
        if from_folder:
            config, modules, report = read_model(source)
        else:
            official = read_official(source, model=model)
            config, modules, report = official.config, official.modules, official.report
        write_official(target, to_official(config, modules.state_dict()))
        return report
    if from_folder:
        with_text = read_config(source / CONFIG).is_training
        pretrained = load_pretrained(source, with_text=with_text)
        save_pretrained(target, pretrained)
        assert pretrained.report is not None  # it was loaded
        return pretrained.report
    official = read_official(source, model=model)
    save_pretrained(target, _with_the_rest(official, source, vocabulary))
    return official.report


def _config(weights: Mapping[str, Tensor], published: PublishedModel | None) -> OneFormerConfig:
    """Sizes from the weights; what they do not show from the published model."""
    if layout_of(weights) != "official":
        raise ValueError(
            "not the layout of the original code: a folder with config.json and weights is read "
            "as a folder."
        )
    if published is None:
        return infer_config(weights)
    backbone = published.config.backbone_config
    dilations = backbone.dilations if isinstance(backbone, DinatConfig) else None
    try:
        found = infer_config(weights, dilations=dilations)
    except ValueError as error:
        raise ValueError(f"the weights are not those of {published.name}: {error}") from error
    expected = published.config
    for name, got, wanted in (
        ("classes", found.num_classes, expected.num_classes),
        ("queries", found.num_queries, expected.num_queries),
        ("backbone", found.backbone_config.model_type, backbone.model_type),
        ("channels per stage", found.backbone_config.stage_dims, backbone.stage_dims),
        ("blocks per stage", found.backbone_config.depths, backbone.depths),
    ):
        if got != wanted:
            raise ValueError(
                f"the weights are not those of {published.name}, got {name} {got} instead of "
                f"{wanted}."
            )
    return dataclasses.replace(
        found,
        backbone_config=backbone,
        id2label=expected.id2label,
        num_labels=None,
        ignore_value=expected.ignore_value,
    )


def _with_the_rest(
    official: OfficialModel, source: Path, vocabulary: str | Path | None
) -> Pretrained:
    """Classes, image settings and tokenizer for weights that come alone."""
    published = official.published
    if published is None:
        raise ValueError(
            f"which classes the model knows is not in {str(source)!r}: name the published model "
            "that it is one of (`minioneformer models` lists them), got none."
        )
    if vocabulary is None:
        raise ValueError(
            f"{str(source)!r} holds no tokenizer: pass CLIP's vocabulary, a folder with vocab.json "
            "and merges.txt or the original bpe_simple_vocab_16e6.txt.gz, got none."
        )
    path = Path(vocabulary)
    tokenizer = (
        BPETokenizer.from_folder(path) if path.is_dir() else BPETokenizer.from_merges_file(path)
    )
    if tokenizer.vocab_size != official.config.text_encoder_vocab_size:
        raise ValueError(
            f"the model was trained with another vocabulary, got {tokenizer.vocab_size=}, "
            f"{official.config.text_encoder_vocab_size=}."
        )
    return Pretrained(
        config=official.config,
        modules=official.modules,
        tokenizer=tokenizer,
        categories=load_catalog(published.dataset),
        settings=ImageSettings(
            shortest_edge=published.shortest_edge,
            longest_edge=published.longest_edge,
            object_threshold=published.object_threshold,
            overlap_threshold=published.overlap_threshold,
        ),
    )
