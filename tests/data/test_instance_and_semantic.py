"""Objects and label maps of the same images, merged.

Mutants that must fail: objects under stuff; pair by position; fill things without an object from
the map; number classes as the objects' source does.
"""

import pytest
import torch

from minioneformer.data.instance_and_semantic import InstanceAndSemantic
from minioneformer.structures import TASKS, Category, PanopticSample, Segment

CAR = Category(name="car", is_thing=True, color=(1, 2, 3), dataset_id=26)
DOG = Category(name="dog", is_thing=True, color=(1, 2, 4), dataset_id=27)
ROAD = Category(name="road", is_thing=False, color=(4, 5, 6), dataset_id=7)
SKY = Category(name="sky", is_thing=False, color=(4, 5, 7), dataset_id=8)


class Source:
    """Annotated images in memory: name to (map, segments)."""

    def __init__(self, categories, tasks, images):
        self.categories, self.tasks, self.stems = categories, tasks, tuple(images)
        self.images = images

    def __len__(self):
        return len(self.stems)

    def __getitem__(self, index):
        rows, segments = self.images[self.stems[index]]
        segment_map = torch.tensor(rows)
        return PanopticSample(
            image=torch.zeros(3, *segment_map.shape, dtype=torch.uint8),
            segment_map=segment_map,
            segments=segments,
            image_id=self.stems[index],
        )


OBJECTS = {
    "b": ([[5, 9, 9, 0]], (Segment(id=9, label=1, is_crowd=True), Segment(id=5, label=0))),
    "a": ([[0, 0, 0, 0]], ()),
    "x": ([[0, 0, 0, 0]], ()),
}
MAPS = {
    "a": ([[3, 3, 0, 3]], (Segment(id=3, label=2),)),
    "b": ([[2, 1, 2, 1]], (Segment(id=1, label=1), Segment(id=2, label=0))),
}


def merged(objects=OBJECTS, maps=MAPS, things=(DOG, CAR)):
    return InstanceAndSemantic(
        Source(things, ("instance",), objects), Source((ROAD, CAR, SKY, DOG), ("semantic",), maps)
    )


def test_objects_lie_over_stuff_and_names_decide():
    dataset = merged()
    sample = dataset[0]

    assert (dataset.tasks, len(dataset), dataset.stems, dataset.unpaired) == (
        TASKS,
        2,
        ("b", "a"),
        1,
    )
    assert dataset.categories == (ROAD, CAR, SKY, DOG)
    # the map's road is covered by objects; its car without an object, right, is void
    assert sample.segment_map.tolist() == [[3, 2, 2, 0]]
    assert sample.segments == (Segment(id=2, label=1, is_crowd=True), Segment(id=3, label=3))
    assert sample.image_id == "b"


def test_stuff_alone_stays():
    sample = merged()[1]
    assert sample.segment_map.tolist() == [[1, 1, 0, 1]]
    assert sample.segments == (Segment(id=1, label=2),)


def test_sources_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="those of label maps: no such class, got 'sheep'"):
        sheep = Category(name="sheep", is_thing=True, color=(0, 0, 0), dataset_id=1)
        merged(things=(sheep,))
    with pytest.raises(ValueError, match=r"must be things of the label maps, got stuff \['road'\]"):
        road = Category(name="road", is_thing=True, color=(0, 0, 0), dataset_id=1)
        merged(things=(road,))
    with pytest.raises(ValueError, match=r"no image is in both sources, got stems such as \['b',"):
        merged(maps={"c": MAPS["a"]})
    objects = Source((CAR,), ("instance",), OBJECTS)
    with pytest.raises(ValueError, match="needs objects and label maps, in this order, got"):
        InstanceAndSemantic(objects, objects)
    twice = Source((CAR,), ("instance",), OBJECTS)
    twice.stems = ("a", "a")
    with pytest.raises(ValueError, match=r"stems must be unique, got \['a', 'a'\]"):
        InstanceAndSemantic(twice, Source((CAR,), ("semantic",), MAPS))


def test_sizes_must_agree():
    dataset = merged(maps={"a": ([[3, 3]], (Segment(id=3, label=2),))})
    with pytest.raises(ValueError, match=r"annotations of 'a' must have one size, got \(1, 4\), "):
        dataset[0]
