"""Preparing: rows by hand, resumed runs, and files that are not touched.

Mutants that must fail: the JSON written first; PNGs rewritten though right; broken PNGs kept; boxes
of stuff after painting; the order of workers in the file; an old JSON overwritten.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import minioneformer.data.prepare as module
from minioneformer.data.ade20k_writer import TOY_LABELS as ADE20K_LABELS
from minioneformer.data.ade20k_writer import write_ade20k
from minioneformer.data.cityscapes_writer import TOY_LABELS as CITYSCAPES_LABELS
from minioneformer.data.cityscapes_writer import write_cityscapes
from minioneformer.data.prepare import prepare
from minioneformer.data.toy import ToyPanoptic
from minioneformer.panoptic_png import read_panoptic_png, write_panoptic_png
from minioneformer.structures import PanopticSample, Segment

TOY = ToyPanoptic(length=6, size=(33, 50), seed=1)
SAMPLES = [TOY[i] for i in range(6)]


@pytest.fixture
def ade(tmp_path):
    write_ade20k(SAMPLES, tmp_path / "ade", labels=ADE20K_LABELS)
    write_ade20k(SAMPLES[:2], tmp_path / "ade", labels=ADE20K_LABELS, split="val")
    return tmp_path / "ade"


@pytest.fixture
def city(tmp_path):
    write_cityscapes(SAMPLES, tmp_path / "city", labels=CITYSCAPES_LABELS)
    return tmp_path / "city"


def counts(splits):
    return [(s.json_path.stem, s.written, s.kept, s.replaced) for s in splits]


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def one_sample(labels, image_id):
    """A wall or road, a bed or car over most of it."""
    return PanopticSample(
        image=torch.zeros(3, 2, 4, dtype=torch.uint8),
        segment_map=torch.tensor([[5, 5, 5, 5], [8, 8, 0, 5]]),
        segments=(Segment(id=5, label=labels[0]), Segment(id=8, label=labels[1])),
        image_id=image_id,
    )


def test_the_rows_of_ade20k_are_those_of_the_official_preparation(tmp_path):
    write_ade20k([one_sample((0, 7), 1)], tmp_path)
    # the class map knows the wall behind the bed, which counts for area and box of the wall
    semantic = tmp_path / "annotations" / "training" / "ADE_train_00000001.png"
    Image.fromarray(np.array([[1, 1, 1, 1], [1, 8, 0, 1]], np.uint8)).save(semantic)
    (split,) = prepare("ade20k", tmp_path)

    content = json.loads(split.json_path.read_text())
    assert content["images"] == [
        {
            "id": "ADE_train_00000001",
            "file_name": "ADE_train_00000001.jpg",
            "width": 4,
            "height": 2,
        }
    ]
    wall, bed = 120 + 256 * 120 + 65536 * 120, 204 + 256 * 5 + 65536 * 255
    assert content["annotations"] == [
        {
            "image_id": "ADE_train_00000001",
            "file_name": "ADE_train_00000001.png",
            "segments_info": [
                {"id": wall, "category_id": 0, "area": 6, "bbox": [0, 0, 4, 2], "iscrowd": 0},
                {"id": bed, "category_id": 7, "area": 2, "bbox": [0, 1, 2, 1], "iscrowd": 0},
            ],
        }
    ]
    assert len(content["categories"]) == 150
    assert content["categories"][48] == {
        "name": "skyscraper",
        "id": 48,
        "isthing": 0,
        "color": [140, 140, 200],
    }
    segment_map = read_panoptic_png(tmp_path / "ade20k_panoptic_train" / "ADE_train_00000001.png")
    assert segment_map.tolist() == [[wall] * 4, [bed, bed, 0, wall]]


def test_the_rows_of_cityscapes_are_those_of_the_official_preparation(tmp_path):
    write_cityscapes([one_sample((0, 13), "ulm_000000_000001")], tmp_path)
    shutil.rmtree(tmp_path / "leftImg8bit")  # not needed
    (split,) = prepare("cityscapes", tmp_path)

    content = json.loads(split.json_path.read_text())
    assert content["images"][0]["file_name"] == "ulm_000000_000001_gtFine_leftImg8bit.png"
    assert content["annotations"] == [
        {
            "image_id": "ulm_000000_000001",
            "file_name": "ulm_000000_000001_gtFine_panoptic.png",
            "segments_info": [
                {"id": 7, "category_id": 7, "area": 5, "bbox": [0, 0, 4, 2], "iscrowd": 0},
                {"id": 26000, "category_id": 26, "area": 2, "bbox": [0, 1, 2, 1], "iscrowd": 0},
            ],
        }
    ]
    assert len(content["categories"]) == 19
    assert content["categories"][11] == {
        "id": 24,
        "name": "person",
        "color": [220, 20, 60],
        "supercategory": "human",
        "isthing": 1,
    }


@pytest.mark.parity
def test_cityscapes_files_equal_those_of_the_official_tools(city, tmp_path):
    official = pytest.importorskip("cityscapesscripts.preparation.createPanopticImgs")
    group = one_sample((0, 13), "ulm_000000_000001")
    crowd = (group.segments[0], Segment(id=8, label=13, is_crowd=True))
    group = PanopticSample(
        image=group.image, segment_map=group.segment_map, segments=crowd, image_id="ulm_0_0"
    )
    for split in ("train", "val", "test"):  # it refuses a missing one
        write_cityscapes([group], city, split=split)
    prepare("cityscapes", city)
    (tmp_path / "official").mkdir()
    official.convert2panoptic(str(city / "gtFine"), str(tmp_path / "official"))

    for path in (tmp_path / "official").glob("*.json"):
        ours = city / "gtFine" / path.name
        assert json.loads(ours.read_text()) == json.loads(path.read_text())
        for png in path.with_suffix("").iterdir():
            expected = read_panoptic_png(png)
            assert torch.equal(read_panoptic_png(ours.with_suffix("") / png.name), expected)


@pytest.mark.parametrize("name", ["ade20k", "cityscapes"])
def test_a_second_run_and_any_number_of_workers_leave_the_same_files(name, ade, city):
    root = ade if name == "ade20k" else city
    copy = shutil.copytree(root, root.parent / "copy")
    first = prepare(name, root)
    before = contents(root)

    assert [s.written for s in first] == ([6, 2] if name == "ade20k" else [6])
    again = prepare(name, root)
    assert [(s.written, s.kept) for s in again] == [(0, s.written) for s in first]
    assert contents(root) == before
    prepare(name, copy, num_workers=3)
    assert contents(copy) == before


def test_a_stopped_run_leaves_whole_pngs_and_no_json_and_goes_on(ade, monkeypatch):
    expected_root = shutil.copytree(ade, ade.parent / "undisturbed")
    prepare("ade20k", expected_root)
    write, calls = module.write_bytes_atomically, []

    def stop_at_the_fourth(path, content):
        calls.append(path)
        if len(calls) == 4:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(module, "write_bytes_atomically", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        prepare("ade20k", ade)
    assert not list(ade.glob("*.json"))
    assert len(list((ade / "ade20k_panoptic_train").iterdir())) == 3
    monkeypatch.undo()

    result = prepare("ade20k", ade)
    assert counts(result)[0] == ("ade20k_panoptic_train", 3, 3, 0)
    assert contents(ade) == contents(expected_root)


def test_pngs_that_are_broken_or_of_something_else_are_replaced_and_counted(ade):
    prepare("ade20k", ade)
    expected = contents(ade)
    (ade / "ade20k_panoptic_train.json").unlink()
    folder = ade / "ade20k_panoptic_train"
    (folder / "ADE_train_00000001.png").write_bytes(b"half of it")
    write_panoptic_png(folder / "ADE_train_00000002.png", torch.ones(33, 50, dtype=torch.int64))
    (folder / "ADE_train_00000003.png").unlink()

    assert counts(prepare("ade20k", ade)) == [
        ("ade20k_panoptic_train", 1, 3, 2),
        ("ade20k_panoptic_val", 0, 2, 0),
    ]
    assert contents(ade) == expected


def test_a_json_of_other_images_is_not_touched(ade):
    prepare("ade20k", ade)
    json_path = ade / "ade20k_panoptic_train.json"
    before = json_path.read_bytes()
    (ade / "ade20k_panoptic_train" / "ADE_train_00000004.png").unlink()
    with pytest.raises(ValueError, match=r"train\.json: is there already, .*\['ADE_train_00000004"):
        prepare("ade20k", ade)
    shutil.rmtree(ade / "ade20k_panoptic_train")
    for kind in ("images", "annotations", "annotations_instance"):
        next((ade / kind / "training").glob("ADE_train_00000005.*")).unlink()
    with pytest.raises(ValueError, match="Delete it to prepare anew"):
        prepare("ade20k", ade)
    assert json_path.read_bytes() == before


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_broken_annotation_is_named_and_the_rest_stays_for_the_next_run(ade, num_workers):
    path = ade / "annotations" / "training" / "ADE_train_00000003.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    with pytest.raises(ValueError, match=r"PNG, got path='.*ADE_train_00000003\.png'"):
        prepare("ade20k", ade, num_workers=num_workers)
    assert not (ade / "ade20k_panoptic_train.json").exists()
    path.write_bytes(whole)
    assert counts(prepare("ade20k", ade))[0][2] >= 3


def save_as_png_with_a_flipped_bit(path):
    Image.new("RGB", (50, 33)).save(path, format="PNG")
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (save_as_png_with_a_flipped_bit, r"000003\.jpg': wrong checksum of part IDAT"),
        (lambda p: p.write_bytes(b"no"), r"not an image, got path='.*ADE_train_00000003\.jpg'"),
        (lambda p: Image.new("RGB", (50, 34)).save(p), r"000003\.jpg: .* one size, got .*\(34, 50"),
    ],
)
def test_an_image_that_does_not_fit_is_named(ade, spoil, message):
    spoil(ade / "images" / "training" / "ADE_train_00000003.jpg")
    with pytest.raises(ValueError, match=message):
        prepare("ade20k", ade)


def test_what_needs_no_preparation_is_left_alone(tmp_path):
    assert prepare("coco", tmp_path) == prepare("mapillary_vistas", tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_prepared_is_one_line_with_the_reason(tmp_path, ade):
    with pytest.raises(ValueError, match=r"got dataset='citiscapes'\. Did you mean 'cityscapes'"):
        prepare("citiscapes", tmp_path)
    with pytest.raises(ValueError, match=r"must be >= 0, got num_workers=-1"):
        prepare("ade20k", ade, num_workers=-1)
    with pytest.raises(FileNotFoundError, match=r"ADE20K is not there, got none of"):
        prepare("ade20k", tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"Cityscapes is not there, got no file .*gtFine/tr"
    ):
        prepare("cityscapes", tmp_path)
    shutil.rmtree(ade / "annotations_instance")
    with pytest.raises(FileNotFoundError, match=r"objects of ADE20K, a download of its own"):
        prepare("ade20k", ade)
