import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from minioneformer.pixels import (
    IMAGE_MEAN,
    IMAGE_STD,
    normalize,
    pad_to_multiple,
    read_image,
    resize_image,
    shortest_edge_size,
)

ORIENTATION = 0x0112  # the EXIF tag


def _save(path, mode, values, **options):
    Image.fromarray(np.array(values, dtype=np.uint8)).convert(mode).save(path, **options)
    return path


# reading


def test_an_rgb_image_is_read_as_it_was_written(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = read_image(str(_save(tmp_path / "a.png", "RGB", pixels)))
    assert image.dtype == torch.uint8
    assert torch.equal(image, torch.from_numpy(pixels).permute(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "1"])
def test_other_8_bit_modes_become_rgb(tmp_path, mode):
    grey = np.array([[0, 255, 255], [255, 0, 0]], np.uint8)
    image = read_image(_save(tmp_path / "a.png", mode, grey))
    assert torch.equal(image, torch.from_numpy(grey).expand(3, 2, 3))


def test_transparency_is_dropped_and_the_colour_under_it_kept(tmp_path):
    picture = Image.new("RGBA", (3, 2), (10, 20, 30, 0))
    picture.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[:, 0, 0].tolist() == [10, 20, 30]


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path):
    picture = Image.new("P", (3, 2), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "a.png", transparency=bytes([255, 128]))
    assert read_image(tmp_path / "a.png")[:, 1, 2].tolist() == [10, 20, 30]


def test_a_photograph_on_its_side_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # turn 90 degrees clockwise to view
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 0] = 255  # the top left corner goes to the top right
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert image.shape == (3, 3, 2)
    assert image[0].tolist() == [[0, 255], [0, 0], [0, 0]]


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image file, got path='.*none\.jpg'"):
        read_image(tmp_path / "none.jpg")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_refused(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"(not an|broken) image.*got path='.*a\.jpg'"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp"])
def test_an_image_that_is_cut_off_is_refused(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (23, 31, 3), dtype=np.uint8)
    path = _save(tmp_path / f"a.{suffix}", "RGB", pixels)
    content = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ValueError, match=rf"(not an|broken) image.*got path='.*a\.{suffix}'"):
            read_image(path)


def test_a_file_that_claims_an_absurd_size_is_refused(tmp_path):
    path = _save(tmp_path / "a.bmp", "RGB", np.zeros((2, 3, 3)))
    content = bytearray(path.read_bytes())
    content[18:22] = (10**6).to_bytes(4, "little")  # width
    content[22:26] = (10**6).to_bytes(4, "little")  # height
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken image file, got path='.*a\.bmp'.*exceeds"):
        read_image(path)


@pytest.mark.parametrize(("mode", "suffix"), [("I;16", "png"), ("F", "tiff"), ("I", "tiff")])
def test_more_than_8_bits_are_refused_by_name(tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (3, 2)).save(path)
    with pytest.raises(ValueError, match=rf"8 bits per channel, got mode='{mode}'.*Convert it"):
        read_image(path)


# sizes


@pytest.mark.parametrize(
    ("size", "shortest", "longest", "expected"),
    [
        ((480, 640), 800, 1333, (800, 1067)),
        ((640, 480), 800, 1333, (1067, 800)),
        ((427, 640), 800, 1333, (800, 1199)),
        ((1024, 2048), 800, 1333, (667, 1333)),  # 666.5 rounds up
        ((2048, 1024), 800, 1333, (1333, 667)),
        ((1024, 2048), 1024, 4096, (1024, 2048)),
        ((5, 4), 2, 100, (3, 2)),  # 2.5 rounds up, where Python's round would not
        ((1, 1), 7, 9, (7, 7)),
    ],
)
def test_known_sizes_come_out(size, shortest, longest, expected):
    assert shortest_edge_size(size, shortest, longest) == expected


@given(
    size=st.tuples(st.integers(20, 3000), st.integers(20, 3000)),
    shortest=st.integers(20, 1300),
    longest=st.integers(1300, 3000),
)
@settings(max_examples=100, deadline=None)
def test_one_bound_is_met_and_none_is_broken(size, shortest, longest):
    new = shortest_edge_size(size, shortest, longest)
    assert min(new) == shortest or max(new) == longest
    assert min(new) <= shortest
    assert max(new) <= longest
    scale = min(shortest / min(size), longest / max(size))
    for side, new_side in zip(size, new, strict=True):
        assert abs(new_side - scale * side) <= 0.5 + 1e-6


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"got size=\(0, 5\), shortest=3, longest=4"):
        shortest_edge_size((0, 5), 3, 4)
    with pytest.raises(ValueError, match=r"got size=\(1, 5000\).*crop it, or raise longest"):
        shortest_edge_size((1, 5000), 800, 1333)


