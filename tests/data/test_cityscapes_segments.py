"""Instance ids to segments: hand-worked values and slow loops.

Mutants that must fail: groups of stuff as crowds; groups of things as objects; ignored label ids
kept; label id and label confused; 1000 left out of the objects.
"""

from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from minioneformer.data.cityscapes_segments import CATEGORIES, instance_segments, label_segments

PATH = Path("a_gtFine_instanceIds.png")
VOID = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30]  # ignored in evaluation


def test_a_street_by_hand():
    values = torch.tensor([[7, 7, 26, 4], [26000, 26001, 26001, 29003]])
    segment_map, segments = instance_segments(values, PATH)

    assert segment_map.tolist() == [[7, 7, 26, 0], [26000, 26001, 26001, 0]]
    assert [(s.id, s.label, s.is_crowd, s.area) for s in segments] == [
        (7, 0, False, 2),
        (26, 13, True, 1),  # a group of cars
        (26000, 13, False, 1),
        (26001, 13, False, 2),
    ]
    names = [CATEGORIES[s.label].name for s in segments]
    assert names == ["road", "car", "car", "car"]


def test_label_ids_alone_are_one_segment_per_class_and_no_crowd():
    segment_map, segments = label_segments(torch.tensor([[26, 7, 26, 10]]), PATH)
    assert segment_map.tolist() == [[26, 7, 26, 0]]
    assert [(s.id, s.label, s.is_crowd, s.area) for s in segments] == [
        (7, 0, False, 1),
        (26, 13, False, 2),
    ]


def test_the_fifteen_label_ids_without_a_class_are_void_numbered_or_not():
    for values in (VOID, [1000 * v + 7 for v in VOID if v]):
        segment_map, segments = instance_segments(torch.tensor([values]), PATH)
        assert segments == ()
        assert not segment_map.any()
    assert len(label_segments(torch.tensor([list(range(34))]), PATH)[1]) == 34 - len(VOID)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_segments_are_those_of_slow_loops(data):
    one = st.integers(0, 33) | st.integers(1000, 33999)
    height, width = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    rows = [[data.draw(one) for _ in range(width)] for _ in range(height)]
    segment_map, segments = instance_segments(torch.tensor(rows), PATH)

    flat = [value for row in rows for value in row]
    expected = []
    for value in sorted(set(flat)):
        label_id = value if value < 1000 else value // 1000
        if label_id in VOID:
            continue
        label = [c.dataset_id for c in CATEGORIES].index(label_id)
        is_crowd = value < 1000 and label_id >= 24
        expected.append((value, label, is_crowd, flat.count(value)))
    assert [(s.id, s.label, s.is_crowd, s.area) for s in segments] == expected
    kept = {value for value, *_ in expected}
    assert segment_map.tolist() == [[v if v in kept else 0 for v in row] for row in rows]


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (instance_segments, 34),
        (instance_segments, 255),
        (instance_segments, 999),
        (instance_segments, 34000),
        (instance_segments, 65535),
        (label_segments, 34),
        (label_segments, 255),
        (label_segments, 26001),
    ],
)
def test_values_of_no_label_id_are_refused_with_the_file(make, value):
    with pytest.raises(ValueError, match=rf"Ids\.png: values must be label ids, .*\[{value}\]"):
        make(torch.tensor([[7, value]]), PATH)
