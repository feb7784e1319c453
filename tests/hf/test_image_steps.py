"""Sizes, filters, numbers and padding of the published processor.

Mutants that must fail: sizes rounded half up; the cap applied to the shorter edge; mean before
rescaling; padding on the left.
"""

import pytest
import torch

from minioneformer.hf.image_steps import (
    pad_images,
    rescale_and_normalize,
    resize,
    resized_size,
    size_dict,
)

PUBLISHED = {"shortest_edge": 800, "longest_edge": 1333}


@pytest.mark.parametrize(
    ("image_size", "expected"),
    [((480, 640), (800, 1066)), ((427, 640), (800, 1199)), ((1024, 2048), (666, 1333))],
)
def test_the_longer_edge_is_cut_to_a_whole_number(image_size, expected):
    assert resized_size(image_size, PUBLISHED) == expected
    assert resized_size(image_size[::-1], PUBLISHED) == expected[::-1]


def test_other_ways_to_say_a_size():
    assert resized_size((30, 50), {"height": 7, "width": 9}) == (7, 9)
    assert resized_size((30, 50), {"shortest_edge": 12}) == (12, 20)
    assert resized_size((30, 50), {"max_height": 25, "max_width": 22}) == (13, 22)
    assert resized_size((1, 4), {"shortest_edge": 5, "longest_edge": 5}) == (1, 4)  # 1.25 x 5
    assert resized_size((31, 31), {"shortest_edge": 20, "longest_edge": 40}) == (20, 20)
    assert size_dict(800) == {"shortest_edge": 800}
    assert size_dict(800, default_to_square=True) == {"height": 800, "width": 800}
    assert size_dict((7, 9)) == {"height": 7, "width": 9}
    assert size_dict({"shortest_edge": 5, "longest_edge": None}) == {"shortest_edge": 5}


@pytest.mark.parametrize("size", [{"longest_edge": 3}, {"height": 3}, {}, 0, {"shortest_edge": -1}])
def test_a_size_that_says_nothing_is_refused(size):
    with pytest.raises(ValueError, match=r"size must be shortest_edge or .*got size="):
        size_dict(size)


def test_a_side_must_not_vanish():
    with pytest.raises(ValueError, match=r"shrinks to nothing, got image_size=\(1, 4000\)"):
        resized_size((1, 4000), PUBLISHED)


def test_a_filter_must_be_known_and_keeps_the_type():
    image = torch.full((3, 5, 9), 77, dtype=torch.uint8)
    for resample in (0, 2, 3):
        resized = resize(image, (4, 3), resample)
        assert resized.shape == (3, 4, 3) and resized.dtype == torch.uint8
        assert set(resized.unique().tolist()) == {77}
    with pytest.raises(ValueError, match=r"2 \(bilinear\), 3 \(bicubic\), got resample=1"):
        resize(image, (4, 3), 1)


def test_red_of_the_docstring():
    image = torch.full((3, 1, 1), 124, dtype=torch.uint8)
    values = rescale_and_normalize(
        image, rescale_factor=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    assert values[0].item() == pytest.approx((124 / 255 - 0.485) / 0.229, abs=1e-6)
    assert values[0].item() == pytest.approx(0.00557, abs=1e-5)


def test_each_step_can_be_left_out():
    image = torch.full((3, 1, 1), 51, dtype=torch.uint8)
    assert rescale_and_normalize(image, rescale_factor=None, mean=None, std=None) is image
    scaled = rescale_and_normalize(image, rescale_factor=1 / 255, mean=None, std=None)
    assert scaled.flatten().tolist() == pytest.approx([0.2] * 3)
    shifted = rescale_and_normalize(image, rescale_factor=None, mean=50.0, std=0.5)
    assert shifted.flatten().tolist() == [2.0] * 3


def test_means_must_fit_the_channels():
    with pytest.raises(ValueError, match=r"image_std must .* per channel, got \[1, 2\]"):
        rescale_and_normalize(torch.zeros(3, 1, 1), rescale_factor=None, mean=0.0, std=[1, 2])


def test_padding_is_right_and_below():
    images = [torch.ones(3, 2, 5), torch.ones(3, 3, 4)]
    padded, masks = pad_images(images)
    assert [tuple(image.shape) for image in padded] == [(3, 3, 5)] * 2
    assert masks[0].tolist() == [[1] * 5, [1] * 5, [0] * 5]
    assert masks[1].tolist() == [[1, 1, 1, 1, 0]] * 3
    assert all(
        torch.equal(image[0], mask.float()) for image, mask in zip(padded, masks, strict=True)
    )
