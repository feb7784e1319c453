import math

import pytest
import torch

from minioneformer.processes import rank
from minioneformer.training.measure import measure_update
from minioneformer.training.update import PartLosses

IDS = [("a", "b"), ("c", "d")]


def part(mask, earlier, hits=None):
    losses = {"loss_mask": torch.tensor(mask), "loss_mask_0": torch.tensor(earlier)}
    return PartLosses(losses, None if hits is None else torch.tensor(hits))


def test_terms_are_means_over_parts_and_hits_are_added():
    row, failure = measure_update(
        IDS, [part(1.0, 2.0, [3, 4]), part(3.0, 6.0, [0, 4])], torch.tensor(0.5)
    )
    assert failure is None
    assert row == {
        "loss": 6.0,
        "loss_mask": 2.0,
        "auxiliary_loss_mask": 4.0,
        "matched_accuracy": 3 / 8,
        "grad_norm": 0.5,
    }


def test_without_objects_there_is_no_accuracy():
    row, _ = measure_update(IDS[:1], [part(1.0, 2.0, [0, 0])], torch.tensor(0.5))
    assert "matched_accuracy" not in row


def test_the_images_of_the_bad_part_are_named():
    row, failure = measure_update(
        IDS, [part(1.0, 2.0), part(math.nan, 6.0)], torch.tensor(math.nan)
    )
    assert row == {}
    assert failure == (("c", "d"), {"loss_mask": "nan"})


def test_an_overflow_is_a_failure_unless_it_may_happen():
    parts, norm = [part(1.0, 2.0)], torch.tensor(math.inf)
    assert measure_update(IDS[:1], parts, norm)[1] == (("a", "b"), {"grad_norm": "inf"})
    row, failure = measure_update(IDS[:1], parts, norm, may_overflow=True)
    assert failure is None and "grad_norm" not in row
    bad = [part(math.inf, 2.0)]
    assert measure_update(IDS[:1], bad, norm, may_overflow=True)[1] == (
        ("a", "b"),
        {"loss_mask": "inf"},
    )


def test_processes_share_terms_hits_and_failures(in_processes):
    def share():
        fine = measure_update(
            IDS[:1], [part([1.0, 3.0][rank()], 2.0, [rank(), 2])], torch.tensor(0.5)
        )
        bad = measure_update(
            [(f"image of {rank()}",)],
            [part([1.0, math.nan][rank()], 2.0)],
            torch.tensor(math.nan),
        )
        return fine, bad

    first, second = in_processes(share, 2)
    assert first == second
    (row, failure), (_, joined) = first
    assert failure is None
    assert row["loss_mask"] == 2 and row["matched_accuracy"] == pytest.approx(1 / 4)
    assert joined == (("image of 1",), {"loss_mask": "nan"})
