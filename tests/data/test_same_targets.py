"""One annotation in every form that can say it: the same targets and the same texts.

Scenes of the toy data set are written as COCO panoptic and then in each other form.

Mutants that must fail: a reader that shifts labels, drops a segment, merges neighbours of a class,
swaps rows and columns, or lets void be a class.
"""

import base64
import io
import itertools
import json

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image
from pycocotools import mask as coco_mask

from minioneformer.data.background import WithBackground
from minioneformer.data.categories import class_names
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.coco_instance import CocoInstance
from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.data.instance_and_semantic import InstanceAndSemantic
from minioneformer.data.label_folder import InstanceFolder, SemanticFolder
from minioneformer.data.labelme import LabelMe
from minioneformer.data.mapillary import Mapillary
from minioneformer.data.mapillary_writer import write_mapillary
from minioneformer.data.sample_facts import FactsOfSamples
from minioneformer.data.targets import target_for_task
from minioneformer.data.toy import ToyPanoptic
from minioneformer.structures import TASKS, Category
from minioneformer.text.text_list import text_list

TOY = ToyPanoptic(length=4, size=(37, 50), seed=3)
CATEGORIES = TOY.categories
THINGS = [category for category in CATEGORIES if category.is_thing]


def described(sample, task, categories):
    """What a task asks of a sample, as a set; two forms may order it differently."""
    target = target_for_task(sample, task, categories)
    masks = [
        (int(label), mask.numpy().tobytes())
        for label, mask in zip(target.labels, target.masks, strict=True)
    ]
    return sorted(masks), sorted(text_list(target.labels.tolist(), class_names(categories)))


def write_folders(root):
    """Images, label maps and instance ids."""
    for sub in ("images", "labels", "ids"):
        (root / sub).mkdir()
    for sample in TOY:
        stem = f"{sample.image_id:012d}"  # as COCO names files
        pixels = rearrange(sample.image, "C H W -> H W C").numpy()
        Image.fromarray(np.ascontiguousarray(pixels)).save(root / "images" / f"{stem}.png")
        labels = torch.zeros_like(sample.segment_map)
        ids = torch.zeros_like(sample.segment_map)
        for number, segment in enumerate(sample.segments, start=1):
            mask = sample.segment_map == segment.id
            labels[mask] = segment.label + 1
            if CATEGORIES[segment.label].is_thing:
                ids[mask] = 1000 * (segment.label + 1) + number
        Image.fromarray(labels.numpy().astype(np.uint8)).save(root / "labels" / f"{stem}.png")
        Image.fromarray(ids.numpy().astype(np.uint16)).save(root / "ids" / f"{stem}.png")


def open_semantic(root):
    names = {i: category.name for i, category in enumerate(CATEGORIES, start=1)}
    return SemanticFolder(
        root / "images",
        png_dir=root / "labels",
        values={0: "ignore", **names},
        things=[category.name for category in THINGS],
    )


def open_ids(root, categories=CATEGORIES):
    names = {i: c.name for i, c in enumerate(CATEGORIES, start=1) if c.is_thing}
    return InstanceFolder(
        root / "images", png_dir=root / "ids", class_of=names, categories=categories
    )


def write_coco_instance(root):
    images, objects = [], []
    for sample in TOY:
        images.append({"id": sample.image_id, "file_name": f"{sample.image_id:012d}.png"})
        for segment in sample.segments:
            if not CATEGORIES[segment.label].is_thing:
                continue
            mask = (sample.segment_map == segment.id).numpy()
            runs = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
            objects.append(
                {
                    "id": len(objects),
                    "image_id": sample.image_id,
                    "category_id": CATEGORIES[segment.label].dataset_id,
                    "segmentation": {"size": runs["size"], "counts": runs["counts"].decode()},
                }
            )
    declared = [{"id": category.dataset_id, "name": category.name} for category in THINGS]
    path = root / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": objects, "categories": declared}))
    return path


