"""One task, one map and one mapping for each image."""

import pytest
import torch

from minioneformer.hf.per_image import check_maps, image_mappings, image_tasks


def test_a_bare_string_is_the_task_of_all_images():
    assert image_tasks("semantic", 2) == ["semantic", "semantic"]
    assert image_tasks(None, 1) == ["panoptic"]
    assert image_tasks(("instance", "semantic"), 2) == ["instance", "semantic"]


def test_tasks_must_be_known_and_as_many_as_images():
    with pytest.raises(ValueError, match=r"got task='panoptik'\. Did you mean 'panoptic'\?"):
        image_tasks(["panoptik"], 1)
    with pytest.raises(ValueError, match="task_inputs must have one task per image.*got 1 for 2"):
        image_tasks(["panoptic"], 2)


def test_maps_must_fit_their_images():
    image = torch.zeros(3, 4, 7)
    check_maps([torch.zeros(4, 7)], [image])
    with pytest.raises(ValueError, match="one map per image, got 1 for 2 images"):
        check_maps([torch.zeros(4, 7)], [image, image])
    with pytest.raises(ValueError, match=r"the size of its image, got \(7, 4\) for \(4, 7\)"):
        check_maps([torch.zeros(7, 4)], [image])


def test_mappings_are_for_all_or_for_each():
    assert image_mappings({1: 2}, 2) == [{1: 2}, {1: 2}]
    assert image_mappings(None, 2) == [None, None]
    assert image_mappings([{1: 2}, {1: 3}], 2) == [{1: 2}, {1: 3}]
    with pytest.raises(ValueError, match="one mapping, or one per image, got 1 for 2"):
        image_mappings([{1: 2}], 2)
