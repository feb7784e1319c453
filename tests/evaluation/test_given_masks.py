"""Masks of files: three forms, and what would make pycocotools run forever.

Mutants that must fail: size compared as (width, height); a run counted from the wrong
predecessor; the sign of a difference dropped.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as run_lengths

from minioneformer.evaluation.given_masks import count_pixels, given_runs


def compressed(mask: np.ndarray) -> dict:
    runs = run_lengths.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": runs["counts"].decode()}


def plain(mask: np.ndarray) -> dict:
    """Runs down the columns, by looping over pixels."""
    counts, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.02, 0.5, 1.0]))
def test_runs_cover_the_image_and_the_forms_agree(seed, share):
    rng = np.random.default_rng(seed)
    mask = rng.random((rng.integers(1, 70), rng.integers(1, 50))) < share
    assert count_pixels(compressed(mask)["counts"]) == mask.size
    from_plain = given_runs(plain(mask), mask.shape, "here")
    from_compressed = given_runs(compressed(mask), mask.shape, "here")
    assert from_plain == from_compressed
    assert run_lengths.area(from_plain) == mask.sum()


def test_the_docstring_example():
    assert count_pixels("34") == 7
    assert count_pixels("") == 0


def test_polygons_are_filled_and_joined():
    polygons = [[1, 1, 6, 1, 6, 4, 1, 4], [8, 0, 10, 0, 10, 2, 8, 2]]
    runs = given_runs(polygons, (7, 11), "here")
    assert runs["size"] == [7, 11]
    assert run_lengths.area(runs) == 5 * 3 + 2 * 2


RUNS = compressed(np.eye(9, 13))


@pytest.mark.parametrize(
    ("segmentation", "match"),
    [
        ({**RUNS, "size": [13, 9]}, r"size of its image, got size=\[13, 9\].*image of \[9, 13\]"),
        ({**RUNS, "counts": RUNS["counts"][:5]}, "fill the mask, got .* pixels of 9 x 13"),
        ({**RUNS, "counts": RUNS["counts"] + "1"}, "fill the mask"),
        ({**RUNS, "counts": "!!"}, "here: no run lengths, got counts='!!'"),
        ({**RUNS, "counts": "P"}, "here: no run lengths, got counts='P'"),  # more were to follow
        ({**RUNS, "counts": "\x7f\x7f"}, "here: no run lengths"),
        ({**RUNS, "counts": "P" * 9 + "0"}, "here: no run lengths"),
        ({**RUNS, "counts": "O"}, "here: no run lengths"),  # -1
        ({**RUNS, "counts": [100, 16]}, "fill the mask, got 116 pixels of 9 x 13"),
        ({**RUNS, "counts": [118, -1]}, r"whole numbers from 0, got counts=\[118, -1\]"),
        ({"size": [9, 13]}, "here, entry 0: needs 'counts'"),
        ([], r"polygons must be lists of x, y.*got segmentation=\[\]"),
        ([[1, 1, 2, 2]], "three points or more, got"),
        ([[1, 1, 2, 2, 3]], "three points or more, got"),
        ([[1, 1, 2, 2, 3, float("nan")]], "three points or more, got"),
    ],
)
def test_masks_that_do_not_fit_are_refused(segmentation, match):
    with pytest.raises(ValueError, match=match):
        given_runs(segmentation, (9, 13), "here")
