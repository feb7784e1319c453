import numpy as np
from PIL import Image

from minioneformer.data.file_scan import find_broken_files


def test_every_broken_file_is_named_and_no_other(tmp_path):
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    Image.fromarray(np.full((3, 5), 70_000, np.int32).astype(np.uint16)).save(folder / "deep.png")
    Image.new("CMYK", (5, 3)).save(folder / "print.jpg")
    Image.new("P", (5, 3)).save(folder / "palette.png")
    (folder / "good.json").write_text("{}")
    (folder / "notes.txt").write_text("no image")
    whole = (folder / "palette.png").read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"IDAT") + 6] ^= 1
    (folder / "flipped.png").write_bytes(flipped)
    (folder / "cut.PNG").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpeg").write_bytes(b"")
    (folder / "broken.json").write_text('{"images": [')
    (folder / "nested.json").write_text("[" * 100_000)

    found = find_broken_files(tmp_path)
    names = ["broken.json", "cut.PNG", "empty.jpeg", "flipped.png", "nested.json"]
    assert len(found) == len(names)
    for name, line in zip(names, found, strict=True):
        assert name in line and "\n" not in line


def test_a_good_folder_has_none(tmp_path):
    Image.new("RGB", (5, 3)).save(tmp_path / "good.png")
    assert find_broken_files(tmp_path) == []
