"""What no object covers becomes one stuff class, and three tasks can be learned.

Mutants that must fail: an id that is taken; a class put beside one of the same name; crowds become
background.
"""

import pytest
import torch

from minioneformer.data.background import WithBackground
from minioneformer.structures import TASKS, Category, PanopticSample, Segment

CELL = Category(name="cell", is_thing=True, color=(1, 2, 3), dataset_id=5)


class Objects:
    """An instance source in memory."""

    def __init__(self, segment_map, segments, categories=(CELL,), tasks=("instance",)):
        self.categories, self.tasks, self.stems = categories, tasks, ("a",)
        self.sample = PanopticSample(
            image=torch.zeros(3, 2, 3, dtype=torch.uint8),
            segment_map=segment_map,
            segments=segments,
            image_id="a",
        )

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return [self.sample][index]


def test_void_becomes_the_last_segment():
    ids = torch.tensor([[0, 9, 9], [0, 4, 0]])
    objects = Objects(ids, (Segment(id=9, label=0), Segment(id=4, label=0, is_crowd=True)))
    dataset = WithBackground(objects)
    sample = dataset[0]

    assert len(dataset) == 1
    assert dataset.tasks == TASKS
    assert dataset.stems == ("a",)
    background = dataset.categories[1]
    assert (background.name, background.is_thing, background.dataset_id) == ("background", False, 6)
    assert sample.segment_map.tolist() == [[10, 9, 9], [10, 4, 10]]
    assert sample.segments[-1] == Segment(id=10, label=1)
    assert len(sample.segments) == 3


def test_an_image_without_objects_is_all_background_and_a_full_one_has_none():
    empty = WithBackground(Objects(torch.zeros(2, 3, dtype=torch.int64), ()))[0]
    assert [(s.id, s.label) for s in empty.segments] == [(1, 1)]
    full = Objects(torch.full((2, 3), 7), (Segment(id=7, label=0),))
    assert WithBackground(full)[0] == full.sample


def test_a_stuff_class_of_the_name_is_meant():
    ground = Category(name="ground", is_thing=False, color=(0, 0, 0), dataset_id=1)
    objects = Objects(torch.zeros(2, 3, dtype=torch.int64), (), (ground, CELL))
    dataset = WithBackground(objects, name="ground")

    assert dataset.categories == (ground, CELL)
    assert [s.label for s in dataset[0].segments] == [0]
    with pytest.raises(ValueError, match="background must be stuff, got the thing name='cell'"):
        WithBackground(objects, name="cell")


def test_a_source_without_objects_is_refused():
    maps = Objects(torch.zeros(2, 3, dtype=torch.int64), (), tasks=("semantic",))
    with pytest.raises(ValueError, match=r"can teach instance, got dataset.tasks=\('semantic',\)"):
        WithBackground(maps)
