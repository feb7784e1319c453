"""Large scale jitter: sizes, offsets and padding of the official code, ids exact.

Mutants that must fail: scale to cover the box instead of fitting in; one scale for each axis;
two offsets by default; round down; pad with 0; swap height and width.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.data.large_scale_jitter import LargeScaleJitter
from minioneformer.structures import PanopticSample, Segment

BEYOND_FLOAT32 = 2**24 + 1


def make_sample(segment_map):
    """A sample whose image is 200 everywhere, so that padding shows."""
    ids = [i for i in segment_map.unique().tolist() if i > 0]
    return PanopticSample(
        image=torch.full((3, *segment_map.shape), 200, dtype=torch.uint8),
        segment_map=segment_map,
        segments=tuple(Segment(id=i, label=0, area=1) for i in ids),
        image_id=5,
    )


def covered(sample):
    """(H, W) of what is not padding."""
    inside = sample.image[0] == 200
    return int(inside[:, 0].sum()), int(inside[0].sum())


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((30, 50), 1.0, (24, 40)),  # 48 x 40 box: the width binds at 0.8
        ((50, 30), 1.0, (48, 29)),  # 28.8 columns
        ((25, 40), 0.5, (13, 20)),  # 12.5 rows round up
        ((1, 200), 0.5, (1, 20)),  # 0.1 rows: one pixel stays
    ],
)
def test_the_image_fits_in_the_scaled_box(size, scale, expected):
    jitter = LargeScaleJitter(crop_size=(48, 40), scale_range=(scale, scale), flip=False)
    result = jitter(make_sample(torch.ones(size, dtype=torch.int64)))

    assert result.image.shape == (3, 48, 40)
    assert covered(result) == expected
    outside = result.image[0] != 200
    assert set(result.image[:, outside].unique().tolist()) <= {128}
    assert (result.segment_map[outside] == 0).all()
    assert (result.segment_map[~outside] == 1).all()


def corners(jitter, times=60):
    """Upper left pixel, numbered row by row, of crops from an image scaled by 2."""
    sample = make_sample(torch.arange(1, 12 * 16 + 1).reshape(12, 16))
    return [divmod(int(jitter(sample).segment_map[0, 0]) - 1, 16) for _ in range(times)]


def test_one_number_decides_both_offsets_unless_told_otherwise():
    # 12 x 16 at scale 4 of a 12 x 8 box: 24 x 32, so offsets are 0 .. 12 and 0 .. 24
    shared = LargeScaleJitter(crop_size=(12, 8), scale_range=(4.0, 4.0), flip=False)
    rows, columns = np.array(corners(shared)).T
    assert np.abs(columns - 2 * rows).max() <= 2  # old cells: half of the offsets
    assert len(set(rows)) > 4

    independent = LargeScaleJitter(
        crop_size=(12, 8), scale_range=(4.0, 4.0), flip=False, independent_offsets=True
    )
    rows, columns = np.array(corners(independent)).T
    assert np.abs(columns - 2 * rows).max() > 4


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 10_000),
)
def test_only_ids_of_the_annotation_and_void_come_out(size, seed):
    torch.manual_seed(seed)
    ids = torch.tensor([0, 3, 2**24, BEYOND_FLOAT32, 2**40 + 1])
    sample = make_sample(ids[torch.randint(len(ids), size)])
    result = LargeScaleJitter(crop_size=(17, 23))(sample)

    left = set(result.segment_map.unique().tolist()) - {0}
    assert result.image.shape == (3, 17, 23)
    assert left <= {segment.id for segment in sample.segments}
    assert {segment.id for segment in result.segments} == left
    assert {segment.area for segment in result.segments} <= {None}


def test_scales_are_uniform_and_half_of_the_images_mirrored():
    sample = make_sample(torch.tensor([[1] * 50 + [2] * 50] * 100))
    jitter = LargeScaleJitter(crop_size=(64, 64), scale_range=(0.25, 1.0))
    results = [jitter(sample) for _ in range(200)]

    sides = np.array([covered(result)[0] for result in results])
    assert sides.min() < 20
    assert sides.max() > 60
    assert 36 < sides.mean() < 44  # the middle of 16 and 64
    assert 70 < sum(int(result.segment_map[0, 0]) == 2 for result in results) < 130


def test_image_and_annotation_stay_together(rng):
    segment_map = torch.randint(1, 5, (6, 9), generator=rng).repeat_interleave(8, 0)
    segment_map = segment_map.repeat_interleave(8, 1)
    image = (50 * segment_map).to(torch.uint8).expand(3, -1, -1)
    sample = PanopticSample(
        image=image,
        segment_map=segment_map,
        segments=tuple(Segment(id=i, label=0) for i in range(1, 5)),
        image_id=1,
    )
    for _ in range(20):
        result = LargeScaleJitter(crop_size=(60, 70), scale_range=(0.7, 1.6))(sample)
        inside = result.segment_map > 0
        agrees = (result.image[0] - 50 * result.segment_map).abs()[inside] <= 12
        assert agrees.float().mean() > 0.6  # all but the blurred borders of the blocks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop_size": (4, 0)}, r"each >= 1, got crop_size=\(4, 0\)"),
        ({"scale_range": (0.0, 1.0)}, r"0 < smallest <= largest, got scale_range=\(0.0, 1.0\)"),
        ({"scale_range": (2.0, 1.0)}, r"got scale_range=\(2.0, 1.0\)"),
        ({"scale_range": (1.0, float("nan"))}, r"got scale_range=\(1.0, nan\)"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LargeScaleJitter(**arguments)
