"""The published recipes against a table typed from the released configurations, field by field.

Mutants that must fail: a swapped number of steps; another list of shorter sides; the task bounds
of Mapillary Vistas elsewhere; a drop path rate of another backbone; the milestones of another plan.
"""

import dataclasses

import pytest

from minioneformer.config import ConvNextConfig, DinatConfig, ResNetConfig, SwinConfig
from minioneformer.data.categories import load_catalog
from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.data.miniature import TOY_LABELS
from minioneformer.data.toy import ToyPanoptic
from minioneformer.presets.published import published_models
from minioneformer.training.parts import build_dataset
from minioneformer.training.published_recipes import (
    CONFIGURED_CLIP_NORM,
    MILESTONES_100_EPOCHS,
    ONE_GPU,
    WEIGHT_DECAY_OF_PAPER,
    published_start,
)
from minioneformer.training.recipe import DataRecipe, InferenceRecipe, OptimizationRecipe
from minioneformer.training.recipes import override, recipe_named

# name; backbone; queries; crop; base, longest, test; pad; steps; mixed precision; threshold
TABLE = """
ade20k_resnet50                          R50-frozen 150 512x512   512:2048:512:2048   pad 160000 amp 0.5
ade20k_swin_tiny                         Swin-T     150 512x512   512:2048:512:2048   pad 160000 amp 0.5
ade20k_swin_large                        Swin-L     250 640x640   640:2560:640:2560   pad 160000 amp 0.5
ade20k_swin_large_896                    Swin-L     250 896x896   896:3584:896:3584   pad 160000 amp 0.5
ade20k_swin_large_1280                   Swin-L     250 1280x1280 1280:5120:1280:5120 pad 160000 amp 0.5
ade20k_convnext_large                    ConvNeXt-L 250 640x640   640:2560:640:2560   pad 160000 amp 0.5
ade20k_convnext_xlarge                   ConvNeXt-XL 250 640x640  640:2560:640:2560   pad 160000 amp 0.5
ade20k_dinat_large                       DiNAT-640  250 640x640   640:2560:640:2560   pad 160000 -   0.5
ade20k_dinat_large_896                   DiNAT-640  250 896x896   896:3584:896:3584   pad 160000 -   0.5
ade20k_dinat_large_1280                  DiNAT-1280 250 1280x1280 1280:5120:1280:5120 pad 160000 -   0.5
ade20k_dinat_large_1280_coco_pretrained  DiNAT-1280 150 1280x1280 1280:5120:1280:5120 pad 160000 -   0.5
cityscapes_resnet50                      R50-sync   150 512x1024  1024:4096:1024:2048 -   90000  amp 0.8
cityscapes_swin_large                    Swin-L     250 512x1024  1024:4096:1024:2048 -   90000  amp 0.8
cityscapes_convnext_large                ConvNeXt-L 250 512x1024  1024:4096:1024:2048 -   90000  amp 0.8
cityscapes_convnext_xlarge               ConvNeXt-XL 250 512x1024 1024:4096:1024:2048 -   90000  amp 0.8
cityscapes_convnext_large_mapillary_pretrained  ConvNeXt-L  250 512x1024 1024:4096:1024:2048 - 90000 amp 0.8
cityscapes_convnext_xlarge_mapillary_pretrained ConvNeXt-XL 250 512x1024 1024:4096:1024:2048 - 90000 amp 0.8
cityscapes_dinat_large                   DiNAT-city 250 512x1024  1024:4096:1024:2048 -   90000  -   0.8
coco_resnet50                            R50-frozen 150 1024x1024 LSJ:LSJ:800:1333    -   368750 amp 0.8
coco_swin_tiny                           Swin-T     150 1024x1024 LSJ:LSJ:800:1333    -   368750 amp 0.8
coco_swin_large                          Swin-L     150 1024x1024 LSJ:LSJ:800:1333    -   737500 -   0.8
coco_dinat_large                         DiNAT-640  150 1024x1024 LSJ:LSJ:800:1333    -   737500 -   0.8
mapillary_vistas_resnet50                R50-sync   150 1024x1024 2048:8192:2048:2048 pad 300000 amp 0.8
mapillary_vistas_swin_large              Swin-L     250 1024x1024 2048:8192:2048:2048 pad 300000 amp 0.8
mapillary_vistas_convnext_large          ConvNeXt-L 250 1024x1024 2048:8192:2048:2048 pad 300000 amp 0.8
mapillary_vistas_convnext_large_for_cityscapes  ConvNeXt-L  250 1024x1024 2048:8192:2048:2048 pad 300000 amp 0.8
mapillary_vistas_convnext_xlarge_for_cityscapes ConvNeXt-XL 250 1024x1024 2048:8192:2048:2048 pad 300000 amp 0.8
mapillary_vistas_dinat_large             DiNAT-640  250 1024x1024 2048:8192:2048:2048 pad 300000 -   0.8
"""  # noqa: E501
ROWS = [line.split() for line in TABLE.strip().splitlines()]

