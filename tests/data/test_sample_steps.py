"""The steps that every augmentation takes.

Mutants that must fail: forget the last run; cut the window from another corner; pad with 0.
"""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.data.sample_steps import (
    Window,
    pad_right_and_bottom,
    replace_pixels,
    resize_window,
    visible_ids,
)
from minioneformer.structures import PanopticSample, Segment


def make_sample(size, rng):
    return PanopticSample(
        image=torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=rng),
        segment_map=torch.randint(1, 2**40, size, generator=rng),
        segments=(),
        image_id=1,
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from([0, 5, 2**40]), min_size=3, max_size=3), min_size=1))
def test_visible_ids_are_the_values_of_the_map(rows):
    assert visible_ids(torch.tensor(rows)) == {value for row in rows for value in row}


def test_visible_ids_of_a_turned_map_and_of_no_map():
    assert visible_ids(torch.tensor([[4, 4, 0], [4, 4, 7]]).T) == {0, 4, 7}
    assert visible_ids(torch.zeros(0, 3, dtype=torch.int64)) == set()


def test_a_window_of_an_image_that_keeps_its_size_is_cut_out(rng):
    sample = make_sample((7, 11), rng)
    image, segment_map = resize_window(sample, (7, 11), Window(2, 3, 4, 6))
    assert torch.equal(image, sample.image[:, 2:6, 3:9])
    assert torch.equal(segment_map, sample.segment_map[2:6, 3:9])


def test_a_window_of_a_resized_map_equals_a_cut_out_of_the_whole(rng):
    sample = make_sample((7, 11), rng)
    _, whole = resize_window(sample, (13, 17), Window(0, 0, 13, 17))
    image, segment_map = resize_window(sample, (13, 17), Window(5, 2, 7, 9))
    assert torch.equal(segment_map, whole[5:12, 2:11])
    assert image.shape == (3, 7, 9)


def test_padding_is_gray_and_void(rng):
    sample = make_sample((2, 3), rng)
    image, segment_map = pad_right_and_bottom(sample.image, sample.segment_map, (3, 5))
    assert torch.equal(image[:, :2, :3], sample.image)
    assert image[:, 2].unique().tolist() == image[:, :, 3:].unique().tolist() == [128]
    assert segment_map[2].unique().tolist() == segment_map[:, 3:].unique().tolist() == [0]


def test_segments_without_a_pixel_go_and_areas_are_forgotten(rng):
    sample = make_sample((2, 3), rng)
    segments = (Segment(id=1, label=4, area=9), Segment(id=2, label=5), Segment(id=3, label=4))
    given_sample = PanopticSample(
        image=sample.image, segment_map=sample.segment_map, segments=segments, image_id=1
    )
    segment_map = torch.tensor([[3, 3, 0], [1, 0, 0]])
    result = replace_pixels(given_sample, sample.image, segment_map)
    assert [(s.id, s.label, s.area) for s in result.segments] == [(1, 4, None), (3, 4, None)]
