"""Numbers in PNGs: read as stored, or refused by name.

Mutants that must fail: no way back from Pillow's spreading of 2 and 4 bits; a palette read through
its colours; 16-bit colours taken as 8.
"""

import random
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.label_png import read_byte_png, read_label_png


def chunk(name, content):
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def write_png(path, *, width, bits, kind, row):
    """One row, by hand: Pillow does not write every kind."""
    header = struct.pack(">IIBBBBB", width, 1, bits, kind, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(48))) if kind == 3 else b""
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + row))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    path.write_bytes(start + palette + pixels + chunk(b"IEND", b""))


@pytest.mark.parametrize("kind", [0, 3])
@pytest.mark.parametrize(
    ("bits", "row", "expected"),
    [
        (1, [0b10110000], [1, 0, 1, 1]),
        (2, [0b11100100], [3, 2, 1, 0]),
        (4, [0x0F, 0x7A], [0, 15, 7, 10]),
        (8, [0, 7, 15, 3], [0, 7, 15, 3]),
    ],
)
def test_grey_and_palette_of_few_bits_are_read_as_stored(tmp_path, kind, bits, row, expected):
    path = tmp_path / "map.png"
    write_png(path, width=4, bits=bits, kind=kind, row=bytes(row))

    numbers = read_label_png(path)
    assert numbers.dtype == torch.int64
    assert numbers.tolist() == [expected]


def test_sixteen_bits_are_kept_whole(tmp_path):
    path = tmp_path / "map.png"
    write_png(path, width=2, bits=16, kind=0, row=struct.pack(">HH", 65535, 26001))

    assert read_label_png(path).tolist() == [[65535, 26001]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_and_transparency_are_no_labels(tmp_path, mode):
    path = tmp_path / "map.png"
    Image.new(mode, (3, 2)).save(path)

    with pytest.raises(ValueError, match=r"one channel, .*got 8 bits per channel, .*map\.png"):
        read_label_png(path)


def test_three_bytes_per_pixel_come_as_three_maps(tmp_path):
    path = tmp_path / "map.png"
    write_png(path, width=2, bits=8, kind=2, row=bytes([1, 2, 3, 4, 5, 6]))

    assert read_byte_png(path).tolist() == [[[1, 4]], [[2, 5]], [[3, 6]]]


@pytest.mark.parametrize(
    ("bits", "kind", "row", "message"),
    [
        (16, 2, bytes(6), "16 bits per channel, RGB"),
        (8, 0, bytes(1), "8 bits per channel, grey"),
        (8, 6, bytes(4), "8 bits per channel, RGB with transparency"),
        (8, 3, bytes(1), "8 bits per channel, palette"),
    ],
)
def test_other_kinds_than_three_bytes_are_refused(tmp_path, bits, kind, row, message):
    path = tmp_path / "map.png"
    write_png(path, width=1, bits=bits, kind=kind, row=row)

    with pytest.raises(ValueError, match=rf"RGB, got {message}, in .*map\.png"):
        read_byte_png(path)


@pytest.mark.parametrize("read", [read_label_png, read_byte_png])
def test_files_that_are_missing_or_no_png_are_named(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"no annotation PNG, got path='.*none\.png'"):
        read(tmp_path / "none.png")
    for content in (b"", b"text", b"\x89PNG\r\n\x1a\n"):
        (tmp_path / "map.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"(not a|broken) PNG, got path='.*map\.png'"):
            read(tmp_path / "map.png")
    Image.new("RGB", (3, 2)).save(tmp_path / "photo.png", format="JPEG")
    with pytest.raises(ValueError, match=r"not a PNG, got path='.*photo\.png'"):
        read(tmp_path / "photo.png")


def test_a_flipped_bit_or_a_missing_end_never_gives_other_numbers(tmp_path):
    path = tmp_path / "map.png"
    numbers = np.random.default_rng(0).integers(0, 151, (11, 17)).astype(np.uint8)
    Image.fromarray(numbers).save(path)
    whole = path.read_bytes()
    draw = random.Random(0)
    broken = [whole[:length] for length in range(0, len(whole) - 12, 9)]
    for _ in range(300):
        content = bytearray(whole)
        content[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        broken.append(bytes(content))

    refused = 0
    for content in broken:
        path.write_bytes(content)
        try:
            assert np.array_equal(read_label_png(path).numpy(), numbers)
        except ValueError as error:
            refused += 1
            assert "map.png" in str(error) and "\n" not in str(error)
    assert refused > 200