DATASETS = ("ade20k", "cityscapes", "coco", "mapillary_vistas")
EDGES = {
    "512": (
        *(256, 307, 358, 409, 460, 512, 563, 614),
        *(665, 716, 768, 819, 870, 921, 972, 1024),
    ),
    "640": tuple(range(320, 1281, 64)),
    "896": (
        *(448, 537, 627, 716, 806, 896, 985, 1075),
        *(1164, 1254, 1344, 1433, 1523, 1612, 1702, 1792),
    ),
    "1280": tuple(range(640, 2561, 128)),
    "1024": (
        *(512, 614, 716, 819, 921, 1024, 1126, 1228),
        *(1331, 1433, 1536, 1638, 1740, 1843, 1945, 2048),
    ),
    "2048": (
        *(1024, 1228, 1433, 1638, 1843, 2048, 2252, 2457),
        *(2662, 2867, 3072, 3276, 3481, 3686, 3891, 4096),
    ),
}
MILESTONES = {
    "coco_resnet50": (327_778, 355_092),
    "coco_swin_tiny": (327_778, 355_092),
    "coco_swin_large": (655_556, 735_184),
    "coco_dinat_large": (655_556, 710_184),
}
BACKBONES = {
    "R50-frozen": ResNetConfig(frozen_batch_norm=True),
    "R50-sync": ResNetConfig(frozen_batch_norm=False),
    "Swin-T": SwinConfig(
        embed_dim=96,
        depths=(2, 2, 6, 2),
        num_heads=(3, 6, 12, 24),
        window_size=7,
        drop_path_rate=0.3,
    ),
    "Swin-L": SwinConfig(
        embed_dim=192,
        depths=(2, 2, 18, 2),
        num_heads=(6, 12, 24, 48),
        window_size=12,
        drop_path_rate=0.3,
    ),
    "ConvNeXt-L": ConvNextConfig(
        hidden_sizes=(192, 384, 768, 1536),
        depths=(3, 3, 27, 3),
        layer_scale_init_value=1.0,
        drop_path_rate=0.4,
    ),
    "ConvNeXt-XL": ConvNextConfig(
        hidden_sizes=(256, 512, 1024, 2048),
        depths=(3, 3, 27, 3),
        layer_scale_init_value=1.0,
        drop_path_rate=0.4,
    ),
}
DILATED = {  # kernel; dilations of the first two stages
    "DiNAT-640": (11, ((1, 20, 1), (1, 5, 1, 10))),
    "DiNAT-1280": (11, ((1, 28, 1), (1, 7, 1, 14))),
    "DiNAT-city": (7, ((1, 18, 1), (1, 5, 1, 9))),
}


