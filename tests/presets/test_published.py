"""The published models, against a table typed from the official lists, not from the package.

Mutants that must fail: a swapped score, another number of queries, sizes of another row.
"""

import pytest
import torch

from minioneformer.config import DinatConfig, ResNetConfig
from minioneformer.model import OneFormer
from minioneformer.presets.published import (
    published_model,
    published_model_of_file,
    published_models,
)

DATASETS = {  # classes, label of no class, frozen batch norms, object threshold
    "ade20k": (150, 255, True, 0.5),
    "cityscapes": (19, 255, False, 0.8),
    "coco": (133, 255, True, 0.8),
    "mapillary_vistas": (65, 65, False, 0.8),
}

# name; queries; crop; shortest and longest edge at test; PQ; AP; mIoU; mIoU multi-scale; millions
TABLE = """
ade20k_resnet50                       150 512x512   512 2048  41.9 27.3 47.3 -    47
ade20k_swin_tiny                      150 512x512   512 2048  -    -    -    -    51
ade20k_swin_large                     250 640x640   640 2560  49.8 35.9 57.0 57.7 219
ade20k_swin_large_896                 250 896x896   896 3584  51.1 37.6 57.4 58.3 219
ade20k_swin_large_1280                250 1280x1280 1280 5120 51.4 37.8 57.0 57.7 219
ade20k_convnext_large                 250 640x640   640 2560  50.0 36.2 56.6 57.4 220
ade20k_convnext_xlarge                250 640x640   640 2560  50.1 36.3 57.4 58.8 372
ade20k_dinat_large                    250 640x640   640 2560  50.5 36.0 58.3 58.4 223
ade20k_dinat_large_896                250 896x896   896 3584  51.2 36.8 58.1 58.6 223
ade20k_dinat_large_1280               250 1280x1280 1280 5120 51.5 37.1 58.2 58.7 223
ade20k_dinat_large_1280_coco_pretrained 150 1280x1280 1280 5120 53.4 40.2 58.4 58.8 223
cityscapes_resnet50                   150 512x1024 1024 2048  -    -    -    -    47
cityscapes_swin_large                 250 512x1024 1024 2048  67.2 45.6 83.0 84.4 219
cityscapes_convnext_large             250 512x1024 1024 2048  68.5 46.5 83.0 84.0 220
cityscapes_convnext_large_mapillary_pretrained 250 512x1024 1024 2048 70.1 48.7 84.6 85.2 220
cityscapes_dinat_large                250 512x1024 1024 2048  67.6 45.6 83.1 84.0 223
cityscapes_convnext_xlarge            250 512x1024 1024 2048  68.4 46.7 83.6 84.6 372
cityscapes_convnext_xlarge_mapillary_pretrained 250 512x1024 1024 2048 69.7 48.9 84.5 85.8 372
coco_resnet50                         150 1024x1024 800 1333  51.5 42.5 61.2 -    47
coco_swin_tiny                        150 1024x1024 800 1333  -    -    -    -    51
coco_swin_large                       150 1024x1024 800 1333  57.9 49.0 67.4 -    219
coco_dinat_large                      150 1024x1024 800 1333  58.0 49.2 68.1 -    223
mapillary_vistas_resnet50             150 1024x1024 2048 2048 -    -    -    -    47
mapillary_vistas_swin_large           250 1024x1024 2048 2048 46.7 -    62.9 64.1 219
mapillary_vistas_convnext_large       250 1024x1024 2048 2048 47.9 -    63.2 63.8 220
mapillary_vistas_convnext_large_for_cityscapes 250 1024x1024 2048 2048 - - - -   220
mapillary_vistas_convnext_xlarge_for_cityscapes 250 1024x1024 2048 2048 - - - -  372
mapillary_vistas_dinat_large          250 1024x1024 2048 2048 47.8 -    64.0 64.9 223
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]

FILES = {
    "ade20k": """
        150_16_swin_t_oneformer_ade20k_160k.pth
        250_16_swin_l_oneformer_ade20k_160k.pth
        896x896_250_16_swin_l_oneformer_ade20k_160k.pth
        1280x1280_250_16_swin_l_oneformer_ade20k_160k.pth
        250_16_convnext_l_oneformer_ade20k_160k.pth
        250_16_convnext_xl_oneformer_ade20k_160k.pth
        250_16_dinat_l_oneformer_ade20k_160k.pth
        896x896_250_16_dinat_l_oneformer_ade20k_160k.pth
        1280x1280_250_16_dinat_l_oneformer_ade20k_160k.pth
        coco_pretrain_1280x1280_150_16_dinat_l_oneformer_ade20k_160k.pth""",
    "cityscapes": """
        250_16_swin_l_oneformer_cityscapes_90k.pth
        250_16_convnext_l_oneformer_cityscapes_90k.pth
        250_16_convnext_xl_oneformer_cityscapes_90k.pth
        250_16_dinat_l_oneformer_cityscapes_90k.pth
        mapillary_pretrain_250_16_convnext_l_oneformer_cityscapes_90k.pth
        mapillary_pretrain_250_16_convnext_xl_oneformer_cityscapes_90k.pth""",
    "coco": """
        150_16_swin_l_oneformer_coco_100ep.pth
        150_16_dinat_l_oneformer_coco_100ep.pth""",
    "mapillary_vistas": """
        250_16_swin_l_oneformer_mapillary_300k.pth
        250_16_convnext_l_oneformer_mapillary_300k.pth
        250_16_dinat_l_oneformer_mapillary_300k.pth
        mapillary_pretrain_250_16_convnext_l_oneformer_mapillary_300k.pth
        mapillary_pretrain_250_16_convnext_xl_oneformer_mapillary_300k.pth""",
}
FILE_ROWS = [(dataset, file) for dataset, files in FILES.items() for file in files.split()]
BACKBONE_IN_FILE = {
    "swin_t": "Swin-T",
    "swin_l": "Swin-L",
    "convnext_l": "ConvNeXt-L",
    "convnext_xl": "ConvNeXt-XL",
    "dinat_l": "DiNAT-L",
}
HUB_IDS = """
    shi-labs/oneformer_ade20k_swin_tiny shi-labs/oneformer_ade20k_swin_large
    shi-labs/oneformer_ade20k_dinat_large shi-labs/oneformer_cityscapes_swin_large
    shi-labs/oneformer_cityscapes_dinat_large shi-labs/oneformer_coco_swin_large
    shi-labs/oneformer_coco_dinat_large""".split()


def test_every_published_configuration_is_there_once():
    names = [model.name for model in published_models()]
    assert sorted(names) == sorted(row[0] for row in ROWS)
    assert len(names) == len(set(names)) == 28


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_model_has_the_published_sizes_and_scores(row):
    name, queries, crop, shortest, longest, *scores, millions = row
    model = published_model(name)
    assert model.num_queries == model.config.num_queries == int(queries)
    assert model.crop_size == tuple(int(side) for side in crop.split("x"))
    assert (model.shortest_edge, model.longest_edge) == (int(shortest), int(longest))
    found = (model.pq, model.ap, model.miou, model.miou_multi_scale)
    assert found == tuple(None if score == "-" else float(score) for score in scores)
    assert model.million_parameters == int(millions)


@pytest.mark.parametrize("model", published_models(), ids=lambda model: model.name)
def test_a_model_knows_the_classes_of_its_data_set(model):
    num_classes, no_class, frozen, threshold = DATASETS[model.dataset]
    config = model.config
    assert model.name.startswith(model.dataset)
    assert config.num_classes == model.num_classes == num_classes
    assert config.ignore_value == no_class
    assert not config.is_training
    assert (model.object_threshold, model.overlap_threshold) == (threshold, 0.8)
    if isinstance(config.backbone_config, ResNetConfig):
        assert config.backbone_config.frozen_batch_norm is frozen


@pytest.mark.parametrize("dataset, file", FILE_ROWS, ids=lambda value: value)
def test_a_published_file_leads_to_its_model(dataset, file, tmp_path):
    model = published_model_of_file(tmp_path / file)
    assert model is not None
    assert (model.dataset, model.file) == (dataset, file)
    (short,) = [name for name in BACKBONE_IN_FILE if f"_16_{name}_oneformer" in file]
    assert model.backbone_title == BACKBONE_IN_FILE[short]
    assert f"{model.num_queries}_16_" in file
    height, width = model.crop_size
    assert ("896x896" in file or "1280x1280" in file) == (f"{height}x{width}" in file)
    assert ("1280" in file and "dinat" in file) == (model.backbone == "dinat_large_1280")
    if "swin_t" in file:
        folder = "https://huggingface.co/shi-labs/oneformer_ade20k_swin_tiny/resolve/main"
    else:
        folder = f"https://shi-labs.com/projects/oneformer/{dataset.removesuffix('_vistas')}"
    assert model.url == f"{folder}/{file}"


def test_no_other_file_leads_to_a_model():
    assert {m.file for m in published_models()} - {None} == {file for _, file in FILE_ROWS}
    assert published_model_of_file("model.pth") is None


def test_converted_weights_are_named_as_on_the_hub():
    assert sorted(m.hub_id for m in published_models() if m.hub_id) == sorted(HUB_IDS)
    for hub_id in HUB_IDS:
        assert published_model(hub_id).hub_id == hub_id


def test_dinat_has_the_dilations_of_its_recipe():
    first = {}
    for model in published_models():
        config = model.config.backbone_config
        if isinstance(config, DinatConfig):
            first[model.name] = (config.kernel_size, *config.stage_dilations[0])
    assert first == {
        "ade20k_dinat_large": (11, 1, 20, 1),
        "ade20k_dinat_large_896": (11, 1, 20, 1),
        "ade20k_dinat_large_1280": (11, 1, 28, 1),
        "ade20k_dinat_large_1280_coco_pretrained": (11, 1, 28, 1),
        "cityscapes_dinat_large": (7, 1, 18, 1),
        "coco_dinat_large": (11, 1, 20, 1),
        "mapillary_vistas_dinat_large": (11, 1, 20, 1),
    }


def test_training_starts_from_imagenet_or_from_a_published_model():
    files = {model.file for model in published_models()}
    others = {m.name: m.starts_from for m in published_models() if m.starts_from in files}
    assert others == {
        "ade20k_dinat_large_1280_coco_pretrained": "150_16_dinat_l_oneformer_coco_100ep.pth",
        "cityscapes_convnext_large_mapillary_pretrained": (
            "mapillary_pretrain_250_16_convnext_l_oneformer_mapillary_300k.pth"
        ),
        "cityscapes_convnext_xlarge_mapillary_pretrained": (
            "mapillary_pretrain_250_16_convnext_xl_oneformer_mapillary_300k.pth"
        ),
    }
    assert published_model("cityscapes_dinat_large").starts_from == "dinat_large_in22k_224"
    assert published_model("coco_swin_large").starts_from.endswith("window12_384_22kto1k")


@pytest.mark.parametrize(
    "name", ["cityscapes_resnet50", "mapillary_vistas_swin_large", "cityscapes_dinat_large"]
)
def test_the_rounded_number_of_parameters_is_that_of_the_model(name):
    """Queries and classes of each data set move the number by less than the rounding."""
    model = published_model(name)
    with torch.device("meta"):
        built = OneFormer.from_config(model.config)
    total = sum(parameter.numel() for parameter in built.parameters())
    assert round(total / 1e6) == model.million_parameters


def test_an_unknown_model_is_refused_with_near_matches():
    with pytest.raises(ValueError, match=r"got name='coco_swin_larg'.*coco_swin_large"):
        published_model("coco_swin_larg")
    with pytest.raises(ValueError, match=r"got name='zzz'\. Known: ade20k_resnet50"):
        published_model("zzz")


def test_runs_on_larger_gpus_are_those_of_the_official_list():
    hardware = {model.name: model.hardware for model in published_models()}
    assert set(hardware.values()) == {"8 x A100 80 GB", "8 x A6000 48 GB"}
    assert {name for name, gpus in hardware.items() if gpus == "8 x A100 80 GB"} == {
        "ade20k_swin_large_896",
        "ade20k_dinat_large_896",
        "ade20k_convnext_xlarge",
        "cityscapes_convnext_xlarge",
        "cityscapes_convnext_xlarge_mapillary_pretrained",
        "mapillary_vistas_convnext_xlarge_for_cityscapes",
        "coco_swin_large",
        "coco_dinat_large",
    }


def test_a_model_knows_the_images_it_was_trained_on():
    images = {model.dataset: model.train_images for model in published_models()}
    assert images == {
        "ade20k": 20_210,
        "cityscapes": 2_975,
        "coco": 118_287,
        "mapillary_vistas": 18_000,
    }
    only_to_start_from = {model.name for model in published_models() if model.is_pretraining}
    assert only_to_start_from == {
        "mapillary_vistas_convnext_large_for_cityscapes",
        "mapillary_vistas_convnext_xlarge_for_cityscapes",
    }
