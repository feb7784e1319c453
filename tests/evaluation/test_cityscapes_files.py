"""Results as the Cityscapes server takes them."""

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.data.categories import load_catalog
from minioneformer.evaluation.cityscapes_files import (
    LABEL_IDS,
    core_name,
    write_cityscapes_instances,
    write_cityscapes_labels,
)
from minioneformer.structures import Category, InstancePrediction, SemanticPrediction

CLASSES = (
    Category(name="road", is_thing=False, color=(0, 0, 0), dataset_id=7),
    Category(name="car", is_thing=True, color=(0, 0, 0), dataset_id=26),
)
NAME = "val/ulm/ulm_000003_000019_leftImg8bit.png"


def instances(masks, labels):
    return InstancePrediction(
        masks=masks,
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.linspace(0.9, 0.1, len(labels)),
        queries=torch.arange(len(labels)),
    )


def test_masks_are_listed_with_their_class_and_score(tmp_path, rng):
    masks = torch.rand(3, 5, 9, generator=rng) < 0.5
    folder = write_cityscapes_instances(
        tmp_path, [(NAME, instances(masks, [1, 0, 1]))], list(CLASSES)
    )
    lines = (folder / "ulm_000003_000019_pred.txt").read_text().splitlines()
    listed = [line.split(" ") for line in lines]
    assert [(name, int(i)) for name, i, _ in listed] == [
        ("ulm_000003_000019_0.png", 26),
        ("ulm_000003_000019_2.png", 26),
    ]
    assert [float(score) for *_, score in listed] == pytest.approx([0.9, 0.1])
    for number, (name, *_) in zip((0, 2), listed, strict=True):
        written = np.array(Image.open(folder / name))
        assert np.array_equal(written, masks[number].numpy() * np.uint8(255))


def test_an_image_without_instances_has_an_empty_list(tmp_path):
    nothing = instances(torch.zeros(0, 5, 9, dtype=torch.bool), [])
    folder = write_cityscapes_instances(tmp_path, [(NAME, nothing)], CLASSES)
    assert (folder / "ulm_000003_000019_pred.txt").read_text() == ""


def test_labels_become_label_ids(tmp_path):
    prediction = SemanticPrediction(label_map=torch.tensor([[0, 1, 1], [1, 0, 0]]))
    folder = write_cityscapes_labels(tmp_path, [(NAME, prediction)], CLASSES)
    written = np.array(Image.open(folder / "ulm_000003_000019_pred.png"))
    assert written.tolist() == [[7, 26, 26], [26, 7, 7]]


def test_the_catalogue_has_the_label_ids():
    catalogue = {c.name: c.dataset_id for c in load_catalog("cityscapes")}
    assert {name: catalogue[name] for name in LABEL_IDS} == LABEL_IDS


@pytest.mark.parametrize("name", ["photo.png", "ulm_3_a_x.png", "a b_000001_000002_x.png"])
def test_other_file_names_are_refused(name):
    with pytest.raises(ValueError, match=f"city_sequence_frame_type.png, got file_name='{name}'"):
        core_name(name)


@pytest.mark.parametrize("category_id", [11, 300, -1])
@pytest.mark.parametrize("write", [write_cityscapes_instances, write_cityscapes_labels])
def test_train_ids_are_refused(tmp_path, write, category_id):
    name = "person" if category_id == 11 else "road"
    other = Category(name=name, is_thing=True, color=(0, 0, 0), dataset_id=category_id)
    with pytest.raises(ValueError, match=rf"not train id 11.*got c.dataset_id={category_id}"):
        write(tmp_path, [], [other])


@pytest.mark.parametrize("write", [write_cityscapes_instances, write_cityscapes_labels])
def test_results_are_never_mixed_with_older_ones(tmp_path, write):
    write(tmp_path, [], CLASSES)
    with pytest.raises(FileExistsError, match="results already, got"):
        write(tmp_path, [], CLASSES)
