"""Images in every form that users have them in.

Mutants that must fail: width before height; channels guessed last; alpha ignored.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.hf.image_inputs import _flat, image_tensors, map_tensors


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def test_all_forms_of_an_image_are_the_same_tensor(pixels):
    expected = torch.from_numpy(pixels).permute(2, 0, 1)
    forms = [
        Image.fromarray(pixels),
        pixels,
        pixels.transpose(2, 0, 1),
        torch.from_numpy(pixels),
        expected,
        [expected],
        pixels[None],
    ]
    for form in forms:
        (tensor,) = image_tensors(form)
        assert torch.equal(tensor, expected)
    two = image_tensors([pixels, Image.fromarray(pixels)])
    assert len(two) == 2 and torch.equal(two[0], two[1])
    assert len(image_tensors(np.stack([pixels] * 3))) == 3


def test_grey_images_get_three_channels_unless_told_otherwise(pixels):
    grey = pixels[:, :, 0]
    for form in (grey, grey[:, :, None], grey[None], Image.fromarray(grey)):
        (tensor,) = image_tensors(form)
        assert tensor.shape == (3, 6, 9)
        assert all(np.array_equal(channel, grey) for channel in tensor.numpy())
        assert image_tensors(form, do_convert_rgb=False)[0].shape == (1, 6, 9)


def test_what_is_transparent_turns_white():
    """Alpha 255, 0, 51: red 100 stays, is 255, is 0.2 * 100 + 0.8 * 255 = 224."""
    rgba = np.zeros((2, 3, 4), dtype=np.uint8)
    rgba[:, :, 0], rgba[:, :, 3] = 100, (255, 0, 51)
    for form in (rgba, Image.fromarray(rgba)):
        (tensor,) = image_tensors(form)
        assert tensor[0].tolist() == [[100, 255, 224]] * 2
        assert tensor[1].tolist() == [[0, 255, 204]] * 2
    rgba[:, :, 0] = 103  # 0.2 * 103 + 0.8 * 255 = 224.6
    assert image_tensors(rgba)[0][0, 0, 2].item() == 225
    with pytest.raises(ValueError, match=r"values of 0 to 255, got image\.dtype=torch\.float32"):
        image_tensors(torch.rand(4, 3, 5))


def test_channels_that_may_be_first_or_last_need_a_word():
    image = torch.arange(3 * 40 * 3).reshape(3, 40, 3)
    with pytest.warns(UserWarning, match=r"may be first or last, got .*\(3, 40, 3\)"):
        assert torch.equal(image_tensors(image)[0], image)
    (last,) = image_tensors(image, input_data_format="channels_last")
    assert last.shape == (3, 3, 40)
    (first,) = image_tensors(image, input_data_format="channels_first")
    assert torch.equal(first, image)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((6, 9, 2)), r"channels, first or last, got .*\(6, 9, 2\)"),
        (np.zeros(6), r"a height, a width and channels, got .*\(6,\)"),
        (Image.new("I;16", (4, 3)), "8 bits per channel, got mode 'I;16'"),
    ],
)
def test_what_is_no_image_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        image_tensors(images)


@pytest.mark.parametrize("images", ["photo.jpg", [None], [[b"x"]]])
def test_other_types_are_refused(images):
    """By the function inside, because the types of the outer one are checked in tests."""
    with pytest.raises(TypeError, match="must be Pillow images, NumPy arrays or tensors, got"):
        _flat(images, batched_ndim=4)


def test_there_are_two_data_formats(pixels):
    with pytest.raises(ValueError, match="input_data_format='HWC'"):
        image_tensors(pixels, input_data_format="HWC")


def test_maps_keep_their_values():
    values = np.arange(15, dtype=np.int32).reshape(3, 5)
    for form in (values, torch.from_numpy(values), values.astype(np.uint16), [values]):
        (segmentation_map,) = map_tensors(form)
        assert segmentation_map.dtype == torch.int64
        assert segmentation_map.tolist() == values.tolist()
    palette = Image.fromarray(values.astype(np.uint8)).convert("P")
    palette.putpalette([255 - i for i in range(256) for _ in range(3)])
    assert map_tensors(palette)[0].tolist() == values.tolist()
    assert len(map_tensors(np.stack([values, values]))) == 2


def test_what_is_no_map_is_refused():
    with pytest.raises(ValueError, match=r"a height and a width, got \(5,\)"):
        map_tensors([np.zeros(5, dtype=np.int64)])
    with pytest.raises(ValueError, match=r"got torch\.float64 with"):
        map_tensors(np.full((2, 3), 0.5))
    with pytest.raises(ValueError, match="ids with panoptic_png.rgb_to_id"):
        map_tensors(Image.new("RGB", (4, 3)))