def expected_data(row) -> DataRecipe:
    name, _, _, crop, sizes, pad, *_ = row
    base, longest, shortest_at_test, longest_at_test = sizes.split(":")
    jitter = base == "LSJ"
    mapillary = name.startswith("mapillary")
    return DataRecipe(
        dataset=next(dataset for dataset in DATASETS if name.startswith(dataset)),
        train_split="train",
        val_split="val",
        shortest_edges=() if jitter else EDGES[base],
        longest_edge=None if jitter else int(longest),
        crop_size=tuple(int(side) for side in crop.split("x")),
        pad_to_crop=pad == "pad",
        large_scale_jitter=jitter,
        color_augmentation=not jitter,
        flip=True,
        test_shortest_edge=int(shortest_at_test),
        test_longest_edge=int(longest_at_test),
        task_probabilities=(
            (0.5, 0.0, 0.5)
            if mapillary and not name.endswith("for_cityscapes")
            else (0.33, 0.33, 0.34)
        ),
        num_workers=10 if mapillary else 4,
    )


def expected_plan(row) -> OptimizationRecipe:
    name, backbone, *_, steps, precision, _ = row
    coco, mapillary = name.startswith("coco"), name.startswith("mapillary")
    return OptimizationRecipe(
        steps=int(steps),
        batch_size=16,
        accumulate=1,
        base_lr=1e-4,
        backbone_multiplier=0.1,
        weight_decay=0.05,
        decay_convnext_norms=True,
        clip_norm=None,
        schedule="step_decay" if coco else "poly",
        warmup_fraction=0.0,
        milestones=MILESTONES.get(name, ()),
        autocast="bf16" if precision == "amp" else None,
        checkpoint_blocks=False,
        compile=False,
        sync_batch_norm=backbone == "R50-sync",
        ema_decay=None,
        checkpoint_every=30_000 if mapillary else 5_000,
        keep_checkpoints=2,
        keep_every=None,
        evaluate_every=30_000 if mapillary else 5_000,
        keep_best=None,
        seed=0,
    )


def test_every_published_configuration_has_a_recipe():
    assert sorted(row[0] for row in ROWS) == sorted(model.name for model in published_models())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_recipe_is_the_released_configuration(row):
    name, backbone, queries, *_, threshold = row
    recipe = recipe_named(name)
    assert recipe.name == name
    assert recipe.data == expected_data(row)
    assert recipe.optimization == expected_plan(row)
    assert recipe.inference == InferenceRecipe(
        object_threshold=float(threshold), overlap_threshold=0.8
    )
    assert recipe.model.num_queries == int(queries)
    assert recipe.model.is_training
    found = recipe.model.backbone_config
    if backbone in BACKBONES:
        assert found == BACKBONES[backbone]
    else:
        kernel, dilations = DILATED[backbone]
        assert isinstance(found, DinatConfig)
        assert (found.embed_dim, found.depths, found.num_heads) == (
            192,
            (3, 4, 18, 5),
            (6, 12, 24, 48),
        )
        assert (found.kernel_size, found.drop_path_rate, found.mlp_ratio) == (kernel, 0.3, 2.0)
        assert found.stage_dilations[:2] == dilations


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_head_and_losses_are_those_of_all_released_configurations(row):
    model = recipe_named(row[0]).model
    expected = {
        "no_object_weight": 0.1,
        "class_weight": 2.0,
        "mask_weight": 5.0,
        "dice_weight": 5.0,
        "contrastive_weight": 0.5,
        "contrastive_temperature": 0.07,
        "train_num_points": 12544,
        "oversample_ratio": 3.0,
        "importance_sample_ratio": 0.75,
        "use_auxiliary_loss": True,
        "task_seq_len": 77,
        "text_encoder_width": 256,
        "text_encoder_context_length": 77,
        "text_encoder_num_layers": 6,
        "text_encoder_proj_layers": 2,
        "text_encoder_n_ctx": 16,
        "conv_dim": 256,
        "mask_dim": 256,
        "hidden_dim": 256,
        "encoder_feedforward_dim": 1024,
        "encoder_layers": 6,
        "num_decoder_layers": 9,
        "num_attention_heads": 8,
        "dropout": 0.1,
        "dim_feedforward": 2048,
        "query_dec_layers": 2,
    }
    assert {key: getattr(model, key) for key in expected} == expected


