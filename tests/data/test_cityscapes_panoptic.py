"""Prepared Cityscapes annotations: a real photograph with expected arrays, and files that lie.

Mutants that must fail: train ids taken as label ids; names of images taken from the JSON; crowds
dropped; ids of the PNG unchecked.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.data.categories import load_catalog
from minioneformer.data.cityscapes import Cityscapes
from minioneformer.data.cityscapes_panoptic import CityscapesPanoptic
from minioneformer.data.cityscapes_writer import TOY_LABELS, write_cityscapes
from minioneformer.data.prepare import prepare
from minioneformer.data.toy import ToyPanoptic

CATALOG = load_catalog("cityscapes")
TOY = ToyPanoptic(length=3, size=(33, 50), seed=5)


@pytest.fixture
def root(tmp_path):
    write_cityscapes([TOY[i] for i in range(3)], tmp_path, labels=TOY_LABELS)
    prepare("cityscapes", tmp_path)
    return tmp_path


def edit(root, change, name="cityscapes_panoptic_train.json"):
    path = root / "gtFine" / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_photograph_decodes_to_the_expected_arrays(shared_data):
    folder = shared_data / "deeplab2_cityscapes"
    name = "cityscapes_panoptic_dummy_trainId"
    dataset = CityscapesPanoptic(
        folder / "gtFine" / f"{name}.json",
        image_dir=folder / "leftImg8bit",
        png_dir=folder / "gtFine" / name,
    )
    sample = dataset[0]
    targets = folder / "targets"
    semantic = np.asarray(Image.open(targets / "eval_semantic_target.png")).astype(np.int64)
    panoptic = np.load(targets / "eval_panoptic_target.npy").squeeze()
    crowd = np.load(targets / "eval_is_crowd.npy").squeeze()

    label_map = torch.full(sample.segment_map.shape, 255)
    crowd_map = torch.zeros(sample.segment_map.shape, dtype=torch.bool)
    instances = {}
    for s in sample.segments:
        mask = sample.segment_map == s.id
        label_map[mask] = s.label
        crowd_map[mask] = s.is_crowd
        values = np.unique(panoptic[mask.numpy()])
        assert len(values) == 1 and values[0] // 1000 == s.label
        instances[s.id] = int(values[0]) % 1000
        assert s.area == int(mask.sum())
    assert (len(dataset), dataset.unannotated) == (1, 0)
    assert sample.image.shape == (3, 800, 800)
    assert np.array_equal(label_map.numpy(), semantic)
    assert np.array_equal(crowd_map.numpy(), crowd)
    assert np.array_equal((sample.segment_map == 0).numpy(), panoptic == 255000)
    things = {s.id for s in sample.segments if CATALOG[s.label].is_thing}
    assert sorted(instances[i] for i in things) == [0, 1, 2, 3, 4, 5]
    assert instances[26] == 0
    assert sum(s.is_crowd for s in sample.segments) == 1


def test_images_are_found_though_the_file_names_them_otherwise(root):
    content = json.loads((root / "gtFine" / "cityscapes_panoptic_train.json").read_text())
    named = content["images"][0]["file_name"]
    assert named == "toytown_000000_000000_gtFine_leftImg8bit.png"

    sample = Cityscapes.from_root(root, "train")[0]
    assert torch.equal(sample.image, TOY[0].image)
    assert sample.file_name == "toytown/toytown_000000_000000_leftImg8bit.png"


def test_a_file_of_train_ids_gives_the_same_samples(root):
    expected = list(Cityscapes.from_root(root, "train"))
    labels = {category.dataset_id: label for label, category in enumerate(CATALOG)}

    def use_train_ids(content):
        for category in content["categories"]:
            category["id"] = labels[category["id"]]
        for annotation in content["annotations"]:
            for segment in annotation["segments_info"]:
                segment["category_id"] = labels[segment["category_id"]]

    edit(root, use_train_ids)
    gt = root / "gtFine"
    with pytest.raises(ValueError, match=r"categories must be those of Cityscapes.*\(0, 'road'\)"):
        Cityscapes.from_root(root, "train")
    name = "cityscapes_panoptic_train"
    (gt / f"{name}.json").rename(gt / f"{name}_trainId.json")
    (gt / name).rename(gt / f"{name}_trainId")
    for sample, other in zip(Cityscapes.from_root(root, "train"), expected, strict=True):
        assert sample.segments == other.segments


def test_older_files_without_images_and_categories_are_read(root):
    expected = Cityscapes.from_root(root, "train")[1]
    edit(root, lambda content: (content.pop("images"), content.pop("categories")))
    assert Cityscapes.from_root(root, "train")[1].segments == expected.segments


def test_given_categories_decide_the_labels(root):
    usual = Cityscapes.from_root(root, "train")[0]
    turned = Cityscapes.from_root(root, "train", categories=CATALOG[::-1])[0]
    assert [18 - s.label for s in turned.segments] == [s.label for s in usual.segments]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("annotations"), r"must be an object with annotations, got"),
        (lambda c: c["annotations"][1].pop("file_name"), r"annotation 1 lacks \['file_name'\]"),
        (lambda c: c["annotations"].append(c["annotations"][0]), r"image_ids must be unique"),
        (
            lambda c: c["annotations"][0].update(image_id="x_0_0"),
            r"needs an image .* got none for \['x_0_0'\]",
        ),
        (
            lambda c: c["categories"][3].update(name="cat"),
            r"must be those of Cityscapes.*\(12, 'cat'\)",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused_when_the_data_set_is_made(root, change, message):
    edit(root, change)
    with pytest.raises(ValueError, match=r"cityscapes_panoptic_train\.json.*" + message):
        Cityscapes.from_root(root, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.update(file_name="../../x.png"),
            r"image 'toytown_000000_000001': paths must stay inside",
        ),
        (
            lambda a: a["segments_info"][0].update(category_id=9),
            r"image 'toytown_000000_000001': segment \d+ has an unknown category, .*_id=9",
        ),
        (
            lambda a: a["segments_info"].pop(),
            r"000001_gtFine_panoptic\.png: every id in the PNG must be in segments_info",
        ),
    ],
)
def test_annotations_that_do_not_fit_are_refused_when_they_are_read(root, change, message):
    edit(root, lambda content: change(content["annotations"][1]))
    dataset = Cityscapes.from_root(root, "train")

    assert dataset[0].image_id == "toytown_000000_000000"
    with pytest.raises(ValueError, match=message):
        dataset[1]