def write_labelme(root):
    (root / "labelme").mkdir()
    for sample in TOY:
        shapes = []
        for segment in sample.segments:
            file = io.BytesIO()
            mask = (sample.segment_map == segment.id).numpy().astype(np.uint8)
            Image.fromarray(mask * 255).save(file, format="PNG")
            shapes.append(
                {
                    "label": CATEGORIES[segment.label].name,
                    "points": [[0, 0], [mask.shape[1] - 1, mask.shape[0] - 1]],
                    "shape_type": "mask",
                    "mask": base64.b64encode(file.getvalue()).decode(),
                }
            )
        stem = f"{sample.image_id:012d}"
        content = {"imagePath": f"{stem}.png", "shapes": shapes}
        (root / "labelme" / f"{stem}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    write_coco_panoptic(iter(TOY), CATEGORIES, folder / "coco")
    write_mapillary(iter(TOY), CATEGORIES, folder / "mapillary")
    write_mapillary(iter(TOY), CATEGORIES, folder / "mapillary", version="v2.0")
    write_folders(folder)
    write_coco_instance(folder)
    write_labelme(folder)
    return folder


FORMS = {
    "coco panoptic": lambda root: CocoPanoptic.from_root(root / "coco", "train"),
    "mapillary v1.2": lambda root: Mapillary(root / "mapillary", categories=CATEGORIES),
    "mapillary v1.2 instances": lambda root: Mapillary(
        root / "mapillary", categories=CATEGORIES, form="instances"
    ),
    "mapillary v2.0": lambda root: Mapillary(root / "mapillary", version="v2.0"),
    "mapillary v2.0 instances": lambda root: Mapillary(
        root / "mapillary", version="v2.0", form="instances"
    ),
    "coco instance": lambda root: CocoInstance(
        root / "instances.json", image_dir=root / "images", categories=CATEGORIES
    ),
    "label maps": open_semantic,
    "instance ids": open_ids,
    "coco instance and label maps": lambda root: InstanceAndSemantic(
        CocoInstance(root / "instances.json", image_dir=root / "images"), open_semantic(root)
    ),
    "instance ids and label maps": lambda root: InstanceAndSemantic(
        open_ids(root, categories=None), open_semantic(root)
    ),
    "labelme": lambda root: LabelMe(
        root / "labelme",
        image_dir=root / "images",
        classes=class_names(CATEGORIES),
        categories=CATEGORIES,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_targets_and_texts_of_the_panoptic_one(root, form):
    dataset = FORMS[form](root)
    tasks = TASKS if form == "coco panoptic" else dataset.tasks

    assert len(dataset) == len(TOY)
    assert class_names(dataset.categories) == class_names(CATEGORIES)
    assert [c.is_thing for c in dataset.categories] == [c.is_thing for c in CATEGORIES]
    for sample, expected in zip(dataset, TOY, strict=True):
        assert sample.image.shape == expected.image.shape
        for task in tasks:
            mine = described(sample, task, dataset.categories)
            assert mine == described(expected, task, CATEGORIES)


@pytest.mark.parametrize("form", [*FORMS, "objects over a background", "toy"])
def test_a_loop_over_any_form_ends_after_its_last_sample(root, form):
    """Data sets have no `__iter__`: Python counts up until there is an IndexError."""
    others = {"objects over a background": lambda root: WithBackground(open_ids(root, None))}
    dataset = TOY if form == "toy" else {**FORMS, **others}[form](root)
    seen = [facts.errors for facts in itertools.islice(FactsOfSamples(dataset), len(TOY) + 1)]
    assert seen == [()] * len(TOY)
    assert len(list(itertools.islice(dataset, len(TOY) + 1))) == len(TOY)
    with pytest.raises(IndexError):
        dataset[len(TOY)]


def test_the_scenes_have_what_could_go_wrong():
    samples = list(TOY)
    assert any((sample.segment_map == 0).any() for sample in samples)
    labels = [[s.label for s in sample.segments] for sample in samples]
    assert any(len(set(row)) < len(row) for row in labels)  # two objects of a class


def test_objects_over_a_background_equal_their_panoptic_form(root):
    """Instance labels whose rest is named answer all three tasks."""
    objects = WithBackground(open_ids(root, categories=None))
    names = class_names(THINGS)
    assert class_names(objects.categories) == [*names, "background"]
    rest = Category(name="background", is_thing=False, color=(0, 0, 0), dataset_id=99)
    for sample, scene in zip(objects, TOY, strict=True):
        things = {s.id for s in scene.segments if CATEGORIES[s.label].is_thing}
        uncovered = ~torch.isin(scene.segment_map, torch.tensor(sorted(things)))
        target = target_for_task(sample, "semantic", (*THINGS, rest))
        (row,) = (target.labels == len(THINGS)).nonzero().flatten().tolist()
        assert torch.equal(target.masks[row], uncovered)
        assert len(target_for_task(sample, "panoptic", (*THINGS, rest)).labels) == len(things) + 1
