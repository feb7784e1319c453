"""All recipes as a table: what each trains on, what it reached, what it needs.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and Tables 1 to 3; not drawn in Figure 2.

Figures, and the machine they were made on, are those of the published run of a recipe. Time and
peak memory are not in the table: they have to be measured, as `training/dry_run.py` does.

Not here: the sums (`training/plan.py`), printing (`commands/recipes.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minioneformer.presets.models_table import NOT_PUBLISHED, aligned_table
from minioneformer.presets.published_model import PublishedModel
from minioneformer.training.plan import GIB, plan_training
from minioneformer.training.published_recipes import published_start
from minioneformer.training.recipe import Recipe

COLUMNS: Mapping[str, str] = {
    "name": "name",
    "dataset": "data set",
    "backbone": "backbone",
    "crop": "crop",
    "steps": "steps",
    "batch": "batch",
    "images_seen": "images seen",
    "pq": "PQ",
    "ap": "AP",
    "miou": "mIoU",
    "parameters": "parameters",
    "state_bytes": "state",
    "hardware": "published on",
}


def recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """What there is to say about a recipe.

    Args:
        recipe: Any.

    Returns:
        By the keys of `COLUMNS`: scores of the published run in percent, None where there are
        none; the crop as (H, W) in pixels, None where images are not cropped; parameters of model
        and criterion; bytes of weights, gradients and AdamW.
    """
    plan = plan_training(recipe)
    model = published_start(recipe.name)
    run = model if model is not None and model.name == recipe.name else None
    return {
        "name": recipe.name,
        "dataset": recipe.data.dataset,
        "backbone": _backbone(recipe, model),
        "crop": recipe.data.crop_size,
        "steps": recipe.optimization.steps,
        "batch": recipe.optimization.batch_size,
        "images_seen": plan.images_seen,
        "pq": None if run is None else run.pq,
        "ap": None if run is None else run.ap,
        "miou": None if run is None else run.miou,
        "parameters": plan.parameters,
        "state_bytes": plan.state_bytes,
        "hardware": None if run is None else run.hardware,
    }


def recipes_table(recipes: Sequence[Recipe]) -> str:
    """Write recipes as a Markdown table with aligned columns.

    Args:
        recipes: One row each.

    Returns:
        The lines, without a newline at the end. "-" is what was not published, or does not apply.
    """
    return aligned_table([tuple(COLUMNS.values()), *(_cells(recipe) for recipe in recipes)])


def _cells(recipe: Recipe) -> tuple[str, ...]:
    facts = recipe_facts(recipe)
    written = {
        **facts,
        "crop": facts["crop"] and "{} x {}".format(*facts["crop"]),
        "steps": f"{facts['steps']:,}",
        "batch": str(facts["batch"]),
        "images_seen": f"{facts['images_seen']:,}",
        **{key: facts[key] and f"{facts[key]:.1f}" for key in ("pq", "ap", "miou")},
        "parameters": f"{facts['parameters'] / 1e6:.1f} M",
        "state_bytes": f"{facts['state_bytes'] / GIB:.2f} GiB",
    }
    return tuple(written[key] or NOT_PUBLISHED for key in COLUMNS)


def _backbone(recipe: Recipe, model: PublishedModel | None) -> str:
    backbone = recipe.model.backbone_config
    if model is not None:
        return model.backbone_title
    return f"{type(backbone).__name__.removesuffix('Config')}, {backbone.stage_dims[0]} channels"
