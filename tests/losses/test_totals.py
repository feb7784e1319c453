import pytest
import torch

from minioneformer.losses import totals as module
from minioneformer.losses.totals import count_totals
from minioneformer.structures import TaskTarget


def target(num_masks):
    return TaskTarget(
        task="panoptic",
        labels=torch.zeros(num_masks, dtype=torch.long),
        masks=torch.ones(num_masks, 3, 5, dtype=torch.bool),
    )


def count(*parts):
    return count_totals(
        [[target(masks) for masks in part] for part in parts],
        num_queries=3,
        no_object_weight=0.1,
    )


def test_totals_are_means_over_the_parts():
    """Two masks and one free query; three free queries: 1 mask, (2 + 0.1 + 0.3) / 2."""
    totals = count([2], [0])
    assert totals.masks == 1
    assert totals.class_weight == pytest.approx(1.2)


def test_all_images_of_a_part_count():
    assert count([2, 1], [0, 3]).masks == 3


def test_of_more_masks_than_queries_all_divide_the_mask_loss_but_n_are_matched():
    totals = count([5])
    assert totals.masks == 5
    assert totals.class_weight == pytest.approx(3)


def test_without_masks_nothing_is_divided_by_zero():
    totals = count([0], [0])
    assert totals.masks == 0.5  # one mask in two parts
    assert totals.class_weight == pytest.approx(0.3)


def test_one_mask_in_two_parts_weighs_as_much_as_in_one():
    """Its loss / 0.5 in one part, 0 in the other: their mean is its loss."""
    assert count([1], [0]).masks == 0.5


def test_other_processes_count(monkeypatch):
    monkeypatch.setattr(module, "mean_over_processes", lambda own: (own + torch.tensor([6, 1])) / 2)
    totals = count([2])
    assert totals.masks == 4
    assert totals.class_weight == pytest.approx((2.1 + 1) / 2)
