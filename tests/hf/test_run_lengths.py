"""Runs of each value, row after row, counted from 1."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.hf.run_lengths import run_lengths


def test_the_example_of_the_docstring():
    assert run_lengths(torch.tensor([[0, 5, 5, 0]])) == [[1, 1, 4, 1], [2, 2]]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**20))
def test_a_map_can_be_painted_again_from_its_runs(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    segment_map = torch.randint(-1, 3, (height, width), generator=generator)
    painted = torch.full((height * width,), 99)
    for value, runs in zip(segment_map.unique(), run_lengths(segment_map), strict=True):
        for start, length in zip(runs[::2], runs[1::2], strict=True):
            assert (painted[start - 1 : start - 1 + length] == 99).all() and length > 0
            painted[start - 1 : start - 1 + length] = value
    assert torch.equal(painted.reshape(height, width), segment_map)
