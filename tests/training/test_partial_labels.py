"""Labels that teach one task only: the sampler follows them, and a wish for another is refused.

Mutants that must fail: tasks drawn that the labels do not have; PQ measured on label maps.
"""

import dataclasses
import json

import pytest
from PIL import Image

from minioneformer.cli import main
from minioneformer.data.toy import ToyPanoptic
from minioneformer.training import validation
from minioneformer.training.parts import build_dataset, build_pretrained, build_stream
from minioneformer.training.recipes import override, recipe_named
from minioneformer.training.run import train

TINY = [
    "optimization.steps=2",
    "optimization.batch_size=3",
    "optimization.evaluate_every=2",
    "data.crop_size=(32,32)",
    "data.shortest_edges=(32,)",
    "data.test_shortest_edge=32",
    "model.hidden_dim=32",
    "model.conv_dim=32",
    "model.mask_dim=16",
    "model.num_attention_heads=2",
    "model.num_queries=12",
    "model.text_encoder_width=64",
    "model.text_encoder_num_layers=1",
    "model.encoder_layers=1",
    "model.decoder_layers=2",
    "model.query_dec_layers=1",
    "model.train_num_points=16",
    "model.backbone_config.embed_dim=8",
    "model.backbone_config.depths=(1,1,1,1)",
    "model.backbone_config.num_heads=(1,1,2,2)",
    "model.backbone_config.window_size=3",
]


def write(root, kind):
    """Generated scenes as label maps or as maps of objects, with their description."""
    scenes = ToyPanoptic(split="val", size=(32, 40), length=4)
    for index in range(4):
        scene = scenes[index]
        values = scene.segment_map * 0
        for segment in scene.segments:
            inside = scene.segment_map == segment.id
            if kind == "semantic":
                values[inside] = segment.label + 1
            elif scenes.categories[segment.label].is_thing:
                values[inside] = segment.id
        for folder, picture in (("images", scene.image.permute(1, 2, 0)), ("labels", values)):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(picture.byte().numpy()).save(root / folder / f"{index}.png")
    places = {"image_dir": "images", "png_dir": "labels"}
    description = {"format": f"{kind}_folder", "splits": {"train": places, "val": places}}
    if kind == "semantic":
        names = {str(k): c.name for k, c in enumerate(scenes.categories, start=1)}
        description |= {"values": {"0": "ignore", **names}}
        description |= {"things": [c.name for c in scenes.categories if c.is_thing]}
    else:
        description |= {"class_name": "shape"}
    (root / "dataset.json").write_text(json.dumps(description))


@pytest.mark.parametrize(("kind", "metric"), [("semantic", "miou"), ("instance", "ap")])
def test_a_run_follows_the_labels_and_measures_what_they_can(
    kind, metric, tmp_path, capsys, monkeypatch
):
    drawn = []
    monkeypatch.setattr(validation, "draw_demo", lambda _, rows, *__, **___: drawn.extend(rows))
    write(tmp_path, kind)
    recipe = override(recipe_named("small"), TINY)
    dataset, categories = build_dataset(recipe.data, "train", tmp_path)
    assert dataset.tasks == (kind,)
    stream = build_stream(recipe, build_pretrained(recipe, categories), dataset)
    assert {task for step in range(4) for task in stream[step].tasks} == {kind}

    train(recipe, tmp_path / "run", data_root=tmp_path, device="cpu", progress=False)
    rows = [
        json.loads(x) for x in (tmp_path / "run" / "evaluations.jsonl").read_text().split("\n")[:-1]
    ]
    assert [row["step"] for row in rows] == [2] and metric in rows[0] and "pq" not in rows[0]
    assert (tmp_path / "run" / "best" / "config.json").is_file()
    assert len(drawn) == 4 and all(set(row) == {kind} for row in drawn)

    words = ["evaluate", str(tmp_path / "run"), "--dataset", "own", "--data-root", str(tmp_path)]
    assert main([*words, "--output", str(tmp_path / "metrics.json")]) == 0
    assert metric in json.loads((tmp_path / "metrics.json").read_text())
    assert main([*words, "--all-tokens"]) == 2
    assert "needs labels for all tasks, got " + kind in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "wish", "way_out"),
    [
        ("semantic", (0.0, 1.0, 0.0), "add masks of objects"),
        ("instance", (0.5, 0.5, 0.0), "name the rest"),
    ],
)
def test_a_task_that_the_labels_cannot_teach_is_refused(kind, wish, way_out, tmp_path):
    write(tmp_path, kind)
    recipe = override(recipe_named("small"), TINY)
    recipe = dataclasses.replace(
        recipe, data=dataclasses.replace(recipe.data, task_probabilities=wish)
    )
    with pytest.raises(ValueError, match=f"own: its labels cannot teach .*{way_out}"):
        train(recipe, tmp_path / "run", data_root=tmp_path, device="cpu", progress=False)
    with pytest.raises(ValueError, match="keep_best must be one of "):
        plan = dataclasses.replace(recipe.optimization, keep_best="pq")
        data = dataclasses.replace(recipe.data, task_probabilities=None)
        train(
            dataclasses.replace(recipe, data=data, optimization=plan),
            tmp_path / "run",
            data_root=tmp_path,
            device="cpu",
            progress=False,
        )
