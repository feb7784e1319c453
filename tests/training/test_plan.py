"""What a recipe comes to, against a model that was really built and trained for a step.

Mutants that must fail: gradients of frozen weights counted; one running mean of AdamW for two;
buffers left out; epochs of another data set; a remark on a run that was told its first weights.
"""

import dataclasses

import pytest
import torch

from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.config import ResNetConfig
from minioneformer.data.categories import load_catalog
from minioneformer.training.optimizer import build_optimizer
from minioneformer.training.plan import known_classes, plan_training, start_remarks
from minioneformer.training.recipes import override, recipe_named


def bytes_of(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("frozen", [None, True, False])
def test_memory_is_that_of_a_model_after_a_step(frozen):
    recipe = recipe_named("toy")
    if frozen is not None:
        backbone = ResNetConfig(
            embedding_size=8, hidden_sizes=(16, 32, 64, 128), frozen_batch_norm=frozen
        )
        model = dataclasses.replace(recipe.model, backbone_config=backbone)
        recipe = dataclasses.replace(recipe, model=model)
    plan = plan_training(recipe)

    modules = TrainedModules.from_config(plan.recipe.model)
    optimizer = build_optimizer(modules)
    for parameter in modules.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    optimizer.step()

    assert plan.parameters == sum(p.numel() for p in modules.parameters())
    assert plan.weight_bytes == bytes_of([*modules.parameters(), *modules.buffers()])
    gradients = [p.grad for p in modules.parameters() if p.grad is not None]
    assert plan.gradient_bytes == bytes_of(gradients)
    state = [t for entry in optimizer.state.values() for t in entry.values()]
    assert plan.optimizer_bytes == bytes_of(state)
    assert plan.average_bytes == 0
    total = plan.weight_bytes + plan.gradient_bytes + plan.optimizer_bytes
    assert plan.state_bytes == total


def test_a_mean_of_the_weights_takes_as_much_as_the_parameters():
    plan = plan_training(override(recipe_named("toy"), ["optimization.ema_decay=0.999"]))
    assert plan.average_bytes == 4 * plan.parameters
    assert plan.state_bytes > plan_training(recipe_named("toy")).state_bytes
    assert "+ mean weights" in plan.text()


def test_groups_have_the_rates_of_the_recipe():
    plan = plan_training(recipe_named("ade20k_swin_tiny"))
    found = [(g.part, g.tensors, pytest.approx(g.lr), g.weight_decay) for g in plan.groups]
    assert found == [
        ("rest", 371, 1e-4, 0.05),
        ("rest", 134, 1e-4, 0.0),
        ("backbone", 101, 1e-5, 0.05),
        ("backbone", 76, 1e-5, 0.0),
    ]
    assert sum(group.elements for group in plan.groups) == plan.parameters


@pytest.mark.parametrize(
    ("name", "images", "epochs"),
    [
        ("ade20k_swin_large", 160_000 * 16, 160_000 * 16 / 20_210),
        ("cityscapes_resnet50", 90_000 * 16, 90_000 * 16 / 2_975),
        ("coco_swin_tiny", 368_750 * 16, 49.8787),  # "50 epochs"
        ("coco_dinat_large", 737_500 * 16, 99.7574),
        ("mapillary_vistas_swin_large", 300_000 * 16, 300_000 * 16 / 18_000),
        ("toy", 16_800, 0.0168),
        ("nuclei", 3_600, None),
    ],
)
def test_images_and_epochs(name, images, epochs):
    plan = plan_training(recipe_named(name))
    assert plan.images_seen == images
    assert plan.epochs == (None if epochs is None else pytest.approx(epochs, rel=1e-5))


def test_classes_and_vocabulary_are_filled_in():
    recipe = recipe_named("cityscapes_swin_large")
    plan = plan_training(recipe)
    assert plan.recipe.model.num_classes == 19
    assert plan.recipe.model.text_encoder_vocab_size < 49408  # that of the vocabulary that ships
    assert known_classes(recipe) == load_catalog("cityscapes")
    assert known_classes(recipe_named("small")) == load_catalog("toy")


def test_the_text_says_steps_milestones_and_memory():
    text = plan_training(recipe_named("coco_dinat_large")).text()
    assert "737,500 of 16 images, 11,800,000 images, 99.8 epochs" in text
    assert "schedule step_decay, milestones 655,556, 710,184" in text
    assert "memory: 3.40 GiB = weights 0.85 + gradients 0.85 + AdamW 1.70" in text
    assert "no milestones" in plan_training(recipe_named("toy")).text()


def test_a_run_that_starts_otherwise_than_the_published_one_says_so():
    random = start_remarks(recipe_named("ade20k_swin_tiny_24gb"))
    assert len(random) == 2
    assert "published run from swin_tiny_patch4_window7_224: --set backbone_weights" in random[0]
    assert "--set vocabulary=bpe_simple_vocab_16e6.txt.gz" in random[1]
    finetuned = start_remarks(recipe_named("cityscapes_convnext_large_mapillary_pretrained"))
    assert "250_16_convnext_l_oneformer_mapillary_300k.pth: --set init=FILE" in finetuned[0]


def test_a_run_that_starts_as_the_published_one_or_follows_none_says_nothing():
    words = ["backbone_weights=swin.pth", "vocabulary=merges.txt.gz"]
    recipe = override(recipe_named("ade20k_swin_tiny"), words)
    assert start_remarks(recipe) == ()
    words = ["init=coco.pth", "vocabulary=merges.txt.gz"]
    recipe = override(recipe_named("ade20k_dinat_large_1280_coco_pretrained"), words)
    assert start_remarks(recipe) == ()
    (vocabulary,) = start_remarks(override(recipe_named("coco_swin_tiny"), ["init=a.pth"]))
    assert "vocabulary" in vocabulary
    assert start_remarks(recipe_named("toy")) == ()


def test_a_backbone_file_and_a_model_to_start_from_are_not_both_taken():
    with pytest.raises(ValueError, match="brings its backbone along, got .*Leave one of them out"):
        override(recipe_named("ade20k_swin_tiny"), ["init=a.pth", "backbone_weights=b.pth"])
