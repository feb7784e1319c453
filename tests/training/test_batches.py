"""Mutants that must fail: start at 0, forget the targets, let the loader move the generator."""

import pytest
import torch

from minioneformer.structures import Batch, TaskTarget
from minioneformer.training.batches import batches_on_device, move_batch


def make_batch(number, text=True):
    target = TaskTarget(
        task="instance", labels=torch.tensor([1, 2]), masks=torch.ones(2, 3, 5, dtype=torch.bool)
    )
    return Batch(
        images=torch.full((1, 3, 3, 5), float(number)),
        padding_mask=torch.zeros(1, 3, 5, dtype=torch.bool),
        task_tokens=torch.zeros(1, 4, dtype=torch.long),
        text_tokens=torch.zeros(1, 6, 4, dtype=torch.long) if text else None,
        targets=(target,),
        tasks=("instance",),
        image_ids=(number,),
    )


def loader_from(first):
    torch.rand(1)

    def batches():
        for number in range(first, 6):
            torch.rand(1)
            yield make_batch(number)

    return batches()


def test_batches_come_from_the_first_number_on():
    batches = batches_on_device(loader_from, 3, torch.device("cpu"))
    assert [next(batches).image_ids for _ in range(3)] == [(3,), (4,), (5,)]


def test_asking_for_a_batch_too_many_says_which():
    batches = batches_on_device(loader_from, 5, torch.device("cpu"))
    next(batches)
    with pytest.raises(
        ValueError, match=r"loader_from\(5\) ended too early, got no batch number 6"
    ):
        next(batches)


@pytest.mark.parametrize("text", [True, False])
def test_every_tensor_is_moved_and_the_rest_stays(text):
    batch = make_batch(4, text)
    moved = move_batch(batch, torch.device("meta"))
    tensors = [moved.images, moved.padding_mask, moved.task_tokens]
    tensors += [moved.targets[0].labels, moved.targets[0].masks]
    if text:
        tensors.append(moved.text_tokens)
    assert all(tensor.device.type == "meta" for tensor in tensors)
    assert (moved.text_tokens is None) is not text
    assert (moved.tasks, moved.image_ids, moved.targets[0].task) == (
        ("instance",),
        (4,),
        "instance",
    )
