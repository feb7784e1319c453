"""Every recipe takes two full training steps on a miniature in its real layout on disk.

The toy recipe takes them on its generated scenes. Smaller than in a real run, and nothing else is
changed: widths (channels of backbone, head and texts), sizes of images, tokens per text, points per
mask, images per step. Kinds, depths, heads, windows, kernels, dilations, queries, layers, data set,
augmentation, tasks, optimizer and schedule are the recipe's.

Mutants that must fail: a data set that the recipe's name does not open; a parameter that gets no
gradient; a learning rate that does not follow the schedule; parts that do not make up the batch.
"""

import dataclasses
import json

import pytest

from minioneformer.config import ConvNextConfig, ResNetConfig
from minioneformer.data.described import DESCRIPTION
from minioneformer.data.miniature import TOY_LABELS, write_miniature
from minioneformer.training import dry_run
from minioneformer.training.parts import build_dataset
from minioneformer.training.recipes import RECIPES, recipe_named

SIDE = 64  # of a crop; the longer one of Cityscapes is 128
IMAGES = 4
OWN = {
    "format": "coco_panoptic",
    "splits": {
        "train": {
            "json_path": "annotations/panoptic_train.json",
            "image_dir": "train",
            "png_dir": "panoptic_train",
        }
    },
}


def reduced(recipe):
    """The recipe with narrow layers and small images."""
    data = recipe.data
    if data.crop_size is not None:
        scale = SIDE / min(data.crop_size)
        data = dataclasses.replace(
            data,
            crop_size=tuple(int(side * scale) for side in data.crop_size),
            shortest_edges=tuple(int(edge * scale) for edge in data.shortest_edges),
            longest_edge=data.longest_edge and int(data.longest_edge * scale),
        )
    model = dataclasses.replace(
        recipe.model,
        backbone_config=narrow(recipe.model.backbone_config),
        **dict.fromkeys(("conv_dim", "mask_dim", "hidden_dim", "text_encoder_width"), 32),
        **dict.fromkeys(("encoder_feedforward_dim", "dim_feedforward"), 32),
        **dict.fromkeys(("task_seq_len", "text_encoder_context_length"), 16),
        train_num_points=64,
    )
    parts = recipe.optimization.accumulate
    plan = dataclasses.replace(recipe.optimization, batch_size=2, accumulate=min(parts, 2))
    return dataclasses.replace(recipe, data=data, model=model, optimization=plan)


def narrow(backbone):
    """The same backbone with a few channels."""
    if isinstance(backbone, ResNetConfig):
        return dataclasses.replace(backbone, embedding_size=8, hidden_sizes=(16, 32, 64, 128))
    if isinstance(backbone, ConvNextConfig):
        sizes = tuple(size // 32 for size in backbone.hidden_sizes)
        return dataclasses.replace(backbone, hidden_sizes=sizes)
    return dataclasses.replace(backbone, embed_dim=2 * backbone.num_heads[0])


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """A miniature of each layout, by the name of the data set; the generated one has no files."""
    folders = {
        layout: write_miniature(
            layout, tmp_path_factory.mktemp(layout), images=IMAGES, size=(SIDE, 2 * SIDE)
        )
        for layout in TOY_LABELS
    }
    (folders["coco_panoptic"] / DESCRIPTION).write_text(json.dumps(OWN))
    return {**folders, "own": folders["coco_panoptic"], "toy": None}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_takes_two_steps_on_files(name, roots, monkeypatch):
    trainers = []
    build = dry_run.build_trainer
    monkeypatch.setattr(
        dry_run, "build_trainer", lambda *a, **k: trainers.append(build(*a, **k)) or trainers[0]
    )
    recipe = reduced(recipe_named(name))
    files, _ = build_dataset(recipe.data, "train", roots[recipe.data.dataset])
    assert name == "toy" or len(files) == IMAGES

    measured = dry_run.take_steps(recipe, files, steps=2, device="cpu")

    (trainer,) = trainers
    plan = recipe.optimization
    multipliers = [trainer.schedule.multiplier(step) for step in (0, 1)]
    assert trainer.schedule.total_steps == plan.steps == recipe_named(name).optimization.steps
    assert [row["step"] for row in measured.rows] == [1, 2]
    assert [row["lr"] for row in measured.rows] == pytest.approx(
        [plan.base_lr * m for m in multipliers], rel=1e-12
    )
    assert [row["lr_backbone"] for row in measured.rows] == pytest.approx(
        [plan.base_lr * plan.backbone_multiplier * m for m in multipliers], rel=1e-12
    )
    assert all(0 < row["grad_norm"] < float("inf") for row in measured.rows)
    states = trainer.optimizer.state
    assert all(states[parameter]["step"] == 2 for parameter in trainer.parameters)
    trained = sum(p.requires_grad for p in trainer.model.parameters())
    assert len(states) == len(trainer.parameters) == trained
