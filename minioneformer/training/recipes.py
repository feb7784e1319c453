"""The recipes there are: finding one by its name, changing its values.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.

Not here: the recipes themselves (`training/small_recipes.py`, `training/published_recipes.py`),
what a recipe is (`training/recipe.py`), how it becomes a run (`training/run.py`), how single values
are changed (`training/settings.py`).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from minioneformer.presets.published import published_models
from minioneformer.training.published_recipes import ONE_GPU, one_gpu_recipe, published_recipe
from minioneformer.training.recipe import Recipe
from minioneformer.training.settings import change_values
from minioneformer.training.small_recipes import nuclei, small, toy

# What data set and tokenizer decide, whatever a recipe says.
FILLED_IN = ("model.id2label", "model.text_encoder_vocab_size", "model.is_training")


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "toy": toy,
    "nuclei": nuclei,
    "small": small,
    **{model.name: partial(published_recipe, model) for model in published_models()},
    **{name: partial(one_gpu_recipe, name) for name in ONE_GPU},
}


def recipe_named(name: str) -> Recipe:
    """A recipe by its name on the command line, or from a file.

    Args:
        name: One of `RECIPES`, or the path of a JSON file such as a run's `recipe.json`.

    Returns:
        The recipe.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such recipe (near matches are named), or the file holds none.
    """
    if name in RECIPES:
        return RECIPES[name]()
    if Path(name).suffix == ".json":
        return _read_recipe(Path(name))
    near = difflib.get_close_matches(name, RECIPES, n=3)
    hint = f"Near matches: {', '.join(near)}." if near else f"There are: {', '.join(RECIPES)}."
    raise ValueError(f"unknown recipe, got {name!r}. {hint} The path of a .json file will do too.")


def override(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Change values of a recipe, all of them together.

    Args:
        recipe: To start from.
        settings: Each "section.key=value" (or "key=value" at the top level), for instance
            "optimization.base_lr=1e-3" or "model.backbone_config.depths=(2,2,2,2)".

    Returns:
        A new recipe.

    Raises:
        ValueError: If a setting has no "=", names an unknown key (near matches are named), one
            that another setting names too, or one that data set and tokenizer decide; if its
            value is of another type than the key's; if the new values do not fit together.
    """
    for setting in settings:
        if setting.partition("=")[0] in FILLED_IN:
            raise ValueError(f"data set and tokenizer decide this key, got {setting!r}.")
    return change_values(recipe, settings)


def _read_recipe(path: Path) -> Recipe:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"it must hold one object, got a {type(values).__name__}.")
        return Recipe.from_dict(values)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no recipe {str(path)!r}.") from None
    except (ValueError, RecursionError) as error:  # broken JSON and UTF-8 too
        raise ValueError(f"{path} is no recipe: {error}") from error
