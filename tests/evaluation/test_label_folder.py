"""Label maps of files: modes of PNGs, values that are no labels, panoptic PNGs."""

import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.evaluation.label_folder import LabelFolder
from minioneformer.panoptic_png import write_panoptic_png

VALUES = np.array([[0, 1, 2], [255, 2, 0]])


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "labels"
    path.mkdir()
    return path


def read(folder, name="a.png", num_classes=3, ignore_index=255, from_one=False, **options):
    labels = LabelFolder(
        folder, num_classes=num_classes, ignore_index=ignore_index, from_one=from_one, **options
    )
    return labels.read(name, outside=-1).tolist()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_grey_values_are_labels(folder, kind):
    Image.fromarray(VALUES.astype(kind)).save(folder / "a.png")
    assert read(folder) == [[0, 1, 2], [-1, 2, 0]]


def test_palette_values_are_labels_whatever_their_colours(folder):
    palette = Image.new("P", (3, 2))
    palette.putpalette([9, 9, 9] * 256)
    palette.putdata(VALUES.ravel().tolist())
    palette.save(folder / "a.png")
    assert read(folder) == [[0, 1, 2], [-1, 2, 0]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_values_of_few_bits_are_labels_too(folder, bits):
    """Mutant that must fail: Pillow's own reading, which spreads them over 0 .. 255."""
    header = struct.pack(">IIBBBBB", 2, 1, bits, 0, 0, 0, 0)
    row = bytes([0, 0b1 << (8 - 2 * bits)])  # filter; values 0 and 1
    parts = {b"IHDR": header, b"IDAT": zlib.compress(row), b"IEND": b""}
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in parts.items():
        checksum = struct.pack(">I", zlib.crc32(name + data))
        content += struct.pack(">I", len(data)) + name + data + checksum
    (folder / "a.png").write_bytes(content)
    assert read(folder, num_classes=150) == [[0, 1]]


def test_labels_may_count_from_one(folder):
    Image.fromarray(VALUES.astype(np.uint8)).save(folder / "a.png")
    assert read(folder, num_classes=2, from_one=True) == [[-1, 0, 1], [-1, 1, -1]]


def test_another_value_may_be_ignored(folder):
    Image.fromarray(np.array([[0, 1, 2]], np.uint8)).save(folder / "a.png")
    assert read(folder, ignore_index=2) == [[0, 1, -1]]


def test_names_are_those_of_subfolders_too(folder):
    (folder / "b").mkdir()
    for name in ("b/x.png", "a.png"):
        Image.fromarray(VALUES.astype(np.uint8)).save(folder / name)
    assert LabelFolder(folder, num_classes=3, ignore_index=255).names() == ["a.png", "b/x.png"]


def panoptic(folder, name="a.png", categories=((3, "cat"), (9, "sky")), **changes):
    segments = [{"id": 70_000, "category_id": 9}, {"id": 2, "category_id": 3, "iscrowd": 1}]
    write_panoptic_png(folder / name, torch.tensor([[70_000, 2, 0]]))
    content = {
        "annotations": [{"image_id": 1, "file_name": name, "segments_info": segments}],
        "categories": [{"id": i, "name": n, "isthing": 0} for i, n in categories],
        **changes,
    }
    folder.with_name(f"{folder.name}.json").write_text(json.dumps(content))


def test_panoptic_pngs_are_read_with_the_json_beside_their_folder(folder):
    panoptic(folder)
    assert read(folder, num_classes=2) == [[1, -1, -1]]


def test_categories_may_come_from_the_annotations(folder, tmp_path):
    (tmp_path / "true").mkdir()
    panoptic(tmp_path / "true", categories=((9, "sky"), (3, "cat")))
    panoptic(folder, categories=())
    truth = LabelFolder(tmp_path / "true", num_classes=2, ignore_index=255)
    assert read(folder, num_classes=2, categories_of=truth) == [[0, -1, -1]]


@pytest.mark.parametrize(
    ("values", "options", "match"),
    [
        ([[0, 3]], {}, r"labels 0 \.\. 2 or ignore_index=255, got \[3\]"),
        ([[0, 4]], {"from_one": True}, r"labels 1 \.\. 3 or ignore_index=255, got \[4\]"),
        ([[255]], {"ignore_index": 9}, r"ignore_index=9, got \[255\]"),
    ],
)
def test_values_that_are_no_labels_are_refused(folder, values, options, match):
    Image.fromarray(np.array(values, np.uint8)).save(folder / "a.png")
    with pytest.raises(ValueError, match=match):
        read(folder, **options)


def test_rgb_without_a_json_is_refused(folder):
    Image.new("RGB", (3, 2)).save(folder / "a.png")
    with pytest.raises(FileNotFoundError, match=r"RGB PNGs.*no .*labels\.json"):
        read(folder)


def test_a_json_that_does_not_fit_is_refused(folder):
    panoptic(folder)
    with pytest.raises(ValueError, match="lists 2 categories, got num_classes=3"):
        read(folder)
    with pytest.raises(ValueError, match="got reduce_zero_label=True"):
        read(folder, num_classes=2, from_one=True)
    write_panoptic_png(folder / "b.png", torch.tensor([[1]]))
    with pytest.raises(ValueError, match="lists no such PNG, got file_name='b.png'"):
        read(folder, "b.png", num_classes=2)
    write_panoptic_png(folder / "a.png", torch.tensor([[70_000, 2, 4]]))
    with pytest.raises(ValueError, match=r"a\.png: every id in the map must be in the list"):
        read(folder, num_classes=2)


def test_files_that_are_no_maps_of_labels_are_refused(folder):
    Image.new("RGBA", (3, 2)).save(folder / "a.png")
    with pytest.raises(ValueError, match="got 8 bits per channel, RGB with transparency, in"):
        read(folder)
    Image.new("L", (3, 2)).save(folder / "a.png", format="JPEG")
    with pytest.raises(ValueError, match="not a PNG"):
        read(folder)
    Image.fromarray(np.zeros((50, 60), np.uint8)).save(folder / "a.png")
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:60])
    with pytest.raises(ValueError, match="broken PNG"):
        read(folder)
    with pytest.raises(FileNotFoundError, match=r"prediction of the same name, got none: .*b\.png"):
        read(folder, "b.png")


def test_folders_without_pngs_are_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no PNG in the folder, got"):
        LabelFolder(folder, num_classes=3, ignore_index=255).names()
    with pytest.raises(NotADirectoryError, match=r"no folder of PNGs, got .*none"):
        LabelFolder(tmp_path / "none", num_classes=3, ignore_index=255)
