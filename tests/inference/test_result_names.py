import json

import pytest

from minioneformer.inference.result_names import ResultNames


@pytest.mark.parametrize(
    ("file_name", "png_name"),
    [
        ("000000039769.jpg", "000000039769.png"),
        ("aachen/aachen_0.png", "aachen/aachen_0.png"),
        ("./a/b/c.JPEG", "a/b/c.png"),
        ("frame.0001", "frame.0001.png"),
        ("frame.0002.tif", "frame.0002.png"),
        ("..hidden.webp", "..hidden.png"),
        (".jpg", ".jpg.png"),
    ],
)
def test_a_png_is_named_after_its_image(tmp_path, file_name, png_name):
    names = ResultNames(tmp_path, "panoptic")
    assert names.claim_png(file_name) == png_name
    path = names.png_path(png_name)
    assert path == tmp_path / "panoptic" / png_name
    assert path.parent.is_dir()


@pytest.mark.parametrize(
    "file_name",
    ["", ".", "..", "/", "/a.jpg", "../a.jpg", "a/../../b.jpg", "a/..", "C:a.jpg", "C:/a.jpg"]
    + [r"a\b.jpg", r"..\a.jpg", r"\\host\share\a.jpg", "a\0.jpg"],
)
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path, file_name):
    with pytest.raises(ValueError, match=r"inside the folder of the images.*got file_name="):
        ResultNames(tmp_path, "panoptic").claim_png(file_name)


@pytest.mark.parametrize("other", ["a/cat.jpg", "a/cat.png", "a/./cat.jpg", "A/Cat.jpg"])
def test_two_images_never_share_a_png(tmp_path, other):
    names = ResultNames(tmp_path, "panoptic")
    names.claim_png("a/cat.jpg")
    names.claim_png("cat.jpg")
    with pytest.raises(ValueError, match=rf"share.*got file_name='{other}' and 'a/cat.jpg'"):
        names.claim_png(other)


def test_an_id_is_given_out_once_and_a_number_is_not_its_text(tmp_path):
    names = ResultNames(tmp_path, "panoptic")
    names.claim_id(7)
    names.claim_id("7")
    with pytest.raises(ValueError, match=r"two results share an id, got image_id=7"):
        names.claim_id(7)


def test_a_link_in_the_folder_is_not_followed_out_of_it(tmp_path):
    (tmp_path / "results" / "panoptic").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "results" / "panoptic" / "a").symlink_to(tmp_path / "outside")
    names = ResultNames(tmp_path / "results", "panoptic")
    with pytest.raises(ValueError, match=r"got png_name='a/b/cat.png', which is behind a link"):
        names.png_path(names.claim_png("a/b/cat.jpg"))
    assert list((tmp_path / "outside").iterdir()) == []


def test_results_that_are_there_are_not_mixed_with_new_ones(tmp_path):
    folder = tmp_path / "new" / "folder"
    path = ResultNames(folder, "panoptic").write_json({"images": []})
    assert json.loads(path.read_text()) == {"images": []}
    with pytest.raises(FileExistsError, match=r"got '.*panoptic\.json'.*another folder"):
        ResultNames(folder, "panoptic")
    ResultNames(folder, "semantic")
