"""Start from the weights of another model, of other classes or sizes where need be.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (models that start from other data sets); not drawn
in Figure 2.

Not here: going on with a run (`training/checkpoint.py`), ImageNet backbones
(`checkpoints/imagenet.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from minioneformer.checkpoints.convert import read_official
from minioneformer.checkpoints.key_table import list_names
from minioneformer.checkpoints.load_report import LoadReport
from minioneformer.checkpoints.model_folder import (
    CONFIG,
    TrainedModules,
    find_model,
    read_config,
    read_model,
)
from minioneformer.config import OneFormerConfig
from minioneformer.hub import TOY
from minioneformer.training.recipe import Recipe

LEAST_SHARE = 0.5  # of the tensors that must fit; below it is another model
# subtle: taken over, this constant would undo another `no_object_weight` without a word
CONSTANT = "criterion.class_weights"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """Weights to start from.

    Args:
        config: Of the model that they are of.
        weights: By name, of model and criterion; none that follow from the configuration.
        class_names: Of the classes that it knows, by label.
    """

    config: OneFormerConfig
    weights: Mapping[str, Tensor]
    class_names: Sequence[str]


def read_start(source: str | Path) -> Start:
    """Read a model to start from.

    Args:
        source: Folder of a model or of a run, a file of the original code, an id on the Hugging
            Face hub, or "toy".

    Returns:
        Its weights; those of the text branch too, if there are any.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If its files are broken.
    """
    folder = _folder(source)
    if folder is None:
        official = read_official(source)
        config, modules = official.config, official.modules
    else:
        config, modules, _ = read_model(folder)
    names = [config.id2label[label] for label in range(config.num_classes)]
    weights = {name: t for name, t in modules.state_dict().items() if name != CONSTANT}
    return Start(config=config, weights=weights, class_names=names)


def take_over(recipe: Recipe, source: str | Path) -> Recipe:
    """Let a recipe start from another model, with the sizes of that model.

    Args:
        recipe: Its data, plan and thresholds stay.
        source: See `read_start`.

    Returns:
        The recipe with the configuration and the vocabulary of the model; with the number of
        queries of the recipe, if that is larger.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If its files are broken, or sizes do not fit together.
    """
    folder = _folder(source)
    # subtle: the weights are read when the run begins; here the sizes are enough.
    config = read_official(source).config if folder is None else read_config(folder / CONFIG)
    num_queries = max(config.num_queries, recipe.model.num_queries)
    config = dataclasses.replace(config, num_queries=num_queries, is_training=True)
    has_vocabulary = folder is not None and (folder / "vocab.json").is_file()
    vocabulary = str(folder) if has_vocabulary and str(source) != TOY else recipe.vocabulary
    return dataclasses.replace(recipe, model=config, vocabulary=vocabulary, init=str(source))


def start_from(modules: TrainedModules, start: Start, class_names: Sequence[str]) -> LoadReport:
    """Copy what fits; classes are matched by their names.

    Args:
        modules: To change; what does not fit keeps its first random values.
        start: Weights of another model.
        class_names: Of the classes that `modules` are for, by label.

    Returns:
        What was taken, what was left, what began anew. Tensors of another size are in
        `mismatched`. Query positions beyond those of the old model begin anew. What follows from
        the configuration, the weights of the classes in the loss, is none of this.

    Raises:
        ValueError: If less than half of the tensors fit; some that do not are named.

    Example:
        From (sky, circle) to (circle, nucleus): row 0 of the class head is the old row 1, row 1
        is new, and the row of no object is the old one.
    """
    own = {name: t for name, t in modules.state_dict().items() if name != CONSTANT}
    taken = {
        name: start.weights[name]
        for name in own
        if name in start.weights and own[name].shape == start.weights[name].shape
    }
    if len(taken) < LEAST_SHARE * len(own):
        wrong = [name for name in own if name not in taken]
        raise ValueError(
            f"the weights to start from are of another model, got {len(taken)} of {len(own)} "
            f"tensors that fit, and not {list_names(wrong)}. Start from a model of these sizes, or "
            "take over its configuration."
        )
    done = taken | _class_rows(own, start, class_names) | _more_queries(own, start)
    modules.load_state_dict(modules.state_dict() | done)
    return LoadReport(
        loaded=tuple(name for name in own if name in done),
        skipped={name: "not part of the new model" for name in start.weights if name not in own},
        reinitialised=tuple(name for name in own if name not in start.weights),
        mismatched={
            name: (tuple(start.weights[name].shape), tuple(own[name].shape))
            for name in own
            if name in start.weights and name not in done
        },
    )


def _folder(source: str | Path) -> Path | None:
    """Where the model lies; None for a file of the original code."""
    return None if Path(source).is_file() else find_model(source)


def _more_queries(own: Mapping[str, Tensor], start: Start) -> dict[str, Tensor]:
    """Learned positions of the queries, the old ones first."""
    name = "model.query_positions.weight"
    old, new = start.weights[name], own[name].clone()
    if old.shape[1:] != new.shape[1:] or len(old) > len(new):
        return {}
    new[: len(old) - 1] = old[:-1]
    new[-1] = old[-1]  # subtle: the last query is the task token
    return {name: new}


def _class_rows(
    own: Mapping[str, Tensor], start: Start, class_names: Sequence[str]
) -> dict[str, Tensor]:
    """The class head with the rows of classes that both models know."""
    if list(class_names) == list(start.class_names):
        return {}
    old_label = {name: label for label, name in enumerate(start.class_names)}
    rows = {label: old_label[name] for label, name in enumerate(class_names) if name in old_label}
    rows[len(class_names)] = len(start.class_names)  # no object
    heads = {}
    for part in ("weight", "bias"):
        name = f"model.transformer_decoder.heads.class_head.{part}"
        old, new = start.weights[name], own[name].clone()
        if old.shape[1:] != new.shape[1:]:
            continue
        for label, source in rows.items():
            new[label] = old[source]
        heads[name] = new
    return heads
