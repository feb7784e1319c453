"""The table of recipes, and the page that shows it.

Mutants that must fail: columns swapped; scores of a published run at a recipe that is not it; a row
of the page edited by hand.
"""

from pathlib import Path

from minioneformer.training.recipes import RECIPES, recipe_named
from minioneformer.training.recipes_table import COLUMNS, recipe_facts, recipes_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "recipes.md"


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_says_what_it_trains_and_what_it_needs():
    recipes = [recipe_named(name) for name in ("coco_swin_large", "toy", "ade20k_swin_tiny_24gb")]
    header, _, large, toy, one_gpu = recipes_table(recipes).splitlines()
    assert cells(header) == list(COLUMNS.values())
    assert cells(large) == [
        "coco_swin_large", "coco", "Swin-L", "1024 x 1024", "737,500", "16", "11,800,000",
        "57.9", "49.0", "67.4", "223.9 M", "3.34 GiB", "8 x A100 80 GB",
    ]  # fmt: skip
    assert cells(toy)[:7] == ["toy", "toy", "Swin, 32 channels", "-", "1,050", "16", "16,800"]
    assert cells(toy)[7:10] == ["-", "-", "-"]
    assert cells(one_gpu)[2:4] == ["Swin-T", "512 x 512"]


def test_scores_and_machine_belong_to_the_published_run_alone():
    published = recipe_facts(recipe_named("cityscapes_resnet50"))
    ours = recipe_facts(recipe_named("cityscapes_resnet50_24gb"))
    assert published["hardware"] == "8 x A6000 48 GB"
    assert ours["hardware"] is ours["pq"] is None
    assert ours["state_bytes"] == published["state_bytes"]


def test_the_page_shows_the_table_of_the_package():
    """To renew it: put the output of `minioneformer recipes` in place of its table."""
    table = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    first = next(n for n, line in enumerate(table) if cells(line) == list(COLUMNS.values()))
    shown = table[first : first + 2 + len(RECIPES)]
    assert "\n".join(shown) == recipes_table([make() for make in RECIPES.values()])
