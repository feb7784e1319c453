"""What the paper's ablations switch off, as settings of a recipe.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.3, Tables 4 to 7; not drawn in Figure 2.

A row of the table is a handful of settings; rows, seeds and one base recipe give the runs. The
paper's differences were measured with other backbones on other data: they say which sign to
expect, not which size.

Not here: how the runs are done (`training/ablation_runs.py`), the table
(`training/ablation_table.py`).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from minioneformer.structures import TASKS, Task
from minioneformer.training.recipe import Recipe
from minioneformer.training.recipes import override, toy

# Short enough for two CPU cores, long enough to learn all three tasks.
BASE_SETTINGS = (
    "name=ablation",
    "data.shortest_edges=()",
    "data.longest_edge=None",
    "data.test_shortest_edge=None",
    "data.test_longest_edge=None",
    "data.val_images=100",
    "optimization.steps=400",
    "optimization.checkpoint_every=100",
)
FULL = "full"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One version of the model.

    Args:
        name: As on the command line, and of its folder.
        title: In the table.
        settings: What it changes of the base recipe.
        tasks: Whose figures are measured, each with its own token.
        paper: What the paper's figures "pq", "ap", "miou" change by, in percent points.
        source: Where the paper says so.
    """

    name: str
    title: str
    settings: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = TASKS
    paper: Mapping[str, float] = field(default_factory=dict)
    source: str = ""


ROWS: tuple[Row, ...] = (
    Row(name=FULL, title="full model, trained jointly"),
    Row(
        name="no_task_token",
        title="no task token: the model is not told the task",
        settings=("model.task_seeds_queries=False", "model.task_as_query=False"),
        paper={"pq": -0.7, "ap": -2.3, "miou": -0.1},
        source="Table 4",
    ),
    Row(
        name="no_text_context",
        title="no learnable text context",
        settings=("model.text_encoder_n_ctx=0",),
        paper={"pq": -4.5, "ap": -0.6, "miou": -0.2},
        source="Table 4",
    ),
    Row(
        name="zero_queries",
        title="queries start as zeros, not as the task token",
        settings=("model.task_seeds_queries=False",),
        paper={"pq": -1.4, "ap": -1.1, "miou": 0.1},
        source="Table 4",
    ),
    Row(
        name="no_contrastive_loss",
        title="no contrastive loss, so no text",
        settings=("model.contrastive_weight=0",),
        paper={"pq": -8.4, "ap": -3.2, "miou": -0.5},
        source="Table 5",
    ),
    Row(
        name="name_template",
        title='text "{name}"',
        settings=("data.text_template={name}",),
        paper={"pq": -0.6, "ap": -0.9, "miou": -0.5},
        source="Table 6",
    ),
    Row(
        name="panoptic_only",
        title="trained on the panoptic task only",
        settings=("data.task_probabilities=(0.0,0.0,1.0)",),
        tasks=("panoptic",),
        paper={"pq": -0.5},
        source="appendix, individual training",
    ),
    Row(
        name="instance_only",
        title="trained on the instance task only",
        settings=("data.task_probabilities=(0.0,1.0,0.0)",),
        tasks=("instance",),
        paper={"ap": -0.6},
        source="appendix, individual training",
    ),
    Row(
        name="semantic_only",
        title="trained on the semantic task only",
        settings=("data.task_probabilities=(1.0,0.0,0.0)",),
        tasks=("semantic",),
        paper={"miou": 0.0},
        source="appendix, individual training",
    ),
)
# Trained when they are asked for by name.
MORE_ROWS: tuple[Row, ...] = (
    Row(
        name="typed_template",
        title='text "a photo with a {name} {type}"',
        settings=("data.text_template=a photo with a {name} {type}",),
        paper={"pq": -1.8, "ap": -1.1, "miou": -0.2},
        source="Table 6",
    ),
    Row(
        name="task_only_seeds",
        title="the task token seeds the queries and is none",
        settings=("model.task_as_query=False",),
    ),
)


def rows_named(names: Sequence[str] = ()) -> tuple[Row, ...]:
    """Rows by their names, with the full model first.

    Args:
        names: Each once; none means all of `ROWS`.

    Returns:
        The rows in the order of `ROWS`; the full model is among them, asked for or not, because
        every difference is one from it.

    Raises:
        ValueError: If there is no such row; near matches are named.
    """
    known = {row.name: row for row in (*ROWS, *MORE_ROWS)}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2) or list(known)
            raise ValueError(f"unknown row, got {name!r}. There are: {', '.join(near)}.")
    wanted = {FULL, *names} if names else {row.name for row in ROWS}
    return tuple(row for row in known.values() if row.name in wanted)


def base_recipe(settings: Sequence[str] = ()) -> Recipe:
    """What all rows share: the toy recipe, shortened.

    Args:
        settings: Changes to it, as for `override`.

    Returns:
        400 updates on 64 x 64 scenes, 100 scenes to evaluate on.

    Raises:
        ValueError: As `override`.
    """
    return override(override(toy(), BASE_SETTINGS), settings)


def row_recipe(base: Recipe, row: Row, seed: int) -> Recipe:
    """The recipe of one run.

    Args:
        base: See `base_recipe`.
        row: What it changes.
        seed: Of weights, order of the images, tasks and augmentation.

    Returns:
        The recipe.

    Raises:
        ValueError: If the settings of the row do not fit the base recipe, or a seed is below 0.
    """
    changed = override(base, row.settings) if row.settings else base
    optimization = dataclasses.replace(changed.optimization, seed=seed)
    return dataclasses.replace(changed, optimization=optimization)
