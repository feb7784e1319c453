"""Stuff first, objects over it: hand-worked maps, and the official preparation in slow loops.

Mutants that must fail: objects below the stuff; things of the class map kept as segments; areas
counted after painting; red value off by one; the catalogue's colour for a skyscraper.
"""

from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from minioneformer.data.ade20k_segments import (
    CATEGORIES,
    INSTANCE_LABELS,
    class_areas,
    panoptic_segments,
    segment_ids,
    semantic_segments,
)

SEMANTIC, INSTANCE = Path("annotations/a.png"), Path("annotations_instance/a.png")
PATHS = {"semantic_path": SEMANTIC, "instance_path": INSTANCE}
WALL, BED, CHAIR = 0, 7, 19


def objects(red, green):
    red, green = torch.tensor(red), torch.tensor(green)
    return torch.stack([red, green, torch.zeros_like(red)]).to(torch.uint8)


def test_a_bed_in_front_of_a_wall_by_hand():
    semantic = torch.tensor([[1, 1, 1, 1], [0, 8, 2, 2]])  # walls; void, bed, buildings
    instances = objects([[1, 1, 1, 0], [0, 0, 0, 20]], [[9, 9, 9, 0], [0, 0, 0, 3]])
    segment_map, segments = panoptic_segments(semantic, instances, **PATHS)

    assert [(s.label, s.area, s.is_crowd) for s in segments] == [
        (WALL, 4, False),  # as before the bed was painted over three of its pixels
        (1, 2, False),
        (INSTANCE_LABELS[20], 1, False),  # object 3 comes before object 9
        (BED, 3, False),
    ]
    wall, building, other, bed = (s.id for s in segments)
    assert segment_map.tolist() == [[bed, bed, bed, wall], [0, 0, building, other]]
    assert wall == 120 + 256 * 120 + 65536 * 120
    assert bed == 204 + 256 * 5 + 65536 * 255


def test_stuff_that_is_covered_completely_stays_listed():
    segment_map, segments = panoptic_segments(
        torch.tensor([[3, 3, 3]]), objects([[1, 1, 1]], [[4, 4, 4]]), **PATHS
    )
    assert [(s.label, s.area) for s in segments] == [(2, 3), (BED, 3)]
    assert segment_map.unique().tolist() == [segments[1].id]


def test_nothing_annotated_is_no_segment():
    nothing = torch.zeros(2, 3, dtype=torch.int64)
    segment_map, segments = panoptic_segments(
        nothing, objects([[0] * 3] * 2, [[0] * 3] * 2), **PATHS
    )
    assert segments == ()
    assert torch.equal(segment_map, nothing)


def slow_preparation(semantic, instances):
    """The official preparation, pixel by pixel: {pixel: (class, object)} and areas."""
    things = set(INSTANCE_LABELS.values())
    height, width = semantic.shape
    owner, areas = {}, {}
    for y in range(height):
        for x in range(width):
            label = int(semantic[y, x]) - 1
            if label >= 0 and label not in things:
                areas[label, 0] = areas.get((label, 0), 0) + 1
                owner[y, x] = (label, 0)
            number = int(instances[1, y, x])
            if number:
                key = (INSTANCE_LABELS[int(instances[0, y, x])], number)
                areas[key] = areas.get(key, 0) + 1
                owner[y, x] = key
    return owner, areas


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 7))
def test_segments_are_those_of_the_preparation_in_slow_loops(seed, height, width):
    rng = torch.Generator().manual_seed(seed)
    semantic = torch.randint(0, 151, (height, width), generator=rng)
    green = torch.randint(0, 6, (height, width), generator=rng) * 51
    red = torch.randint(1, 101, (256,), generator=rng)[green] * (green > 0)
    instances = torch.stack([red, green, green]).to(torch.uint8)  # blue says nothing
    segment_map, segments = panoptic_segments(semantic, instances, **PATHS)

    owner, areas = slow_preparation(semantic, instances)
    order = sorted(areas, key=lambda key: (key[1] > 0, key[1], key[0]))
    assert [(s.label, s.area) for s in segments] == [(key[0], areas[key]) for key in order]
    ids = {key: s.id for key, s in zip(order, segments, strict=True)}
    assert len(set(ids.values()) | {0}) == len(order) + 1
    expected = [[ids.get(owner.get((y, x)), 0) for x in range(width)] for y in range(height)]
    assert segment_map.tolist() == expected


def test_classes_alone_are_one_segment_each_things_included():
    segment_map, segments = semantic_segments(
        torch.tensor([[0, 8, 8, 150]]), semantic_path=SEMANTIC
    )
    assert segment_map.tolist() == [[0, 8, 8, 150]]
    assert [(s.id, s.label, s.area) for s in segments] == [(8, BED, 2), (150, 149, 1)]


@pytest.mark.parametrize("label", range(150))
def test_ids_of_one_class_differ_and_look_alike(label):
    count = 255 if CATEGORIES[label].is_thing else 1
    ids = segment_ids([label] * count)

    assert len({0, *ids}) == count + 1
    colors = [(i % 256, i // 256 % 256, i // 65536) for i in ids]
    for color in colors:
        assert max(abs(a - b) for a, b in zip(color, colors[0], strict=True)) <= 60


def test_all_stuff_and_a_hundred_things_have_different_ids():
    labels = [i for i, c in enumerate(CATEGORIES) if not c.is_thing]
    labels += [i for i, c in enumerate(CATEGORIES) if c.is_thing] * 2

    assert len(set(segment_ids(labels))) == 250
    assert segment_ids([48]) == [140 + 256 * 140 + 65536 * 200]  # not the road's grey


@pytest.mark.parametrize(
    ("semantic", "red", "green", "message"),
    [
        ([[151, 1]], [[0, 0]], [[0, 0]], r"annotations/a\.png: values must be 0 \.\. 150.*\[151\]"),
        ([[255, 1]], [[0, 0]], [[0, 0]], r"255 for no class are already shifted"),
        ([[1, 1]], [[1, 2]], [[5, 5]], r"instance/a\.png: .*several red values where green is 5"),
        ([[1, 1]], [[0, 0]], [[0, 7]], r"class of an object must be 1 \.\. 100, got red value 0"),
        ([[1, 1]], [[101, 0]], [[7, 0]], r"got red value 101 where green is 7"),
        ([[1, 1, 1]], [[0, 0]], [[0, 0]], r"one size, got \(H, W\) = \(1, 2\), in .* \(1, 3\)"),
    ],
)
def test_values_of_no_class_are_refused_with_the_file(semantic, red, green, message):
    with pytest.raises(ValueError, match=message):
        panoptic_segments(torch.tensor(semantic), objects(red, green), **PATHS)


def test_the_mapping_of_things_is_the_published_one(shared_data):
    path = shared_data / "sceneparsing_sample" / "instance_meta" / "categoryMapping.txt"
    rows = [line.split()[:2] for line in path.read_text().splitlines()[1:] if line.strip()]

    assert {int(red): int(value) - 1 for red, value in rows} == INSTANCE_LABELS


def test_areas_are_by_label(tmp_path):
    assert class_areas(torch.tensor([[0, 3, 3], [1, 0, 0]]), SEMANTIC) == {0: 1, 2: 2}
