"""Which cells a cell attends to, and the tiles that bring them together.

Mutants that must fail: windows cut off at borders instead of shifted; residue classes of padded
maps counted before the padding; query minus key; a tile with one key too few or too many; one
mask for all tiles.
"""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.backbone.neighborhoods import axis_segments, map_tiles, window_start

LENGTHS = st.integers(1, 60)
KERNELS = st.sampled_from([1, 3, 5, 7, 11])
DILATIONS = st.integers(1, 9)


def neighbors(position: int, length: int, kernel_size: int, dilation: int) -> list[int]:
    """The k positions of the same class that are nearest; to the left where two are as near."""
    padded = range(max(length, kernel_size * dilation))
    same_class = [p for p in padded if (p - position) % dilation == 0]
    centred = sorted(same_class, key=lambda p: (abs(p - position), p))
    return sorted(centred[:kernel_size])


def test_the_example_of_window_start():
    assert [window_start(j, 5, 3) for j in range(5)] == [0, 0, 1, 2, 2]


def test_the_example_of_axis_segments():
    ((pattern, segments),) = axis_segments(5, 3, 1)
    assert pattern[1] == (1, 2, 3, -1, -1)
    assert segments == [(range(5), range(5))]


def test_a_padded_axis_by_hand():
    # 5 cells, kernel 3, dilation 2 are padded to 6: classes (0, 2, 4) and (1, 3, padded)
    ((first, of_first), (second, of_second)) = axis_segments(5, 3, 2)
    assert first == ((2, 3, 4), (1, 2, 3), (0, 1, 2))
    assert of_first == [(range(0, 6, 2), range(0, 6, 2))]
    assert second == ((2, 3, 4), (1, 2, 3))
    assert of_second == [(range(1, 5, 2), range(1, 7, 2))]


@settings(max_examples=25, deadline=None)
@given(length=LENGTHS, kernel_size=KERNELS, dilation=DILATIONS)
def test_every_position_sees_exactly_the_k_nearest_of_its_class(length, kernel_size, dilation):
    seen_from = {}
    for pattern, segments in axis_segments(length, kernel_size, dilation):
        for queries, keys in segments:
            for query, offsets in zip(queries, pattern, strict=True):
                seen = [
                    (key, offset) for key, offset in zip(keys, offsets, strict=True) if offset != -1
                ]
                assert query not in seen_from
                seen_from[query] = [key for key, _ in seen]
                steps = [(key - query) // dilation + kernel_size - 1 for key, _ in seen]
                assert [offset for _, offset in seen] == steps
    assert seen_from == {i: neighbors(i, length, kernel_size, dilation) for i in range(length)}


@settings(max_examples=25, deadline=None)
@given(length=LENGTHS, kernel_size=KERNELS, dilation=DILATIONS)
def test_segments_hold_no_key_that_nobody_sees(length, kernel_size, dilation):
    for pattern, _ in axis_segments(length, kernel_size, dilation):
        assert all(max(offsets) >= 0 for offsets in zip(*pattern, strict=True))


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 25),
    width=st.integers(1, 25),
    kernel_size=st.sampled_from([1, 3, 5]),
    dilation=st.integers(1, 5),
)
def test_tiles_hold_each_cell_once_with_all_it_sees(height, width, kernel_size, dilation):
    side = 2 * kernel_size - 1
    queries = Counter()
    for tiles in map_tiles(height, width, kernel_size, dilation):
        queries.update(tiles.queries.flatten().tolist())
        sees = tiles.bias_entries < side * side
        assert (sees.sum(dim=1) == kernel_size**2).all()
        for query_cells, key_cells in zip(tiles.queries, tiles.keys, strict=True):
            cell = int(query_cells[-1])
            rows = neighbors(cell // width, height, kernel_size, dilation)
            columns = neighbors(cell % width, width, kernel_size, dilation)
            expected = [
                row * width + column if row < height and column < width else height * width
                for row in rows
                for column in columns
            ]
            assert key_cells[sees[-1]].tolist() == expected
    assert queries == Counter(range(height * width))


def test_bias_entries_are_read_row_by_row():
    (tiles,) = map_tiles(3, 3, 3, 1)  # each cell sees all; the offsets are those of the keys
    centre = tiles.bias_entries[4].view(3, 3)
    assert centre.tolist() == [[6, 7, 8], [11, 12, 13], [16, 17, 18]]
    assert tiles.bias_entries[0, 0] == 12  # a cell and itself: (k - 1) (2 k - 1) + k - 1


@pytest.mark.parametrize("dilation", [1, 2, 5, 14])
def test_tiles_gather_far_fewer_keys_than_neighborhoods_hold(dilation):
    groups = map_tiles(160, 131, 11, dilation)
    gathered = sum(tiles.keys.numel() for tiles in groups)
    assert gathered < 7 * 160 * 131  # k^2 would be 121
    logits = sum(len(tiles.keys) * tiles.bias_entries.numel() for tiles in groups)
    assert logits < 3 * 121 * 160 * 131


def test_tiles_lie_on_the_device_that_is_asked_for_and_are_remembered():
    assert map_tiles(9, 7, 3, 2, torch.device("cpu")) is map_tiles(9, 7, 3, 2, torch.device("cpu"))
    (tiles, *_) = map_tiles(9, 7, 3, 2, torch.device("meta"))
    assert {t.device.type for t in (tiles.queries, tiles.keys, tiles.bias_entries)} == {"meta"}
