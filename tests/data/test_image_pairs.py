"""Images find their annotations by name, and whatever has no partner is said.

Mutants that must fail: forget folders in folders; take masks in a shared folder for images; pair by
position instead of name; skip the size check.
"""

import numpy as np
import pytest
from PIL import Image

from minioneformer.data.image_pairs import ImagePairs


def picture(path, size=(5, 7), value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


def test_names_decide_and_images_without_a_png_are_counted(tmp_path):
    for name in ("b.jpg", "a.PNG", "town/a.jpeg", "lonely.webp"):
        picture(tmp_path / "images" / name)
    (tmp_path / "images" / "notes.txt").touch()
    for value, name in enumerate(("town/a.png", "a.png", "b.png"), start=1):
        picture(tmp_path / "maps" / name, value=value)
    pairs = ImagePairs.find(tmp_path / "images", tmp_path / "maps")

    assert pairs.stems == ("a", "b", "town/a")
    assert [pairs.image_name(i) for i in range(3)] == ["a.PNG", "b.jpg", "town/a.jpeg"]
    assert [int(pairs.read(i)[1].max()) for i in range(3)] == [2, 3, 1]
    assert pairs.unannotated == 1


def test_one_folder_may_hold_both(tmp_path):
    for name in ("a.jpg", "a_mask.png", "b.png", "b_mask.png"):
        picture(tmp_path / name)
    pairs = ImagePairs.find(tmp_path, tmp_path, png_suffix="_mask.png")

    assert pairs.stems == ("a", "b")
    assert ImagePairs.find(tmp_path / ".", tmp_path, png_suffix="_mask.png").stems == ("a", "b")


def test_two_images_cannot_share_an_annotation(tmp_path):
    for name in ("images/a.jpg", "images/a.png", "maps/a.png"):
        picture(tmp_path / name)
    with pytest.raises(ValueError, match=r"share the annotation 'a\.png', got 'a\.jpg' and 'a\.p"):
        ImagePairs.find(tmp_path / "images", tmp_path / "maps")


def test_a_png_without_image_and_folders_without_a_pair_are_refused(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "maps" / "b.png")
    with pytest.raises(ValueError, match=r"maps: every PNG must have an image.*\['b'\]"):
        ImagePairs.find(tmp_path / "images", tmp_path / "maps")
    with pytest.raises(ValueError, match="names must agree .*'_x.png', got 1 images"):
        ImagePairs.find(tmp_path / "images", tmp_path / "maps", png_suffix="_x.png")
    with pytest.raises(FileNotFoundError, match="no such folder, got '.*none'"):
        ImagePairs.find(tmp_path / "images", tmp_path / "none")


def test_sizes_must_agree_and_links_stay_inside(tmp_path):
    picture(tmp_path / "images" / "a.jpg", (5, 7))
    picture(tmp_path / "maps" / "a.png", (7, 5))
    picture(tmp_path / "images" / "b.jpg", (5, 7))
    picture(tmp_path / "secret.png", (5, 7))
    (tmp_path / "maps" / "b.png").symlink_to(tmp_path / "secret.png")
    pairs = ImagePairs.find(tmp_path / "images", tmp_path / "maps")

    with pytest.raises(ValueError, match=r"a\.png: .*one size, got PNG .* = \(7, 5\), image"):
        pairs.read(0)
    with pytest.raises(ValueError, match=r"paths must stay inside .*got file_name='b\.png'"):
        pairs.read(1)
