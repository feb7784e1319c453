"""`minioneformer recipes`.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: the table (`training/recipes_table.py`), a single recipe (`minioneformer train --dry-run`,
in `commands/training.py`).
"""

from __future__ import annotations

from minioneformer.commands.shared import figures_text
from minioneformer.training.recipes import RECIPES
from minioneformer.training.recipes_table import recipe_facts, recipes_table

LEGEND = """
PQ, AP and mIoU in percent and the machine are those of the published run. parameters: of model and
criterion, text branch included. state: weights, gradients and AdamW, exact; activations come on top
and are not estimated here: minioneformer train RECIPE --dry-run measures memory and time."""


def recipes(*, dataset: str | None = None, json: bool = False) -> None:
    """List the recipes: data, sizes, published figures, memory, cost.

    Args:
        dataset: Only those for "toy", "own", "ade20k", "coco" ...
        json: Print JSON instead of a table.
    """
    every = [make() for make in RECIPES.values()]
    found = [recipe for recipe in every if dataset in (None, recipe.data.dataset)]
    if not found:
        known = ", ".join(dict.fromkeys(recipe.data.dataset for recipe in every))
        raise ValueError(f"no recipe for this data set, got {dataset!r}. Known: {known}.")
    if json:
        print(figures_text({recipe.name: recipe_facts(recipe) for recipe in found}))
        return
    print(recipes_table(found))
    print(LEGEND)
