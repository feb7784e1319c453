"""The published models: sizes, thresholds, figures, and where their weights lie.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.2, Tables 1 to 3; not drawn in Figure 2.

One row per configuration of the official code, also where no weights were published. The figures
are of one model on the validation set, from the paper, or from the official model list where the
paper has none.

Not here: what a row holds (`presets/published_model.py`), reading the files (`checkpoints/`),
training such a model (`training/recipes.py`).
"""

from __future__ import annotations

import difflib
from functools import partial
from pathlib import Path

from minioneformer.presets.published_model import PublishedModel, describe

_NONE = (None, None, None, None)
_COCO_DINAT = "150_16_dinat_l_oneformer_coco_100ep.pth"
# Trained on Mapillary Vistas only to be fine-tuned on Cityscapes.
_MAPILLARY_L = "mapillary_pretrain_250_16_convnext_l_oneformer_mapillary_300k.pth"
_MAPILLARY_XL = "mapillary_pretrain_250_16_convnext_xl_oneformer_mapillary_300k.pth"


def _ade20k() -> tuple[PublishedModel, ...]:
    row = partial(describe, dataset="ade20k", side=640, num_queries=250)
    return (
        row(
            "resnet50",
            backbone="resnet50",
            num_queries=150,
            side=512,
            scores=(41.9, 27.3, 47.3, None),
        ),
        row(
            "swin_tiny",
            backbone="swin_tiny",
            num_queries=150,
            side=512,
            scores=_NONE,
            file="150_16_swin_t_oneformer_ade20k_160k.pth",
            on_hub=True,
            only_on_hub=True,
        ),
        row(
            "swin_large",
            backbone="swin_large",
            scores=(49.8, 35.9, 57.0, 57.7),
            file="250_16_swin_l_oneformer_ade20k_160k.pth",
            on_hub=True,
        ),
        row(
            "swin_large_896",
            backbone="swin_large",
            side=896,
            scores=(51.1, 37.6, 57.4, 58.3),
            file="896x896_250_16_swin_l_oneformer_ade20k_160k.pth",
        ),
        row(
            "swin_large_1280",
            backbone="swin_large",
            side=1280,
            scores=(51.4, 37.8, 57.0, 57.7),
            file="1280x1280_250_16_swin_l_oneformer_ade20k_160k.pth",
        ),
        row(
            "convnext_large",
            backbone="convnext_large",
            scores=(50.0, 36.2, 56.6, 57.4),
            file="250_16_convnext_l_oneformer_ade20k_160k.pth",
        ),
        row(
            "convnext_xlarge",
            backbone="convnext_xlarge",
            scores=(50.1, 36.3, 57.4, 58.8),
            file="250_16_convnext_xl_oneformer_ade20k_160k.pth",
        ),
        row(
            "dinat_large",
            backbone="dinat_large",
            scores=(50.5, 36.0, 58.3, 58.4),
            file="250_16_dinat_l_oneformer_ade20k_160k.pth",
            on_hub=True,
        ),
        row(
            "dinat_large_896",
            backbone="dinat_large",
            side=896,
            scores=(51.2, 36.8, 58.1, 58.6),
            file="896x896_250_16_dinat_l_oneformer_ade20k_160k.pth",
        ),
        # the official list states an mIoU of 58.3
        row(
            "dinat_large_1280",
            backbone="dinat_large_1280",
            side=1280,
            scores=(51.5, 37.1, 58.2, 58.7),
            file="1280x1280_250_16_dinat_l_oneformer_ade20k_160k.pth",
        ),
        row(
            "dinat_large_1280_coco_pretrained",
            backbone="dinat_large_1280",
            num_queries=150,
            side=1280,
            scores=(53.4, 40.2, 58.4, 58.8),
            starts_from=_COCO_DINAT,
            file="coco_pretrain_1280x1280_150_16_dinat_l_oneformer_ade20k_160k.pth",
        ),
    )


