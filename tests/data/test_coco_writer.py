import json

import pytest
import torch

from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.panoptic_png import read_panoptic_png
from minioneformer.pixels import read_image
from minioneformer.structures import Category, PanopticSample, Segment

CATEGORIES = (
    Category(name="sky", is_thing=False, color=(1, 2, 3), dataset_id=40),
    Category(name="kite", is_thing=True, color=(4, 5, 6), dataset_id=7),
)
SEGMENT_MAP = torch.tensor(
    [
        [300, 300, 0, 0, 0],
        [300, 70000, 70000, 0, 9],
        [300, 70000, 300, 9, 9],
    ]
)
SEGMENTS = (
    Segment(id=300, label=0),
    Segment(id=70000, label=1),
    Segment(id=9, label=1, is_crowd=True),
)


def _sample(image_id=7, segment_map=SEGMENT_MAP, segments=SEGMENTS):
    image = torch.arange(3 * segment_map.numel(), dtype=torch.uint8).reshape(3, *segment_map.shape)
    return PanopticSample(
        image=image, segment_map=segment_map, segments=segments, image_id=image_id
    )


def test_the_annotation_file_is_the_one_worked_out_by_hand(tmp_path):
    path = write_coco_panoptic([_sample()], CATEGORIES, tmp_path, name="tiny")
    assert path == tmp_path / "annotations" / "panoptic_tiny.json"
    file_name = "000000000007.png"
    assert json.loads(path.read_text()) == {
        "images": [{"id": 7, "file_name": file_name, "width": 5, "height": 3}],
        "annotations": [
            {
                "image_id": 7,
                "file_name": file_name,
                "segments_info": [
                    {"id": 300, "category_id": 40, "area": 5, "bbox": [0, 0, 3, 3], "iscrowd": 0},
                    {"id": 70000, "category_id": 7, "area": 3, "bbox": [1, 1, 2, 2], "iscrowd": 0},
                    {"id": 9, "category_id": 7, "area": 3, "bbox": [3, 1, 2, 2], "iscrowd": 1},
                ],
            }
        ],
        "categories": [
            {"id": 40, "name": "sky", "isthing": 0, "color": [1, 2, 3]},
            {"id": 7, "name": "kite", "isthing": 1, "color": [4, 5, 6]},
        ],
    }


def test_images_and_maps_are_read_back_unchanged(tmp_path):
    sample = _sample(image_id="night sky")
    write_coco_panoptic([sample], CATEGORIES, str(tmp_path / "new" / "folder"))
    folder = tmp_path / "new" / "folder"
    assert torch.equal(read_image(folder / "train" / "night sky.png"), sample.image)
    png = folder / "panoptic_train" / "night sky.png"
    assert torch.equal(read_panoptic_png(png), sample.segment_map)


def test_an_all_void_image_and_an_empty_data_set_are_written(tmp_path):
    void = _sample(segment_map=torch.zeros(3, 5, dtype=torch.int64), segments=())
    path = write_coco_panoptic([void], CATEGORIES, tmp_path, name="void")
    assert json.loads(path.read_text())["annotations"][0]["segments_info"] == []
    path = write_coco_panoptic([], CATEGORIES, tmp_path, name="none")
    assert json.loads(path.read_text())["images"] == []


def test_a_data_set_that_is_there_is_not_overwritten(tmp_path):
    path = write_coco_panoptic([_sample()], CATEGORIES, tmp_path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"got '.*panoptic_train\.json'.*another folder"):
        write_coco_panoptic([_sample(8)], CATEGORIES, tmp_path)
    assert path.read_bytes() == before
    write_coco_panoptic([_sample(8)], CATEGORIES, tmp_path, name="val")


def test_a_run_that_stops_midway_leaves_no_annotation_file_and_can_be_repeated(tmp_path):
    def interrupted():
        yield _sample(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_coco_panoptic(interrupted(), CATEGORIES, tmp_path)
    assert list((tmp_path / "annotations").iterdir()) == []
    write_coco_panoptic([_sample(1), _sample(2)], CATEGORIES, tmp_path)
    assert [path.name for path in (tmp_path / "annotations").iterdir()] == ["panoptic_train.json"]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (_sample(segments=SEGMENTS[:2]), r"same ids.*got segments=\[300, 70000\].*\[9, 300, 70000"),
        (_sample(segments=(*SEGMENTS, Segment(id=5, label=0))), r"same ids.*image_id=7"),
        (_sample(segments=(*SEGMENTS, SEGMENTS[0])), r"once each"),
        (_sample(segments=(*SEGMENTS[:2], Segment(id=9, label=2))), r"0 \.\. 1, got segment.label"),
        (_sample(image_id="../outside"), r"plain file name, got image_id='\.\./outside'"),
        (_sample(image_id=""), r"plain file name, got image_id=''"),
    ],
)
def test_samples_that_contradict_themselves_are_refused(tmp_path, sample, message):
    with pytest.raises(ValueError, match=message):
        write_coco_panoptic([sample], CATEGORIES, tmp_path / "root")
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == []


def test_two_samples_with_one_id_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"two samples share an id, got image_id=7"):
        write_coco_panoptic([_sample(), _sample()], CATEGORIES, tmp_path)


def test_images_are_jpeg_files_if_so_asked(tmp_path):
    path = write_coco_panoptic([_sample()], CATEGORIES, tmp_path, image_suffix=".jpg")
    content = json.loads(path.read_text())
    assert content["images"][0]["file_name"] == "000000000007.jpg"
    assert content["annotations"][0]["file_name"] == "000000000007.png"
    assert (tmp_path / "train" / "000000000007.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    torch.testing.assert_close(
        read_panoptic_png(tmp_path / "panoptic_train" / "000000000007.png"), SEGMENT_MAP
    )


def test_another_kind_of_image_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"images end in \.png or \.jpg, got image_suffix='jpg'"):
        write_coco_panoptic([_sample()], CATEGORIES, tmp_path / "new", image_suffix="jpg")
    assert not (tmp_path / "new").exists()