def test_a_mapillary_recipe_never_draws_the_instance_task_but_for_cityscapes():
    """The released bounds are cumulative: 0.50 and 0.50 leave nothing between them."""
    probabilities = {
        row[0]: recipe_named(row[0]).data.task_probabilities
        for row in ROWS
        if row[0].startswith("mapillary")
    }
    assert {name for name, p in probabilities.items() if p[1]} == {
        "mapillary_vistas_convnext_large_for_cityscapes",
        "mapillary_vistas_convnext_xlarge_for_cityscapes",
    }
    assert all(sum(p) == pytest.approx(1) for p in probabilities.values())


def test_swin_large_on_coco_has_the_milestone_of_its_released_file():
    released = recipe_named("coco_swin_large").optimization
    assert released.milestones == (655_556, 735_184)
    meant = override(recipe_named("coco_swin_large"), ["optimization.milestones=(655556,710184)"])
    assert meant.optimization.milestones == MILESTONES_100_EPOCHS
    assert meant.optimization == dataclasses.replace(
        recipe_named("coco_dinat_large").optimization, autocast=None
    )


def test_images_of_coco_without_an_object_are_kept(tmp_path):
    samples = []
    for scene in ToyPanoptic(length=2, max_objects=0):
        labels = [TOY_LABELS["coco"][s.label] for s in scene.segments]
        relabeled = [
            dataclasses.replace(s, label=label)
            for s, label in zip(scene.segments, labels, strict=True)
        ]
        samples.append(dataclasses.replace(scene, segments=tuple(relabeled)))
    write_coco_panoptic(samples, load_catalog("coco"), tmp_path, name="train2017")
    files, categories = build_dataset(recipe_named("coco_resnet50").data, "train", tmp_path)
    assert len(files) == 2
    assert not any(categories[s.label].is_thing for sample in files for s in sample.segments)


def test_the_other_readings_are_one_setting_away():
    words = [
        f"optimization.clip_norm={CONFIGURED_CLIP_NORM}",
        f"optimization.weight_decay={WEIGHT_DECAY_OF_PAPER}",
        "optimization.decay_convnext_norms=False",
        "optimization.autocast=fp16",
    ]
    plan = override(recipe_named("ade20k_convnext_large"), words).optimization
    assert (plan.clip_norm, plan.weight_decay) == (0.01, 0.1)
    assert (plan.decay_convnext_norms, plan.autocast) == (False, "fp16")


@pytest.mark.parametrize("name", ONE_GPU)
def test_a_recipe_for_one_gpu_changes_how_and_not_what(name):
    recipe, published = recipe_named(name), recipe_named(ONE_GPU[name][0])
    assert (recipe.data, recipe.model, recipe.inference) == (
        published.data,
        published.model,
        published.inference,
    )
    plan = recipe.optimization
    assert plan.autocast == "bf16"
    assert plan.checkpoint_blocks
    assert plan.batch_size == published.optimization.batch_size
    assert plan.batch_size % plan.accumulate == 0
    assert plan.accumulate > 1
    how = ("accumulate", "autocast", "checkpoint_blocks", "sync_batch_norm")
    changed = {key: getattr(published.optimization, key) for key in how}
    assert dataclasses.replace(plan, **changed) == published.optimization


def test_a_recipe_knows_which_published_run_it_follows():
    assert published_start("ade20k_swin_tiny_24gb").starts_from == "swin_tiny_patch4_window7_224"
    assert published_start("ade20k_dinat_large_1280_coco_pretrained").starts_from == (
        "150_16_dinat_l_oneformer_coco_100ep.pth"
    )
    assert published_start("toy") is None