def _cityscapes() -> tuple[PublishedModel, ...]:
    row = partial(describe, dataset="cityscapes", num_queries=250)
    return (
        row("resnet50", backbone="resnet50", num_queries=150, scores=_NONE),
        row(
            "swin_large",
            backbone="swin_large",
            scores=(67.2, 45.6, 83.0, 84.4),
            file="250_16_swin_l_oneformer_cityscapes_90k.pth",
            on_hub=True,
        ),
        row(
            "convnext_large",
            backbone="convnext_large",
            scores=(68.5, 46.5, 83.0, 84.0),
            file="250_16_convnext_l_oneformer_cityscapes_90k.pth",
        ),
        row(
            "convnext_large_mapillary_pretrained",
            backbone="convnext_large",
            scores=(70.1, 48.7, 84.6, 85.2),
            file="mapillary_pretrain_250_16_convnext_l_oneformer_cityscapes_90k.pth",
            starts_from=_MAPILLARY_L,
        ),
        row(
            "convnext_xlarge",
            backbone="convnext_xlarge",
            scores=(68.4, 46.7, 83.6, 84.6),
            file="250_16_convnext_xl_oneformer_cityscapes_90k.pth",
        ),
        row(
            "convnext_xlarge_mapillary_pretrained",
            backbone="convnext_xlarge",
            scores=(69.7, 48.9, 84.5, 85.8),
            file="mapillary_pretrain_250_16_convnext_xl_oneformer_cityscapes_90k.pth",
            starts_from=_MAPILLARY_XL,
        ),
        row(
            "dinat_large",
            backbone="dinat_large_cityscapes",
            scores=(67.6, 45.6, 83.1, 84.0),
            file="250_16_dinat_l_oneformer_cityscapes_90k.pth",
            on_hub=True,
        ),
    )


def _coco() -> tuple[PublishedModel, ...]:
    row = partial(describe, dataset="coco", num_queries=150)
    return (
        row("resnet50", backbone="resnet50", scores=(51.5, 42.5, 61.2, None)),
        row("swin_tiny", backbone="swin_tiny", scores=_NONE),
        row(
            "swin_large",
            backbone="swin_large",
            scores=(57.9, 49.0, 67.4, None),
            file="150_16_swin_l_oneformer_coco_100ep.pth",
            on_hub=True,
        ),
        row(
            "dinat_large",
            backbone="dinat_large",
            scores=(58.0, 49.2, 68.1, None),
            file=_COCO_DINAT,
            on_hub=True,
        ),
    )


def _mapillary_vistas() -> tuple[PublishedModel, ...]:
    row = partial(describe, dataset="mapillary_vistas", num_queries=250)
    return (
        row("resnet50", backbone="resnet50", num_queries=150, scores=_NONE),
        row(
            "swin_large",
            backbone="swin_large",
            scores=(46.7, None, 62.9, 64.1),
            file="250_16_swin_l_oneformer_mapillary_300k.pth",
        ),
        row(
            "convnext_large",
            backbone="convnext_large",
            scores=(47.9, None, 63.2, 63.8),
            file="250_16_convnext_l_oneformer_mapillary_300k.pth",
        ),
        row(
            "convnext_large_for_cityscapes",
            backbone="convnext_large",
            scores=_NONE,
            file=_MAPILLARY_L,
        ),
        row(
            "convnext_xlarge_for_cityscapes",
            backbone="convnext_xlarge",
            scores=_NONE,
            file=_MAPILLARY_XL,
        ),
        row(
            "dinat_large",
            backbone="dinat_large",
            scores=(47.8, None, 64.0, 64.9),
            file="250_16_dinat_l_oneformer_mapillary_300k.pth",
        ),
    )


_MODELS = (*_ade20k(), *_cityscapes(), *_coco(), *_mapillary_vistas())
_BY_NAME = {model.name: model for model in _MODELS}
_BY_FILE = {model.file: model for model in _MODELS if model.file is not None}


def published_models() -> tuple[PublishedModel, ...]:
    """Every published configuration, by data set, small backbones first."""
    return _MODELS


def published_model(name: str) -> PublishedModel:
    """Find a configuration.

    Args:
        name: Data set, backbone and what sets the model apart, such as "ade20k_swin_large_896";
            the id of converted weights names the same model.

    Raises:
        ValueError: If there is no such model; near matches are named.

    Example:
        `published_model("coco_swin_large")` has 150 queries, as has
        `published_model("shi-labs/oneformer_coco_swin_large")`.
    """
    short = name.removeprefix("shi-labs/").removeprefix("oneformer_")
    if short not in _BY_NAME:
        near = difflib.get_close_matches(short, _BY_NAME, n=3)
        hint = f"Near matches: {', '.join(near)}." if near else f"Known: {', '.join(_BY_NAME)}."
        raise ValueError(f"no such published model, got {name=}. {hint}")
    return _BY_NAME[short]


def published_model_of_file(file: str | Path) -> PublishedModel | None:
    """Find the configuration of a file of official weights, which holds none itself.

    Args:
        file: Its name, or a path that ends in it.

    Returns:
        The configuration; None for a file of another name.

    Example:
        `250_16_dinat_l_oneformer_ade20k_160k.pth` is "ade20k_dinat_large": the dilations of its
        backbone are nowhere in its tensors.
    """
    return _BY_FILE.get(Path(file).name)
