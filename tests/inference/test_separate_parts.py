"""Cutting masks into connected parts.

Mutants that must fail: corners that connect; stuff cut too; ids that repeat; small parts kept; an
object kept twice; objects of two classes taken for one; the later of two kept.
"""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.inference.separate_parts import (
    connected_parts,
    distinct_masks,
    separate_instances,
    separate_panoptic,
)
from minioneformer.structures import (
    Category,
    InstancePrediction,
    PanopticPrediction,
    PredictedSegment,
)

THING = Category(name="cell", is_thing=True, color=(255, 0, 0), dataset_id=1)
STUFF = Category(name="ground", is_thing=False, color=(0, 0, 0), dataset_id=2)


def mask_of(*rows: str) -> torch.Tensor:
    return torch.tensor([[cell == "#" for cell in row] for row in rows])


def test_the_example_of_the_docstring():
    row = mask_of("##.#")
    assert torch.equal(connected_parts(row), torch.stack([mask_of("##.."), mask_of("...#")]))
    assert torch.equal(connected_parts(row, 2), mask_of("##..")[None])


def test_a_corner_does_not_connect_and_largest_come_first():
    parts = connected_parts(mask_of("#..", ".##", ".##"))
    assert torch.equal(parts[0], mask_of("...", ".##", ".##"))
    assert torch.equal(parts[1], mask_of("#..", "...", "..."))


def test_nothing_has_no_parts():
    assert connected_parts(mask_of("...", "...")).shape == (0, 2, 3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 12))
def test_parts_are_apart_connected_and_cover_the_mask(seed, height, width):
    mask = torch.rand(height, width, generator=torch.Generator().manual_seed(seed)) < 0.5
    parts = connected_parts(mask)
    assert torch.equal(parts.sum(0) > 0, mask) and int(parts.sum()) == int(mask.sum())
    for part in parts:
        assert len(connected_parts(part)) == 1
    assert [int(p.sum()) for p in parts] == sorted((int(p.sum()) for p in parts), reverse=True)


def test_things_are_cut_and_stuff_is_not():
    prediction = PanopticPrediction(
        segment_map=torch.tensor([[7, 7, 0, 7, 3, 0, 3]]),
        segments=(
            PredictedSegment(id=7, label=0, score=0.9),
            PredictedSegment(id=3, label=1, score=0.8),
        ),
    )
    found = separate_panoptic(prediction, [THING, STUFF])
    assert found.segment_map.tolist() == [[1, 1, 0, 2, 3, 0, 3]]
    assert [(s.id, s.label, s.score) for s in found.segments] == [
        (1, 0, 0.9),
        (2, 0, 0.9),
        (3, 1, 0.8),
    ]
    assert separate_panoptic(prediction, [THING, STUFF], smallest=2).segment_map.tolist() == [
        [1, 1, 0, 0, 2, 0, 2]
    ]


def test_instances_keep_score_label_and_query():
    prediction = InstancePrediction(
        masks=torch.stack([mask_of("##.#"), mask_of("...."), mask_of(".##.")]),
        labels=torch.tensor([0, 1, 1]),
        scores=torch.tensor([0.9, 0.5, 0.4]),
        queries=torch.tensor([4, 2, 9]),
    )
    found = separate_instances(prediction)
    assert found.masks.int().tolist() == [[[1, 1, 0, 0]], [[0, 0, 0, 1]], [[0, 1, 1, 0]]]
    assert found.labels.tolist() == [0, 0, 1]
    assert found.queries.tolist() == [4, 4, 9]
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.9, 0.4]))


def test_an_object_that_two_queries_found_is_kept_once():
    prediction = InstancePrediction(
        masks=torch.stack([mask_of("###.##"), mask_of("##..##"), mask_of("##....")]),
        labels=torch.tensor([0, 0, 1]),
        scores=torch.tensor([0.9, 0.8, 0.4]),
        queries=torch.tensor([4, 2, 9]),
    )
    found = separate_instances(prediction)
    assert found.masks[:, 0].int().tolist() == [
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 1],
        [1, 1, 0, 0, 0, 0],  # of another class
    ]
    assert found.queries.tolist() == [4, 4, 9]


def test_the_example_of_distinct_masks():
    rows = torch.stack([mask_of("###."), mask_of("##.."), mask_of("..##")])
    assert distinct_masks(rows, torch.zeros(3, dtype=torch.long)).tolist() == [0, 2]
    half = torch.stack([mask_of("##"), mask_of("#.")])  # half of the union is not more than half
    assert distinct_masks(half, torch.zeros(2, dtype=torch.long)).tolist() == [0, 1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 6), st.integers(0, 9))
def test_distinct_masks_agree_with_one_comparison_at_a_time(seed, height, width, count):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(count, height, width, generator=generator) < 0.6
    masks[:, 0, 0] = True  # none is empty
    labels = torch.randint(2, (count,), generator=generator)
    kept: list[int] = []
    for i in range(count):
        ious = [
            int((masks[i] & masks[j]).sum()) / int((masks[i] | masks[j]).sum())
            for j in kept
            if labels[i] == labels[j]
        ]
        if all(iou <= 0.5 for iou in ious):
            kept.append(i)
    assert distinct_masks(masks, labels).tolist() == kept


def test_no_instances_stay_none():
    empty = InstancePrediction(
        masks=torch.zeros(0, 3, 5, dtype=torch.bool),
        labels=torch.zeros(0, dtype=torch.long),
        scores=torch.zeros(0),
        queries=torch.zeros(0, dtype=torch.long),
    )
    assert separate_instances(empty).masks.shape == (0, 3, 5)
