"""LabelMe files: shapes become objects by group and stuff by class.

Mutants that must fail: join shapes by label; join groups of two classes; take a path out of the
folder; let an unknown label pass; call the labels complete without stuff.
"""

import json

import numpy as np
import pytest
from PIL import Image

from minioneformer.data.labelme import LabelMe
from minioneformer.structures import TASKS, Category


def box(label, left, top, right, bottom, **more):
    return {
        "label": label,
        "points": [[left, top], [right, bottom]],
        "shape_type": "rectangle",
        "group_id": None,
        "flags": {},
        **more,
    }


SHAPES = [
    box("road", 0, 4, 7, 5),
    box("dog", 0, 0, 1, 1, group_id=1),
    box("cat", 3, 0, 4, 1, group_id=1),
    box("dog", 2, 0, 3, 1, group_id=1),
    box("dog", 5, 0, 6, 1),
    box("road", 0, 3, 2, 4),
]


def write(folder, shapes=SHAPES, name="a", **more):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((5, 7, 3), 9, np.uint8)).save(folder / f"{name}.jpg")
    content = {"imagePath": f"{name}.jpg", "imageHeight": 5, "imageWidth": 7, "shapes": shapes}
    (folder / f"{name}.json").write_text(json.dumps({**content, "imageData": None, **more}))


def test_groups_are_objects_and_stuff_is_one_segment(tmp_path):
    write(tmp_path)
    dataset = LabelMe(tmp_path, classes=["cat", "dog", "road"], stuff=["road"])
    sample = dataset[0]

    assert dataset.tasks == TASKS
    assert [(c.name, c.is_thing) for c in dataset.categories] == [
        ("cat", True),
        ("dog", True),
        ("road", False),
    ]
    assert [(s.id, s.label) for s in sample.segments] == [(1, 2), (2, 1), (3, 0), (4, 1)]
    assert sample.segment_map.tolist() == [
        [2, 0, 2, 3, 0, 4, 0],
        [0] * 7,
        [0] * 7,
        [1, 1, 0, 0, 0, 0, 0],
        [1] * 7,
    ]
    assert (sample.image_id, sample.file_name) == ("a", "a.jpg")


def test_labels_may_be_renamed_joined_and_ignored(tmp_path):
    write(tmp_path)
    dataset = LabelMe(tmp_path, classes={"dog": "pet", "cat": "pet", "road": "ignore"})

    assert dataset.tasks == ("instance",)
    assert [c.name for c in dataset.categories] == ["pet"]
    # now one class and one group: cat and dog are parts of one object
    assert [(s.id, s.label) for s in dataset[0].segments] == [(1, 0), (2, 0)]


def test_a_catalogue_says_what_is_stuff(tmp_path):
    write(tmp_path)
    catalogue = [
        Category(name=name, is_thing=name != "road", color=(0, 0, 0), dataset_id=i)
        for i, name in enumerate(("road", "cat", "bird", "dog"))
    ]
    dataset = LabelMe(tmp_path, classes=["cat", "dog", "road"], categories=catalogue)
    assert dataset.tasks == TASKS
    assert [s.label for s in dataset[0].segments] == [0, 3, 1, 3]
    without = LabelMe(tmp_path, classes=["cat", "dog"], categories=catalogue)
    assert without.tasks == ("instance",)


def test_files_in_folders_and_images_elsewhere(tmp_path):
    write(tmp_path / "json" / "town", imagePath="..\\..\\images\\a.jpg")
    write(tmp_path / "json", [], "b")
    (tmp_path / "images").mkdir()
    (tmp_path / "json" / "town" / "a.jpg").rename(tmp_path / "images" / "a.jpg")
    (tmp_path / "json" / "b.jpg").rename(tmp_path / "images" / "b.jpg")
    classes = ["cat", "dog", "road"]
    dataset = LabelMe(tmp_path / "json", classes=classes, image_dir=tmp_path / "images")

    assert dataset.stems == ("b", "town/a")
    assert dataset[0].segments == ()
    assert len(dataset[1].segments) == 5
    with pytest.raises(ValueError, match=r"town/a\.json: paths must stay inside .*Pass image_dir="):
        LabelMe(tmp_path / "json", classes=classes)[1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"shapes": [box("bird", 0, 0, 1, 1)]}, r"shape 0 'bird': classes has no such label"),
        (
            {"shapes": [box("dog", 0, 0, 1, 1, shape_type="point")]},
            r"shape 0 'dog': a shape needs an area",
        ),
        ({"shapes": [{"label": "dog"}]}, r"shape 0 lacks \['points'\]"),
        ({"shapes": None}, "shapes of LabelMe file 0 must be list"),
        ({"imageHeight": 6}, r"got \(H, W\) = \(5, 7\), stated \(6, 7\)"),
        ({"imagePath": "/etc/hostname"}, "paths must stay inside"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path, more, message):
    write(tmp_path, **more)
    with pytest.raises(ValueError, match=r"a\.json.*" + message):
        LabelMe(tmp_path, classes=["cat", "dog", "road"])[0]


def test_a_missing_image_is_named_with_its_file(tmp_path):
    write(tmp_path)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.json: its image is missing, got .*a\.jpg"):
        LabelMe(tmp_path, classes=["cat", "dog", "road"])[0]


def test_a_file_that_is_no_object_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ValueError, match=r"a\.json: must be an object with shapes, got \[\]"):
        LabelMe(tmp_path, classes=["dog"])[0]


def test_folders_and_classes_are_checked(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder, got '.*none'"):
        LabelMe(tmp_path / "none", classes=["dog"])
    with pytest.raises(ValueError, match="no JSON file in the folder, got"):
        LabelMe(tmp_path, classes=["dog"])
    write(tmp_path)
    with pytest.raises(ValueError, match=r"stuff must be classes, got \['sky'\]"):
        LabelMe(tmp_path, classes=["dog"], stuff=["sky"])
    dog = Category(name="dog", is_thing=True, color=(0, 0, 0), dataset_id=1)
    with pytest.raises(ValueError, match=r"catalogue says what is stuff, got stuff=\['dog'\]"):
        LabelMe(tmp_path, classes=["dog"], stuff=["dog"], categories=[dog])


def test_the_path_in_a_file_is_followed_before_it_is_compared(tmp_path):
    write(tmp_path / "in")
    write(tmp_path / "out")
    (tmp_path / "in" / "a.jpg").unlink()
    (tmp_path / "in" / "a.jpg").symlink_to(tmp_path / "out" / "a.jpg")
    with pytest.raises(ValueError, match="paths must stay inside"):
        LabelMe(tmp_path / "in", classes=["cat", "dog", "road"])[0]
