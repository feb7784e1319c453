"""What several commands share.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: the commands.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from minioneformer.atomic import write_text_atomically
from minioneformer.checkpoints.pretrained import Pretrained, load_pretrained
from minioneformer.training.run import default_device

INSTANCE_THRESHOLD = 0.5  # class probability of the instances that are drawn
EVALUATION_BATCH = 20

# subtle: without appending, a second --set would silently replace the first
Settings = Annotated[
    tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]],
    tyro.conf.arg(name="set", metavar="KEY=VALUE ..."),
]


def flat(settings: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """Words of all `--set` options.

    Args:
        settings: One tuple per option.
    """
    return tuple(itertools.chain.from_iterable(settings))


def load(weights: str) -> Pretrained:
    """Read a model onto the device that commands run on.

    Args:
        weights: See `load_pretrained`.
    """
    pretrained = load_pretrained(weights)
    pretrained.modules.to(default_device())
    return pretrained


def write_figures(path: Path, values: Mapping[str, Any]) -> None:
    """Write figures; those that are not defined (nan) become null.

    Args:
        path: Of the JSON file.
        values: By name, nested.
    """
    write_text_atomically(path, figures_text(values) + "\n")


def figures_text(values: Mapping[str, Any]) -> str:
    """Figures as JSON; those that are not defined (nan) become null.

    Args:
        values: By name, nested.
    """
    return json.dumps(_without_nan(values), indent=1)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
