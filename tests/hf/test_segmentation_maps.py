"""Masks, labels and texts of maps.

Mutants that must fail: labels of the reduced values instead of the map's; things kept for stuff;
255 in the padding.
"""

import pytest
import torch

from minioneformer.hf.segmentation_maps import map_target, pad_masks, target_texts
from minioneformer.structures import Category

SKY, CAT, DOG = range(3)
CLASSES = [
    Category(name=name, is_thing=name != "sky", color=(0, 0, 0), dataset_id=i)
    for i, name in enumerate(("sky", "cat", "dog"))
]
OBJECTS = torch.tensor([[1, 1, 2, 3, 255], [1, 2, 2, 3, 3]])
LABEL_OF_OBJECT = {1: CAT, 2: CAT, 3: SKY}


@pytest.mark.parametrize(
    ("task", "labels"),
    [("semantic", [CAT, SKY]), ("instance", [CAT, CAT]), ("panoptic", [CAT, CAT, SKY])],
)
def test_the_example_of_the_docstring(task, labels):
    target = map_target(OBJECTS, task, CLASSES, label_of_value=LABEL_OF_OBJECT, ignore_index=255)
    assert target.labels.tolist() == labels
    expected = {"semantic": (OBJECTS == 1) | (OBJECTS == 2)}.get(task, OBJECTS == 1)
    assert torch.equal(target.masks[0], expected)


def test_values_are_classes_where_no_mapping_is_given():
    target = map_target(torch.tensor([[2, 0, 0]]), "panoptic", CLASSES)
    assert target.labels.tolist() == [SKY, DOG]
    assert target.masks.tolist() == [[[False, True, True]], [[True, False, False]]]


def test_a_map_without_objects_is_an_empty_target():
    for segmentation_map in (torch.full((2, 5), SKY), torch.full((2, 5), 255)):
        target = map_target(segmentation_map, "instance", CLASSES, ignore_index=255)
        assert target.masks.shape == (0, 2, 5) and target.labels.shape == (0,)
        assert target_texts(target, CLASSES, 2) == ["an instance photo"] * 2


def test_reduced_labels_count_from_one_and_void_stays_void():
    segmentation_map = torch.tensor([[0, 1, 3, 255]])
    target = map_target(
        segmentation_map, "panoptic", CLASSES, ignore_index=255, do_reduce_labels=True
    )
    assert target.labels.tolist() == [SKY, DOG]
    mapped = map_target(
        segmentation_map,
        "panoptic",
        CLASSES,
        label_of_value={1: 3, 3: 2},  # values of the map to classes that count from 1
        ignore_index=255,
        do_reduce_labels=True,
    )
    assert mapped.labels.tolist() == [DOG, CAT]
    with pytest.raises(ValueError, match="needs an ignore_index, got ignore_index=None"):
        map_target(segmentation_map, "panoptic", CLASSES, do_reduce_labels=True)


def test_values_without_a_class_are_named():
    with pytest.raises(ValueError, match="0 to 2, got label=255 for value=255"):
        map_target(OBJECTS * 0 + 255, "semantic", CLASSES)
    with pytest.raises(ValueError, match=r"lacks a value of the map, got value=255 .*\[1, 2, 3\]"):
        map_target(OBJECTS, "semantic", CLASSES, label_of_value=LABEL_OF_OBJECT)


def test_texts_are_those_of_the_target_in_the_order_of_the_classes():
    target = map_target(
        OBJECTS, "panoptic", CLASSES, label_of_value=LABEL_OF_OBJECT, ignore_index=255
    )
    cat = "a photo with a cat"
    assert target_texts(target, CLASSES, 4) == ["a photo with a sky", cat, cat, "a panoptic photo"]


def test_masks_are_padded_with_zeros():
    padded = pad_masks(torch.ones(2, 1, 2, dtype=torch.bool), (2, 3))
    assert padded.tolist() == [[[1, 1, 0], [0, 0, 0]]] * 2
    assert pad_masks(torch.ones(0, 1, 2, dtype=torch.bool), (2, 3)).shape == (0, 2, 3)
