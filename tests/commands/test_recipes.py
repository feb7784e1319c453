"""`minioneformer recipes` and `minioneformer train --dry-run`.

Mutants that must fail: JSON with text around it; a data set that is not filtered; a dry run that
wants a folder or makes one; a run without a folder that ends without a word.
"""

import json

import pytest

from minioneformer.cli import main
from minioneformer.training.recipe import Recipe
from minioneformer.training.recipes import RECIPES, override, recipe_named


def test_all_recipes_are_listed(capsys):
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    assert all(f"| {name} " in out for name in RECIPES)
    assert "activations come on top" in out


def test_json_is_json_and_nothing_else(capsys):
    assert main(["recipes", "--json", "--dataset", "coco"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert set(values) == {name for name in RECIPES if name.startswith("coco_")}
    assert values["coco_resnet50"]["pq"] == 51.5
    assert values["coco_swin_tiny"]["pq"] is None
    assert values["coco_swin_tiny"]["crop"] == [1024, 1024]


def test_a_data_set_without_recipes_is_one_line(capsys):
    assert main(["recipes", "--dataset", "imagenet"]) == 2
    assert "no recipe for this data set, got 'imagenet'. Known: toy, " in capsys.readouterr().err


LIGHT = [
    "data.image_size=(32,48)",
    "data.shortest_edges=(32,)",
    "optimization.batch_size=2",
    "optimization.steps=70",
]


def test_a_dry_run_prints_everything_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "toy", "--dry-run", "--set", *LIGHT]) == 0
    assert list(tmp_path.iterdir()) == []
    out = capsys.readouterr().out
    values, end = json.JSONDecoder().raw_decode(out)
    written = Recipe.from_dict(values)
    expected = override(recipe_named("toy"), LIGHT)
    assert written.data == expected.data
    assert written.optimization == expected.optimization
    rest = out[end:]
    for needed in ("parameter groups", "steps: 70 of 2 images", "memory:", "step 2: loss", "70 st"):
        assert needed in rest


def test_a_run_without_a_folder_is_refused(capsys):
    assert main(["train", "toy"]) == 2
    assert "a run needs a folder, got output=None: give it with --output" in capsys.readouterr().err


@pytest.mark.parametrize("weights", ["swin.pth"])
def test_a_missing_file_of_the_backbone_is_one_line(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "toy", "--dry-run", "--set", *LIGHT, f"backbone_weights={weights}"]) == 2
    assert weights in capsys.readouterr().err
