"""Room is shared in a worker process, and plain memory elsewhere.

Mutants that must fail: never share; forget the size of an element; wrong strides.
"""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from minioneformer.data.shared_room import empty_room


class Rooms(Dataset):
    """A filled room, and whether it was shared before it travelled."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        room = empty_room(2, 3, 5, dtype=torch.int32)
        shared = room.is_shared()
        return room.copy_(torch.arange(30).view(2, 3, 5) + index), shared


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_room_arrives_as_it_was_filled(num_workers):
    loader = DataLoader(Rooms(), batch_size=None, num_workers=num_workers)
    for index, (room, shared) in enumerate(loader):
        assert torch.equal(room, torch.arange(30, dtype=torch.int32).view(2, 3, 5) + index)
        assert room.is_contiguous()
        assert shared == (num_workers > 0)


def test_a_room_may_be_empty():
    assert empty_room(0, 4, 7, dtype=torch.bool).shape == (0, 4, 7)
    assert empty_room(0, 4, 7, dtype=torch.bool).dtype == torch.bool


class EmptyRooms(Rooms):
    """No masks at all."""

    def __getitem__(self, index):
        return empty_room(0, 4, 7, dtype=torch.bool), index


def test_an_empty_room_travels_too():
    loader = DataLoader(EmptyRooms(), batch_size=None, num_workers=1)
    assert [room.shape for room, _ in loader] == [(0, 4, 7)] * 2
