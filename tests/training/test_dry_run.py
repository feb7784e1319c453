"""A dry run does what a run does, on scenes it draws itself, and leaves nothing behind.

Mutants that must fail: scenes with the labels of the toy; a time that counts the drawing; files in
the current folder; parts that are not the batch.
"""

import dataclasses
import tempfile

import pytest

from minioneformer.data.categories import load_catalog
from minioneformer.data.toy_scene import CATEGORIES as TOY_CATEGORIES
from minioneformer.training.dry_run import DryRun, GeneratedScenes, dry_run
from minioneformer.training.recipes import override, recipe_named

LIGHT = [
    "data.image_size=(32,48)",
    "data.shortest_edges=(32,)",
    "optimization.batch_size=2",
    "model.train_num_points=32",
]


@pytest.mark.parametrize("name", ["ade20k_swin_tiny", "cityscapes_resnet50", "coco_swin_tiny"])
def test_scenes_have_the_size_of_the_crop_and_labels_of_the_catalogue(name):
    recipe = override(recipe_named(name), ["data.crop_size=(40,72)"])
    scenes = GeneratedScenes(recipe, length=3)
    catalog = load_catalog(recipe.data.dataset)
    assert len(scenes) == 3
    assert scenes.categories == catalog
    sample, original = scenes[1], scenes.scenes[1]
    assert sample.segment_map.shape == (40, 72)
    assert len(sample.segments) > 2
    for ours, toys in zip(sample.segments, original.segments, strict=True):
        assert catalog[ours.label].is_thing == TOY_CATEGORIES[toys.label].is_thing
        assert ours.label == scenes.labels[toys.label]


def test_scenes_for_data_without_a_catalogue_are_the_toys():
    scenes = GeneratedScenes(recipe_named("small"), length=1)
    assert scenes.categories == TOY_CATEGORIES
    assert [s.label for s in scenes[0].segments] == [s.label for s in scenes.scenes[0].segments]


def test_two_steps_are_measured_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    recipe = override(recipe_named("toy"), LIGHT)
    measured = dry_run(recipe, device="cpu")
    assert list(tmp_path.iterdir()) == []
    assert [row["step"] for row in measured.rows] == [1, 2]
    assert all(row["loss"] > 0 for row in measured.rows)
    assert (measured.images, measured.total_steps, measured.device) == (2, 1050, "cpu")
    assert measured.peak_gib > 0.1
    last = measured.rows[-1]
    assert measured.seconds_per_step == last["seconds"] - last["seconds_waiting"] > 0


def test_it_takes_no_more_steps_than_the_recipe_has():
    recipe = override(recipe_named("toy"), [*LIGHT, "optimization.steps=1"])
    assert len(dry_run(recipe, device="cpu").rows) == 1


def test_parts_make_up_the_batch():
    """Dropout is off in the toy recipe, so the first loss is the same however it is cut."""
    recipe = override(recipe_named("toy"), LIGHT)
    cut = override(recipe, ["optimization.accumulate=2"])
    whole, parts = (dry_run(r, steps=1, device="cpu") for r in (recipe, cut))
    assert whole.images == parts.images == 2
    # Points are drawn anew for each part, so the mask losses are not the same to the last bit.
    assert parts.rows[0]["loss"] == pytest.approx(whole.rows[0]["loss"], rel=0.1)
    assert parts.rows[0]["images_per_second"] > 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimization.accumulate=3", "batch_size must be a multiple of processes x accumulate"),
        ("inference.overlap_threshold=3", "overlap_threshold"),
        ("optimization.schedule=pol", "unknown schedule"),
    ],
)
def test_what_a_run_would_refuse_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        dry_run(override(recipe_named("toy"), [*LIGHT, setting]), device="cpu")


def test_the_text_by_hand():
    """The last step took 2.5 s, of which 0.5 s for images: 9000 steps of 2 s are 5 h."""
    rows = (
        {"step": 1, "loss": 60.0, "seconds": 9.0, "seconds_waiting": 1.0},
        {"step": 2, "loss": 50.5, "seconds": 2.5, "seconds_waiting": 0.5},
    )
    measured = DryRun(
        device="cpu", processes=2, images=16, rows=rows, peak_gib=1.25, total_steps=9000
    )
    text = measured.text()
    assert measured.hours == 5.0
    assert "step 2: loss 50.500, 2.00 s, and 0.50 s for the generated images" in text
    assert "peak memory of the process: 1.25 GiB, 16 images" in text
    assert "on 2 x cpu: 5.0 h for 9,000 steps" in text
    assert "peak memory of the GPU" in dataclasses.replace(measured, device="cuda").text()
