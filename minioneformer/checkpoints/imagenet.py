"""Backbones that start from weights of an ImageNet classifier.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (every model starts from such weights); not drawn in
Figure 2.

Files of the authors of each backbone, of timm, of torchvision and, for ResNets, of Detectron2. The
classifier and its last norm are left out; our output norms are in no such file and keep their
first values.

Not here: the names in those files (`checkpoints/imagenet_layouts.py`), weights of a whole
OneFormer (`checkpoints/official.py`, `checkpoints/huggingface.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypeAlias

from torch import Tensor, nn

from minioneformer.checkpoints.imagenet_layouts import imagenet_table, layouts_of
from minioneformer.checkpoints.key_table import Entry, list_names, take_ours
from minioneformer.checkpoints.load_report import LoadReport, load_into
from minioneformer.checkpoints.relative_tables import resize_bias_maps, resize_window_table
from minioneformer.checkpoints.weight_files import read_weight_file
from minioneformer.config import BackboneConfig

Shape: TypeAlias = tuple[int, ...]
AUTO = "auto"
OUTPUT_NORMS = "norms."
SKIPPED = (  # what a classifier has beside the backbone
    (r".*relative_position_index", "follows from the size of the window"),
    (r".*attn_mask", "follows from the size of the image"),
    (r".*num_batches_tracked", "a counter that nothing reads"),
    (r"norm\..*|head\.norm\..*|classifier\.0\..*", "norm of the classifier"),
    (r"(head|fc|classifier|head_dist)\..*", "classifier"),
)


@dataclass(frozen=True, kw_only=True)
class BackboneReport:
    """What became of a file and of the backbone that it was for.

    Args:
        layout: Whose names the file has.
        tensors: What became of each tensor.
        resized: Tables of relative positions that were loaded in another size: the shapes in the
            file and here, by our names.
    """

    layout: str
    tensors: LoadReport
    resized: Mapping[str, tuple[Shape, Shape]]

    def summary(self) -> str:
        """A few lines of text."""
        lines = [f"names of the layout {self.layout}", self.tensors.summary()]
        if self.resized:
            steps = dict.fromkeys(f"{old} -> {new}" for old, new in self.resized.values())
            lines.append(f"resized to another window ({len(self.resized)}): {', '.join(steps)}")
        return "\n".join(lines)


def load_backbone(
    backbone: nn.Module, config: BackboneConfig, source: str | Path, *, layout: str = AUTO
) -> BackboneReport:
    """Give a backbone the weights of a classifier, all or nothing.

    Args:
        backbone: Built from `config`.
        config: Of the backbone.
        source: A file of weights, safetensors or of PyTorch (a dictionary under "model" is taken
            out), or a pickle of Detectron2.
        layout: Whose names the file has: "official", "timm", "torchvision" or "detectron2", as
            far as there are such files of this backbone; "auto" is whichever fits best.

    Returns:
        What was loaded, resized, skipped, and what the file does not have.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such layout of this backbone; if the file is broken or has
            names of no known layout; if it is of another size than the configuration, images
            with another number of channels included: missing, unplaceable and differently shaped
            tensors are named.

    Example:
        A Swin file of window 7 for a configuration of window 12: each table of 169 rows becomes
        one of 529, and the report says so.

    Fidelity:
        Official code: resizes no tables, because its windows are those of the files. Here as in
        the official detection code of Swin.
    """
    source = Path(source)
    own = backbone.state_dict()
    weights = read_weight_file(source)
    try:
        layout, table = _choose_table(config, layout, own, weights)
        named, skipped = take_ours(table, weights, _why_skipped)
        _check_channels(config, own, named)
        fitted = {name: _fit(name, tensor, own[name]) for name, tensor in named.items()}
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    report = load_into(
        backbone, fitted, source=str(source), skipped=skipped, allow_missing=(OUTPUT_NORMS,)
    )
    shapes = {name: (tuple(named[name].shape), tuple(fitted[name].shape)) for name in fitted}
    resized = {n: (old, new) for n, (old, new) in shapes.items() if prod(old) != prod(new)}
    return BackboneReport(layout=layout, tensors=report, resized=resized)


def _choose_table(
    config: BackboneConfig, layout: str, own: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> tuple[str, Sequence[Entry]]:
    """The layout that is asked for, or the one of which most names are in the file."""
    layouts = layouts_of(config)
    if layout not in (AUTO, *layouts):
        raise ValueError(
            f"files of a {config.model_type} come in the layouts {', '.join(layouts)}, "
            f"got {layout=}. Leave it out to have it found."
        )
    tables = {
        name: imagenet_table(config, layouts[name], list(own))
        for name in layouts
        if layout in (AUTO, name)
    }
    found = {
        name: sum(entry.theirs[0] in weights for entry in table) for name, table in tables.items()
    }
    best = max(found, key=lambda name: found[name])
    if 2 * found[best] < len(tables[best]):
        raise ValueError(
            f"no ImageNet weights of a {config.model_type} in the layouts {', '.join(tables)}, got "
            f"{len(weights)} tensors: {list_names(weights)}."
        )
    return best, tables[best]


def _why_skipped(name: str) -> str | None:
    return next((reason for pattern, reason in SKIPPED if re.fullmatch(pattern, name)), None)


def _check_channels(
    config: BackboneConfig, own: Mapping[str, Tensor], named: Mapping[str, Tensor]
) -> None:
    """The first convolution tells how many channels the images had."""
    name = next(iter(own))
    channels = named[name].shape[1] if name in named and named[name].ndim > 1 else None
    if channels not in (None, config.num_channels):
        raise ValueError(
            f"these weights are for images of {channels} channels, got {config.num_channels=}: "
            f"set num_channels={channels} and give such images."
        )


def _fit(name: str, tensor: Tensor, own: Tensor) -> Tensor:
    """The tensor in our shape if it holds the same quantity; as it is if it does not."""
    if tensor.shape == own.shape:
        return tensor
    # a scale of (C, 1, 1) or a 1 x 1 convolution instead of a linear layer
    begins_alike = tensor.shape[: own.ndim] == own.shape
    if begins_alike and tensor.numel() == own.numel():
        return tensor.reshape(own.shape)
    if tensor.ndim != own.ndim:
        return tensor
    if name.endswith("relative_position_bias_table") and tensor.shape[1] == own.shape[1]:
        return resize_window_table(tensor, len(own))
    side = tensor.shape[-1]
    if name.endswith("relative_position_bias") and tensor.shape == (len(own), side, side):
        return resize_bias_maps(tensor, own.shape[-1])
    return tensor
