"""Mutants that must fail: settings applied one after another; an unknown key of a file dropped;
tuples left lists; a missing name made up.
"""

import dataclasses
import json

import pytest

from minioneformer.training.recipe import DataRecipe, InferenceRecipe, OptimizationRecipe, Recipe
from minioneformer.training.recipes import RECIPES, override, recipe_named, toy


def written(folder, values):
    path = folder / "recipe.json"
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_goes_by_its_name_and_survives_json(name):
    recipe = recipe_named(name)
    assert recipe.name == name
    values = json.loads(json.dumps(recipe.to_dict()))
    assert values == recipe.to_dict()
    assert Recipe.from_dict(values) == recipe


def test_a_recipe_can_be_read_from_a_file(tmp_path):
    changed = override(toy(), ["data.image_size=(24,40)", "optimization.clip_norm=None"])
    path = written(tmp_path, changed.to_dict())
    assert recipe_named(str(path)) == changed
    assert recipe_named(str(path)).data.image_size == (24, 40)


def test_what_a_file_leaves_out_has_its_default(tmp_path):
    path = written(tmp_path, {"name": "mine", "optimization": {"steps": 7}})
    assert recipe_named(str(path)) == Recipe(name="mine", optimization=OptimizationRecipe(steps=7))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("toi", "unknown recipe, got 'toi'. Near matches: toy"),
        ("zzz", "unknown recipe, got 'zzz'. There are: toy"),
    ],
)
def test_an_unknown_recipe_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        recipe_named(name)


def test_a_recipe_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no recipe '.*absent.json'"):
        recipe_named(str(tmp_path / "absent.json"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a", "modle": {}}, "unknown Recipe field, got 'modle'. Near matches: model"),
        ({"name": "a", "data": {"crop": 1}}, "unknown DataRecipe field, got 'crop'"),
        ({"name": "a", "model": {"hidden": 1}}, "unknown OneFormerConfig field, got 'hidden'"),
        ({"name": "a", "model": {"backbone_config": {"depth": 1}}}, "SwinConfig.*depths"),
        ({"name": "a", "optimization": {"steps": "5"}}, "recipe.optimization.steps must be int"),
        ({"name": "a", "data": {"dataset": "ade"}}, "recipe.data.dataset must be Literal"),
        ({"name": "a", "inference": 3}, "recipe.inference must be an object"),
        ({"name": "a", "model": {"hidden_dim": 64}}, "conv_dim=256, self.hidden_dim=64"),
        ({"data": {}}, "a recipe needs a name, got the keys data"),
        ({}, "a recipe needs a name, got the keys none"),
        ([1], "it must hold one object, got a list"),
    ],
)
def test_a_file_that_holds_no_recipe_is_refused_and_named(tmp_path, values, message):
    path = written(tmp_path, values)
    with pytest.raises(ValueError, match=f"recipe.json is no recipe: .*{message}"):
        recipe_named(str(path))


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b"[" * 100_000], ids=["cut", "bytes", "deep"]
)
def test_a_file_that_is_no_json_is_refused_and_named(tmp_path, content):
    path = tmp_path / "recipe.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="recipe.json is no recipe: "):
        recipe_named(str(path))


def test_settings_that_are_bound_to_each_other_change_together():
    recipe = override(toy(), ["model.conv_dim=64", "model.hidden_dim=64", "name=other"])
    assert (recipe.model.conv_dim, recipe.model.hidden_dim, recipe.name) == (64, 64, "other")
    expected = dataclasses.replace(toy().model, conv_dim=64, hidden_dim=64)
    assert recipe == dataclasses.replace(toy(), name="other", model=expected)
    with pytest.raises(ValueError, match="conv_dim must equal hidden_dim"):
        override(toy(), ["model.conv_dim=64"])


def test_settings_reach_the_third_level():
    words = ["model.backbone_config.num_heads=(1,2,4,8)", "model.backbone_config.embed_dim=16"]
    swin = override(toy(), words).model.backbone_config
    assert (swin.num_heads, swin.embed_dim) == ((1, 2, 4, 8), 16)
    assert swin.depths == toy().model.backbone_config.depths


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimisation.steps=3", "unknown key 'optimisation', .*Near matches: optimization"),
        ("optimization.step=3", "unknown key 'step', .*Near matches: steps"),
        ("model.backbone_config.depth=3", "unknown key 'depth', .*Near matches: depths"),
        ("optimization.steps=many", "steps must be int, got 'many'"),
        ("data.dataset=coca", r"dataset must be Literal\['toy', 'coco_panoptic', .*got 'coca'"),
        ("data.task_probabilities=(1,0)", r"must be tuple\[float, float, float\]"),
        ("optimization.seed=-1", "seed must be in 0 .. 2\\*\\*63 - 1, got self.seed=-1"),
        ("optimization.seed=99999999999999999999", "seed must be in"),
        ("data.val_images=0", "needs images .*self.val_images=0"),
        ("data.train_images=-3", "needs images .*self.train_images=-3"),
        ("model.id2label={0: 'cat'}", "data set and tokenizer decide this key"),
        ("model.is_training=False", "data set and tokenizer decide this key"),
        ("model.text_encoder_vocab_size=9", "data set and tokenizer decide this key"),
    ],
)
def test_a_setting_that_cannot_be_followed_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        override(toy(), [setting])


def test_a_setting_given_twice_is_refused():
    with pytest.raises(
        ValueError, match="optimization.steps is set twice, .*'optimization.steps=4'"
    ):
        override(toy(), ["optimization.steps=3", "name=a", "optimization.steps=4"])


@pytest.mark.parametrize("section", [Recipe, DataRecipe, OptimizationRecipe, InferenceRecipe])
def test_every_key_is_documented(section):
    for key in dataclasses.fields(section):
        assert f"        {key.name}: " in f"    {section.__doc__}", key.name
