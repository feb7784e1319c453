"""Masks of objects: their forms, checked against pycocotools and loops, and who owns a pixel.

Mutants that must fail: the larger wins; of equals the later wins; a crowd lies on top; run lengths
along rows; a packed text without differences; no check of the sum of runs.
"""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from minioneformer.data.object_masks import flatten_masks, polygon_runs, segmentation_runs

SIZE = (5, 7)
MASKS = hnp.arrays(np.bool_, SIZE)


def encode(mask):
    return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))


def decode(runs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools with NumPy 2
        return coco_mask.decode(runs).astype(bool)


def test_a_rectangle_covers_its_pixels():
    mask = decode(polygon_runs([[0, 0, 2, 0, 2, 1, 0, 1]], SIZE, "here"))
    assert mask.sum() == 2
    assert mask[0, :2].all()


def test_parts_are_one_object():
    parts = [[0, 0, 2, 0, 2, 1, 0, 1], [5, 3, 7, 3, 7, 5, 5, 5]]
    mask = decode(polygon_runs(parts, SIZE, "here"))
    assert mask.sum() == 6
    assert mask[3:, 5:].all()


def test_a_polygon_may_end_a_pixel_outside_and_is_cut():
    mask = decode(polygon_runs([[-0.5, 0, 8, 0, 8, 5.5, -0.5, 5.5]], SIZE, "here"))
    assert mask.all()


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ([], r"needs an outline, got segmentation=\[\]\. A box alone"),
        ("0 0", "needs an outline, got segmentation='0 0'"),
        ([[0, 0, 2, 2]], "at least 3 points, got"),
        ([[0, 0, 2, 0, 2, 1, 0]], "at least 3 points, got"),
        ([[0, 0, 2, 0, 2, float("nan")]], "finite numbers, got nan"),
        ([[0, 0, 2, 0, 2, float("inf")]], "finite numbers, got inf"),
        ([[0, 0, 2, 0, 2, None]], "finite numbers, got None"),
        ([[0, 0, 9, 0, 2, 2]], r"leaves the image of \(H, W\) = \(5, 7\), got x=9"),
        ([[0, 0, 2, 7, 2, 2]], "got y=7"),
        ([[0, -2, 2, 0, 2, 2]], "got y=-2"),
    ],
)
def test_a_polygon_that_does_not_fit_is_refused(polygons, message):
    with pytest.raises(ValueError, match=f"^here: .*{message}"):
        polygon_runs(polygons, SIZE, "here")


def test_the_example_of_run_lengths_counts_down_the_columns():
    runs = segmentation_runs({"size": [2, 2], "counts": [1, 2, 1]}, (2, 2), "here")
    assert decode(runs).tolist() == [[False, True], [True, False]]


@settings(max_examples=25, deadline=None)
@given(MASKS)
def test_packed_and_plain_run_lengths_come_back(mask):
    packed = encode(mask)["counts"].decode()
    down = mask.flatten(order="F").astype(int)
    plain = [0] if down[0] else []
    plain += [len(run) for run in np.split(down, np.flatnonzero(np.diff(down)) + 1)]

    for counts in (packed, plain):
        runs = segmentation_runs({"size": list(SIZE), "counts": counts}, SIZE, "here")
        assert (decode(runs) == mask).all()


def test_long_packed_runs_come_back(rng):
    mask = torch.zeros(400, 301, dtype=torch.bool)
    mask[3:390, 7:200] = torch.rand(387, 193, generator=rng) > 0.5
    mask[:, 210:290] = True
    packed = encode(mask.numpy())["counts"].decode()
    runs = segmentation_runs({"size": [400, 301], "counts": packed}, (400, 301), "here")
    assert (decode(runs) == mask.numpy()).all()


@pytest.mark.parametrize(
    ("size", "counts", "message"),
    [
        ([7, 5], [35], r"size of the image, got size=\[7, 5\], image \(H, W\) = \(5, 7\)"),
        ([5, 7], [36], "fill the image, got 36 of 35"),
        ([5, 7], [30], "fill the image, got 30 of 35"),
        ([5, 7], [40, -5], r"integers >= 0, got \[40, -5\]"),
        ([5, 7], [35.0], "integers >= 0"),
        ([5, 7], None, "integers >= 0, got None"),
        ([5, 7], "~~", "broken run lengths, got character='~'"),
        ([5, 7], "S", "cut off, got 'S'"),
        ([5, 7], "1" * 40, "integers >= 0|fill the image"),
    ],
)
def test_run_lengths_that_do_not_fit_are_refused(size, counts, message):
    with pytest.raises(ValueError, match=f"^here: .*(?:{message})"):
        segmentation_runs({"size": size, "counts": counts}, SIZE, "here")


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_no_text_breaks_the_reader(text):
    try:
        runs = segmentation_runs({"size": list(SIZE), "counts": text}, SIZE, "here")
    except ValueError as error:
        assert str(error).startswith("here: ")
    else:
        assert decode(runs).shape == SIZE


def test_the_cup_on_the_table():
    table, cup = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    table[1:3, 1:4] = True
    cup[2, 2:4] = True
    owners, lost = flatten_masks([encode(table), encode(cup)], [False, False], SIZE)

    assert ((owners == 1).sum(), (owners == 2).sum(), lost) == (4, 2, 2)
    assert owners[2, 2:4].tolist() == [2, 2]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(MASKS, st.booleans()), max_size=5))
def test_owners_equal_a_loop_over_pixels(objects):
    masks = [mask for mask, _ in objects]
    is_crowd = [crowd for _, crowd in objects]
    owners, lost = flatten_masks([encode(mask) for mask in masks], is_crowd, SIZE)

    expected_lost = 0
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            here = [i for i, mask in enumerate(masks) if mask[y, x]]
            best = min(here, key=lambda i: (is_crowd[i], masks[i].sum(), i), default=-1)
            assert owners[y, x] == best + 1
            expected_lost += max(len(here) - 1, 0)
    assert lost == expected_lost
