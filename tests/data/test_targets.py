"""Targets of the three tasks against a loop over pixels.

Mutants that must fail: keep crowds; keep segments without pixels; keep stuff for the instance
task; sort the classes of the semantic task; let `any` be `all`.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.data.targets import number_masks, target_for_task
from minioneformer.structures import TASKS, Category, PanopticSample, Segment

CATALOGUE = tuple(
    Category(name=name, is_thing=is_thing, color=(0, 0, 0), dataset_id=10 + label)
    for label, (name, is_thing) in enumerate([("sky", False), ("cat", True), ("dog", True)])
)


def make_sample(segment_map, segments):
    height, width = segment_map.shape
    return PanopticSample(
        image=torch.zeros(3, height, width, dtype=torch.uint8),
        segment_map=segment_map,
        segments=tuple(segments),
        image_id="made",
    )


def loop_target(sample, task):
    """Pixel by pixel, from the words of the paper."""
    masks = []
    for segment in sample.segments:
        if segment.is_crowd:
            continue
        if task == "instance" and not CATALOGUE[segment.label].is_thing:
            continue
        pixels = {
            (y, x)
            for y in range(sample.segment_map.shape[0])
            for x in range(sample.segment_map.shape[1])
            if sample.segment_map[y, x].item() == segment.id
        }
        if not pixels:
            continue
        if task == "semantic":
            for entry in masks:
                if entry[0] == segment.label:
                    entry[1].update(pixels)
                    break
            else:
                masks.append((segment.label, pixels))
        else:
            masks.append((segment.label, pixels))
    return masks


@st.composite
def scenes(draw):
    """Ids of pixels, row by row, and (id, label, is_crowd) of segments."""
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    ids = draw(st.lists(st.integers(1, 2**24 + 9), max_size=6, unique=True))
    row = st.lists(st.sampled_from([0, *ids]), min_size=width, max_size=width)
    rows = draw(st.lists(row, min_size=height, max_size=height))
    return rows, [(i, draw(st.integers(0, 2)), draw(st.booleans())) for i in ids]


@settings(max_examples=25, deadline=None)
@given(scene=scenes(), task=st.sampled_from(TASKS))
def test_every_task_equals_the_loop_over_pixels(scene, task):
    rows, segments = scene
    sample = make_sample(
        torch.tensor(rows), [Segment(id=i, label=k, is_crowd=c) for i, k, c in segments]
    )

    target = target_for_task(sample, task, CATALOGUE)

    expected = loop_target(sample, task)
    assert target.task == task
    assert target.labels.tolist() == [label for label, _ in expected]
    assert [{tuple(p) for p in m.nonzero().tolist()} for m in target.masks] == [
        pixels for _, pixels in expected
    ]
    assert target.masks.shape == (len(expected), *sample.segment_map.shape)


def test_two_cats_under_a_sky_give_two_three_and_two_masks():
    segment_map = torch.tensor([[7, 7, 7], [5, 0, 6]])
    segments = [Segment(id=5, label=1), Segment(id=7, label=0), Segment(id=6, label=1)]
    sample = make_sample(segment_map, segments)

    semantic = target_for_task(sample, "semantic", CATALOGUE)
    instance = target_for_task(sample, "instance", CATALOGUE)
    panoptic = target_for_task(sample, "panoptic", CATALOGUE)

    assert semantic.labels.tolist() == [1, 0]  # cat is named first, though sky is class 0
    assert semantic.masks[0].int().tolist() == [[0, 0, 0], [1, 0, 1]]
    assert instance.labels.tolist() == [1, 1]
    assert panoptic.labels.tolist() == [1, 0, 1]
    assert panoptic.masks.sum(0).tolist() == [[1, 1, 1], [1, 0, 1]]  # disjoint; void in none


def test_a_crowd_is_no_target_and_does_not_bring_its_class():
    sample = make_sample(
        torch.tensor([[3, 4, 4]]), [Segment(id=3, label=2, is_crowd=True), Segment(id=4, label=1)]
    )

    for task in TASKS:
        assert target_for_task(sample, task, CATALOGUE).labels.tolist() == [1]


@pytest.mark.parametrize("task", TASKS)
def test_an_all_void_image_gives_an_empty_target(task):
    target = target_for_task(make_sample(torch.zeros(3, 5, dtype=torch.int64), []), task, CATALOGUE)

    assert target.labels.shape == (0,)
    assert target.masks.shape == (0, 3, 5)


def test_stuff_alone_gives_no_instance():
    sample = make_sample(torch.ones(2, 3, dtype=torch.int64), [Segment(id=1, label=0)])

    assert target_for_task(sample, "instance", CATALOGUE).masks.shape == (0, 2, 3)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="panoptc"):
        target_for_task(make_sample(torch.zeros(1, 2, dtype=torch.int64), []), "panoptc", CATALOGUE)


def test_a_label_outside_the_catalogue_is_refused():
    sample = make_sample(torch.ones(1, 2, dtype=torch.int64), [Segment(id=1, label=3)])
    with pytest.raises(ValueError, match=r"got labels=\[3\] in image 'made'"):
        target_for_task(sample, "panoptic", CATALOGUE)


@pytest.mark.parametrize(
    ("task", "labels", "numbers"),
    [
        ("semantic", [1, 0], [[1, 1, 0], [1, 2, 1]]),
        ("instance", [1, 1], [[1, 1, 0], [2, 0, 2]]),
        ("panoptic", [1, 1, 0], [[1, 1, 0], [2, 3, 2]]),
    ],
)
def test_masks_are_numbered_from_one_in_the_order_of_the_segments(task, labels, numbers):
    sample = PanopticSample(
        image=torch.zeros(3, 2, 3, dtype=torch.uint8),
        segment_map=torch.tensor([[9, 9, 0], [7, 2**24 + 1, 7]]),
        segments=(
            Segment(id=9, label=1),
            Segment(id=8, label=2),  # cropped away
            Segment(id=7, label=1),
            Segment(id=2**24 + 1, label=0),
        ),
        image_id=0,
    )
    categories = [
        Category(name=name, is_thing=is_thing, color=(0, 0, 0), dataset_id=i)
        for i, (name, is_thing) in enumerate([("sky", False), ("cat", True), ("dog", True)])
    ]
    found_labels, found = number_masks(sample, task, categories)

    assert (found_labels, found.tolist()) == (labels, numbers)
    assert found.dtype == torch.uint8