# resizing


def test_shrinking_weighs_every_pixel_with_a_tent():
    # a tent two pixels wide on either side: weights 3, 3, 1 at the border of the image
    row = torch.tensor([0, 100, 200, 100], dtype=torch.uint8).expand(3, 1, 4)
    left = (3 * 0 + 3 * 100 + 1 * 200) / 7  # 71.4
    right = (1 * 100 + 3 * 200 + 3 * 100) / 7  # 142.9
    assert resize_image(row, (1, 2))[0].tolist() == [[round(left), round(right)]] == [[71, 143]]


@pytest.mark.parametrize("size", [(9, 31), (41, 17), (23, 37), (2, 3)])
def test_resizing_agrees_with_torchvision_to_one_grey_level(rng, size):
    image = torch.randint(0, 256, (3, 23, 37), generator=rng, dtype=torch.uint8)
    resized = resize_image(image, size)
    expected = tv.resize(image, list(size), antialias=True)
    assert resized.shape == (3, *size)
    assert (resized.int() - expected.int()).abs().max() <= 1


def test_resizing_to_the_same_size_changes_nothing(rng):
    image = torch.randint(0, 256, (3, 5, 8), generator=rng, dtype=torch.uint8)
    assert torch.equal(resize_image(image, (5, 8)), image)


def test_resizing_to_nothing_is_refused():
    with pytest.raises(ValueError, match=r"got size=\(0, 4\)"):
        resize_image(torch.zeros(3, 2, 2, dtype=torch.uint8), (0, 4))


# normalising


def test_the_mean_colour_becomes_zero_and_one_deviation_becomes_one():
    mean, std = torch.tensor(IMAGE_MEAN), torch.tensor(IMAGE_STD)
    images = torch.stack([mean, mean + std], dim=1)[None, :, :, None]  # (1, 3, 2, 1)
    expected = torch.tensor([[0.0], [1.0]]).expand(1, 3, 2, 1)
    torch.testing.assert_close(normalize(images), expected)


def test_bytes_and_floats_normalise_alike():
    image = torch.tensor([124, 0, 255], dtype=torch.uint8)[:, None, None].expand(3, 2, 5)
    normalized = normalize(image)
    assert normalized.dtype == torch.float32
    assert normalized[0, 0, 0].item() == pytest.approx(0.00557, abs=1e-5)  # 0.325 / 58.395
    assert normalized[1, 0, 0].item() == pytest.approx(-116.28 / 57.12)
    assert normalized[2, 0, 0].item() == pytest.approx((255 - 103.53) / 57.375)
    assert torch.equal(normalize(image.double()), normalized)


# padding


@pytest.mark.parametrize(
    ("size", "multiple", "expected"),
    [((427, 640), 32, (448, 640)), ((5, 7), 4, (8, 8)), ((8, 4), 4, (8, 4)), ((3, 5), 1, (3, 5))],
)
def test_padding_goes_right_and_bottom(rng, size, multiple, expected):
    images = torch.rand(2, 3, *size, generator=rng)
    padded, padding_mask = pad_to_multiple(images, multiple, value=-7.0)
    assert padded.shape == (2, 3, *expected)
    assert torch.equal(padded[:, :, : size[0], : size[1]], images)
    rows = torch.arange(expected[0])[:, None] >= size[0]
    columns = torch.arange(expected[1]) >= size[1]
    assert torch.equal(padding_mask, (rows | columns).expand(2, *expected))
    assert (padded.movedim(1, -1)[padding_mask] == -7.0).all()


def test_a_multiple_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"multiple must be >= 1, got multiple=0"):
        pad_to_multiple(torch.zeros(1, 3, 2, 3), 0)


@pytest.mark.parametrize(("size", "window"), [((31, 53), (3, 7, 11, 40)), ((9, 14), (2, 0, 7, 14))])
def test_a_window_equals_a_cut_out_of_the_whole(size, window, rng):
    image = torch.randint(0, 256, (3, 17, 29), dtype=torch.uint8, generator=rng)
    top, left, height, width = window
    cut = resize_image(image, size)[:, top : top + height, left : left + width].int()

    assert (resize_image(image, size, window=window).int() - cut).abs().max() <= 1


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, 0, 0, 2), (0, 13, 2, 2), (8, 0, 2, 2)])
def test_a_window_beyond_the_image_is_refused(window):
    with pytest.raises(ValueError, match=r"window must be inside .* got window="):
        resize_image(torch.zeros(3, 4, 5, dtype=torch.uint8), (9, 14), window=window)
