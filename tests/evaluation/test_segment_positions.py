"""Ids to positions: the step that all metrics share."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.evaluation.segment_positions import segment_positions


def test_the_docstring_example():
    positions = segment_positions(torch.tensor([[7, 0, 3]]), (3, 7))
    assert positions.tolist() == [[1, -1, 0]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 6))
def test_it_agrees_with_a_loop_over_pixels_whatever_the_ids(seed, count):
    rng = torch.Generator().manual_seed(seed)
    ids = (torch.randperm(40, generator=rng)[:count] * 419_431 + 1).tolist()
    choices = torch.tensor([0, *ids])
    segment_map = choices[torch.randint(len(choices), (7, 9), generator=rng)]
    expected = [[ids.index(i) if i else -1 for i in row] for row in segment_map.tolist()]
    assert segment_positions(segment_map, ids).tolist() == expected


def test_a_listed_id_zero_is_a_segment():
    assert segment_positions(torch.tensor([[0, 5]]), (5, 0)).tolist() == [[1, 0]]


def test_a_map_without_segments_is_void():
    assert segment_positions(torch.zeros(2, 3, dtype=torch.int32), ()).tolist() == [[-1] * 3] * 2


@pytest.mark.parametrize("ids", [(), (3,), (3, 9)])
def test_an_unlisted_id_is_refused(ids):
    with pytest.raises(ValueError, match=r"must be in the list.*got pixels.*strangers=\[4\]"):
        segment_positions(torch.tensor([[4, 0, 4]]), ids)


def test_an_id_listed_twice_is_refused():
    with pytest.raises(ValueError, match=r"its own id, got twice=\[4\]"):
        segment_positions(torch.tensor([[4, 0]]), (4, 5, 4))
