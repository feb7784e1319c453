"""A PNG whose pixels are not those that were written is refused.

Mutants that must fail: check the first part only; leave the name out of the checksum; forget
palettes; refuse other formats.
"""

import struct
import zlib

import pytest
from PIL import Image

from minioneformer.image_bytes import SIGNATURE, read_image_bytes


def part(name, data):
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


HEADER = part(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 3, 0, 0, 0))
PALETTE = part(b"PLTE", bytes([1, 2, 3, 4, 5, 6]))
PIXELS = part(b"IDAT", zlib.compress(bytes([0, 1, 0])))
COMMENT = part(b"tEXt", b"said\0so")
END = part(b"IEND", b"")


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_a_png_made_by_hand_is_read_whole(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(SIGNATURE + HEADER + COMMENT + PALETTE + PIXELS + END)

    assert read_image_bytes(path) == path.read_bytes()
    assert list(Image.open(path).convert("RGB").tobytes()) == [4, 5, 6, 1, 2, 3]


@pytest.mark.parametrize(
    ("number", "name"), [(1, "IHDR"), (3, "PLTE"), (4, "IDAT")], ids=["header", "palette", "pixels"]
)
def test_a_flipped_bit_of_a_part_is_found(tmp_path, number, name):
    parts = [SIGNATURE, HEADER, COMMENT, PALETTE, PIXELS, END]
    start = sum(map(len, parts[:number]))
    for at in range(4, len(parts[number])):  # name, data, checksum
        broken = [*parts[:number], flipped(parts[number], at), *parts[number + 1 :]]
        (tmp_path / "a.png").write_bytes(b"".join(broken))
        if 4 <= at < 8:  # another name: no part that is known
            assert read_image_bytes(tmp_path / "a.png")
        else:
            with pytest.raises(ValueError, match=f"wrong checksum of part {name} at byte {start}"):
                read_image_bytes(tmp_path / "a.png")


def test_comments_are_not_checked(tmp_path):
    (tmp_path / "a.png").write_bytes(SIGNATURE + HEADER + flipped(COMMENT, 9) + PALETTE + PIXELS)
    assert read_image_bytes(tmp_path / "a.png")


def test_pixels_that_are_cut_off_are_refused(tmp_path):
    content = SIGNATURE + HEADER + PALETTE + PIXELS
    (tmp_path / "a.png").write_bytes(content[:-1])
    with pytest.raises(ValueError, match="it is cut off in part IDAT at byte 51"):
        read_image_bytes(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"\x89PN", b"\xff\xd8\xff\xe0 no png", SIGNATURE])
def test_other_files_are_just_read(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    assert read_image_bytes(tmp_path / "a.jpg") == content
