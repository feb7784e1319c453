import os

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.visualize.panels import (
    add_panel,
    new_figure,
    resize_nearest,
    resize_picture,
    save_figure,
    show_image,
    shown_size,
)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 48), (512, 384)),
        ((1500, 2000), (768, 1024)),
        ((480, 640), (480, 640)),
        ((1, 1), (512, 512)),
        ((5000, 2), (1024, 1)),
        ((300, 200), (600, 400)),
    ],
)
def test_small_images_are_enlarged_a_whole_number_of_times_and_large_ones_shrunk(size, expected):
    assert shown_size(size, side=512, largest_side=1024) == expected


def test_resizing_without_mixing_is_the_one_of_the_example():
    assert resize_nearest(torch.tensor([[5, 6]]), (1, 4)).tolist() == [[5, 5, 6, 6]]
    assert resize_nearest(torch.tensor([[1, 2, 3, 4, 5, 6]]), (1, 2)).tolist() == [[2, 5]]


def test_pixels_become_squares_of_pixels(rng):
    image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=rng)
    enlarged = resize_picture(image, (15, 21))
    expected = image.repeat_interleave(3, dim=1).repeat_interleave(3, dim=2)
    assert torch.equal(enlarged, expected)
    assert torch.equal(resize_picture(image, (5, 7)), image)


def test_a_shrunk_picture_keeps_a_trace_of_fine_lines():
    image = torch.zeros(3, 60, 80, dtype=torch.uint8)
    image[:, :, 1::4] = 200
    assert resize_picture(image, (15, 20)).float().mean() == pytest.approx(50, abs=2)


def _pixels(figure):
    return torch.from_numpy(np.asarray(figure.canvas.buffer_rgba()).copy()).permute(2, 0, 1)[:3]


def test_images_are_shown_pixel_by_pixel_where_they_should_be(rng):
    image = torch.randint(0, 256, (3, 33, 47), dtype=torch.uint8, generator=rng)
    figure = new_figure(101, 83)
    show_image(add_panel(figure, 13, 7, 47, 33), image)
    figure.canvas.draw()
    pixels = _pixels(figure)
    assert pixels.shape == (3, 83, 101)
    assert torch.equal(pixels[:, 7:40, 13:60], image)
    pixels[:, 7:40, 13:60] = 255
    assert (pixels == 255).all()


@pytest.mark.parametrize(
    ("ending", "start"),
    [
        ("png", b"\x89PNG"),
        ("jpg", b"\xff\xd8"),
        ("JPEG", b"\xff\xd8"),
        ("webp", b"RIFF"),
        ("pdf", b"%PDF"),
        ("svg", b"<?xml"),
    ],
)
def test_figures_are_saved_in_the_format_of_the_ending(tmp_path, ending, start):
    path = tmp_path / "new" / "folder" / f"picture.{ending}"
    assert save_figure(new_figure(31, 17), str(path)) == path
    assert path.read_bytes().startswith(start)
    assert list(path.parent.iterdir()) == [path]


def test_a_saved_png_has_the_size_of_the_figure_whatever_the_settings(tmp_path):
    with matplotlib.rc_context({"savefig.dpi": 300}):
        path = save_figure(new_figure(31, 17), tmp_path / "a.png")
    with Image.open(path) as picture:
        assert picture.size == (31, 17)


def test_an_unknown_ending_is_refused_before_anything_is_written(tmp_path):
    for name in ("picture.gif2", "picture"):
        with pytest.raises(ValueError, match=rf"must end in one of .*'png'.*got path='.*{name}'"):
            save_figure(new_figure(31, 17), tmp_path / "new" / name)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_old_picture(tmp_path, monkeypatch):
    path = save_figure(new_figure(31, 17), tmp_path / "a.png")
    before = path.read_bytes()

    def fail(*args):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        save_figure(new_figure(99, 99), path)
    assert path.read_bytes() == before
