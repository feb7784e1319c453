"""What there is to say about a published model, and what those of a data set have in common.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and 4.2; not drawn in Figure 2.

Not here: the models (`presets/published.py`), reading their files (`checkpoints/`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypeAlias

from minioneformer.config import OneFormerConfig, ResNetConfig
from minioneformer.data.categories import class_names, ignore_label, load_catalog
from minioneformer.presets.backbones import backbone_preset

DatasetName: TypeAlias = Literal["ade20k", "cityscapes", "coco", "mapillary_vistas"]
PROJECT = "https://shi-labs.com/projects/oneformer"
HUB = "https://huggingface.co"
OVERLAP_THRESHOLD = 0.8  # for every data set
FOR_OTHERS = "_for_cityscapes"  # end of the names of models that were trained to start from
MAPILLARY_FOLDER = "mapillary"  # of the project's site; elsewhere the data set has its full name


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """One published configuration.

    Args:
        name: Data set, backbone and what sets it apart, as `published_model` takes it.
        dataset: Whose classes it knows: a name that `load_catalog` takes.
        backbone: A name that `backbone_preset` takes.
        num_queries: N, task token included; also the number of instances kept at test.
        crop_size: Of a training image.
        shortest_edge: Of a test image, in pixels.
        longest_edge: Upper bound of the longest edge of a test image, in pixels.
        object_threshold: Class probability that a panoptic segment must exceed.
        overlap_threshold: Share of its mask that a panoptic segment must own.
        pq: Panoptic quality in percent; None where not published, as are the others.
        ap: Average precision of instances in percent; on COCO against instances derived from
            the panoptic annotation.
        miou: Mean intersection over union in percent, of single test images.
        miou_multi_scale: The same, averaged over several scales and mirrored images.
        million_parameters: Without the text branch, rounded.
        starts_from: The ImageNet weights of its backbone, or the file of the model that training
            started from.
        file: Of the official weights; None where not published.
        url: Of that file.
        hub_id: Of the converted weights; None where there are none.
    """

    name: str
    dataset: DatasetName
    backbone: str
    num_queries: int
    crop_size: tuple[int, int]
    shortest_edge: int
    longest_edge: int
    object_threshold: float
    overlap_threshold: float
    pq: float | None
    ap: float | None
    miou: float | None
    miou_multi_scale: float | None
    million_parameters: int
    starts_from: str
    file: str | None
    url: str | None
    hub_id: str | None

    @property
    def backbone_title(self) -> str:
        """The backbone as the paper writes it, such as "Swin-L"."""
        return _TITLES[self.backbone]

    @property
    def dataset_title(self) -> str:
        """The data set as the paper writes it."""
        return _DATASETS[self.dataset].title

    @property
    def num_classes(self) -> int:
        """K, without the no-object class."""
        return len(load_catalog(self.dataset))

    @property
    def train_images(self) -> int:
        """Images of the training split of its data set."""
        return _DATASETS[self.dataset].train_images

    @property
    def is_pretraining(self) -> bool:
        """Whether it was trained only to start others from."""
        return self.name.endswith(FOR_OTHERS)

    @property
    def hardware(self) -> str:
        """What the published run was made on, as the official list of models states it."""
        large_on_coco = self.dataset == "coco" and self.backbone_title in ("Swin-L", "DiNAT-L")
        side_896 = self.dataset == "ade20k" and self.crop_size == (896, 896)
        if large_on_coco or side_896 or self.backbone_title == "ConvNeXt-XL":
            return "8 x A100 80 GB"
        return "8 x A6000 48 GB"

    @property
    def config(self) -> OneFormerConfig:
        """The configuration of the model, class names included, without its text branch."""
        backbone = backbone_preset(self.backbone)
        if isinstance(backbone, ResNetConfig):
            frozen = _DATASETS[self.dataset].frozen_batch_norm
            backbone = dataclasses.replace(backbone, frozen_batch_norm=frozen)
        return OneFormerConfig(
            backbone_config=backbone,
            id2label=dict(enumerate(class_names(load_catalog(self.dataset)))),
            ignore_value=ignore_label(self.dataset),
            num_queries=self.num_queries,
        )


@dataclass(frozen=True, kw_only=True)
class _Dataset:
    """What the models of a data set have in common; sizes where they do not depend on the model."""

    title: str
    folder: str
    object_threshold: float
    frozen_batch_norm: bool
    train_images: int
    crop_size: tuple[int, int] = (0, 0)
    test_edges: tuple[int, int] = (0, 0)


_DATASETS = {
    "ade20k": _Dataset(
        title="ADE20K",
        folder="ade20k",
        object_threshold=0.5,
        frozen_batch_norm=True,
        train_images=20_210,
    ),
    "cityscapes": _Dataset(
        title="Cityscapes",
        folder="cityscapes",
        object_threshold=0.8,
        frozen_batch_norm=False,
        train_images=2_975,
        crop_size=(512, 1024),
        test_edges=(1024, 2048),
    ),
    "coco": _Dataset(
        title="COCO",
        folder="coco",
        object_threshold=0.8,
        frozen_batch_norm=True,
        train_images=118_287,
        crop_size=(1024, 1024),
        test_edges=(800, 1333),
    ),
    "mapillary_vistas": _Dataset(
        title="Mapillary Vistas",
        folder=MAPILLARY_FOLDER,
        object_threshold=0.8,
        frozen_batch_norm=False,
        train_images=18_000,
        crop_size=(1024, 1024),
        test_edges=(2048, 2048),
    ),
}

_TITLES = {
    "resnet50": "R50",
    "swin_tiny": "Swin-T",
    "swin_large": "Swin-L",
    "convnext_large": "ConvNeXt-L",
    "convnext_xlarge": "ConvNeXt-XL",
    "dinat_large": "DiNAT-L",
    "dinat_large_1280": "DiNAT-L",
    "dinat_large_cityscapes": "DiNAT-L",
}

_MILLION_PARAMETERS = {
    "R50": 47,
    "Swin-T": 51,
    "Swin-L": 219,
    "ConvNeXt-L": 220,
    "ConvNeXt-XL": 372,
    "DiNAT-L": 223,
}

_IMAGENET = {
    "resnet50": "resnet50 of torchvision, first version",
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "swin_large": "swin_large_patch4_window12_384_22kto1k",
    "convnext_large": "convnext_large_22k_1k_384",
    "convnext_xlarge": "convnext_xlarge_22k_1k_384_ema",
    "dinat_large": "dinat_large_in22k_in1k_384_11x11",
    "dinat_large_1280": "dinat_large_in22k_in1k_384_11x11",
    "dinat_large_cityscapes": "dinat_large_in22k_224",
}


def describe(
    name: str,
    dataset: DatasetName,
    backbone: str,
    num_queries: int,
    scores: tuple[float | None, float | None, float | None, float | None],
    file: str | None = None,
    *,
    side: int | None = None,
    on_hub: bool = False,
    only_on_hub: bool = False,
    starts_from: str | None = None,
) -> PublishedModel:
    """Fill in what follows from data set and backbone.

    Args:
        name: Without its data set.
        dataset: See `PublishedModel`, as the next two.
        backbone: One of those that were published.
        num_queries: At least 150.
        scores: PQ, AP, mIoU and mIoU of several scales, in percent.
        file: Of the official weights; None where not published.
        side: Of training crops and the shortest edge of test images, on ADE20K, where models
            differ in it; None elsewhere.
        on_hub: Whether there are converted weights.
        only_on_hub: Whether the official weights lie with them and nowhere else.
        starts_from: The file of another model; None for ImageNet weights.

    Returns:
        The row.

    Example:
        On ADE20K a model of side 640 has test images of at most 2560 pixels.
    """
    common = _DATASETS[dataset]
    crop_size = common.crop_size if side is None else (side, side)
    shortest_edge, longest_edge = common.test_edges if side is None else (side, 4 * side)
    pq, ap, miou, miou_multi_scale = scores
    hub_id = f"shi-labs/oneformer_{dataset}_{name}" if on_hub else None
    folder = f"{HUB}/{hub_id}/resolve/main" if only_on_hub else f"{PROJECT}/{common.folder}"
    return PublishedModel(
        name=f"{dataset}_{name}",
        dataset=dataset,
        backbone=backbone,
        num_queries=num_queries,
        crop_size=crop_size,
        shortest_edge=shortest_edge,
        longest_edge=longest_edge,
        object_threshold=common.object_threshold,
        overlap_threshold=OVERLAP_THRESHOLD,
        pq=pq,
        ap=ap,
        miou=miou,
        miou_multi_scale=miou_multi_scale,
        million_parameters=_MILLION_PARAMETERS[_TITLES[backbone]],
        starts_from=starts_from or _IMAGENET[backbone],
        file=file,
        url=None if file is None else f"{folder}/{file}",
        hub_id=hub_id,
    )
