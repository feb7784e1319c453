"""Files as they should not be: each is read right, or refused by name, and all in one run.

Mutants that must fail: leave out the checksums of a PNG; open 16 bits as 8; read a palette's
indices as ids; ignore EXIF; stop at the first broken file; let a path leave the folder.
"""

import json
import random
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.data.check import check_dataset
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.coco_instance import CocoInstance
from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.data.mapillary import Mapillary
from minioneformer.data.miniature import write_miniature
from minioneformer.data.named import open_on_disk
from minioneformer.data.prepare import prepare
from minioneformer.evaluation.label_folder import LabelFolder
from minioneformer.label_png import read_byte_png, read_label_png, read_png_kind
from minioneformer.panoptic_png import id_to_rgb, read_panoptic_png, write_panoptic_png
from minioneformer.pixels import read_image
from minioneformer.structures import Category, PanopticSample, Segment

CATALOGUE = (
    Category(name="cat", is_thing=True, color=(220, 20, 60), dataset_id=7),
    Category(name="sky", is_thing=False, color=(70, 130, 180), dataset_id=3),
)
HEIGHT, WIDTH = 10, 14
TOP, BOTTOM = 2**24 - 1, 4  # ids
EXIF_ORIENTATION, QUARTER_TURN = 0x0112, 6


def make_sample(number):
    generator = torch.Generator().manual_seed(number)
    blocks = torch.randint(0, 256, (3, HEIGHT // 2, WIDTH // 2), generator=generator)
    segment_map = torch.full((HEIGHT, WIDTH), BOTTOM)
    segment_map[: HEIGHT // 2] = TOP
    segment_map[:, 0] = 0
    return PanopticSample(
        image=blocks.repeat_interleave(2, 1).repeat_interleave(2, 2).to(torch.uint8),
        segment_map=segment_map,
        segments=(Segment(id=TOP, label=0), Segment(id=BOTTOM, label=1)),
        image_id=number,
    )


def picture_of(path):
    with Image.open(path) as picture:
        return picture.convert("RGB")


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 12] ^= 4
    path.write_bytes(content)


def no_image(path):
    path.write_text("<html>not found</html>")


def empty(path):
    path.write_bytes(b"")


def grey_16(path):
    Image.fromarray(np.full((HEIGHT, WIDTH), 300, dtype=np.uint16)).save(path, format="PNG")


def float_tiff(path):
    Image.fromarray(np.full((HEIGHT, WIDTH), 0.5, dtype=np.float32)).save(path, format="TIFF")


def other_size(path):
    picture_of(path).resize((WIDTH, HEIGHT + 1)).save(path, format="PNG")


def turned_away(path):
    """Stored as annotated, but to be shown turned: annotation and image do not fit."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = QUARTER_TURN
    picture_of(path).save(path, format="JPEG", exif=exif)


def turned_upright(path):
    """Stored lying, to be shown upright as annotated."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = QUARTER_TURN
    picture_of(path).transpose(Image.Transpose.ROTATE_90).save(path, format="PNG", exif=exif)


def palette(path):
    picture_of(path).quantize(256).save(path, format="PNG")


def cmyk_jpeg(path):
    picture_of(path).convert("CMYK").save(path, format="JPEG", quality=100, subsampling=0)


def transparent(path):
    picture_of(path).convert("RGBA").save(path, format="PNG")


def grey(path):
    picture_of(path).convert("L").save(path, format="PNG")


def rgb_16(path):
    """Written by hand, since Pillow cannot: each byte of the ids twice."""
    rgb = id_to_rgb(read_panoptic_png(path)).movedim(0, -1).numpy().repeat(2, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in rgb)
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in parts.items():
        content += struct.pack(">I", len(data)) + name + data
        content += struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(content)


def missing(path):
    path.unlink()


def another_id(path):
    ids = read_panoptic_png(path)
    write_panoptic_png(path, ids.where(ids != BOTTOM, 9))


def folder_instead(path):
    path.unlink()
    path.mkdir()


IMAGES_REFUSED = (
    cut, flip_a_bit, no_image, empty, grey_16, float_tiff, other_size, turned_away, missing,
    folder_instead,
)  # fmt: skip
IMAGES_READ = (turned_upright, palette, cmyk_jpeg, transparent, grey)
PNGS_REFUSED = (
    cut, flip_a_bit, no_image, empty, grey_16, palette, transparent, grey, rgb_16, other_size,
    turned_away, missing, another_id, folder_instead,
)  # fmt: skip
ENTRIES_REFUSED = {
    "path traversal": ("images", {"file_name": "../../secret.png"}),
    "absolute path": ("annotations", {"file_name": "/etc/hostname"}),
    "two segments, one id": (
        "annotations",
        {"segments_info": [{"id": 4, "category_id": 7}, {"id": 4, "category_id": 3}]},
    ),
    "unknown class": ("annotations", {"segments_info": [{"id": 4, "category_id": 99}]}),
    "a segment that is none": ("annotations", {"segments_info": [None]}),
    "an id that means void": ("annotations", {"segments_info": [{"id": 0, "category_id": 7}]}),
}
BROKEN = [("train", change) for change in IMAGES_REFUSED]
BROKEN += [("panoptic_train", change) for change in PNGS_REFUSED]
READABLE = [("train", change) for change in IMAGES_READ]
COUNT = len(BROKEN) + len(READABLE) + len(ENTRIES_REFUSED) + 1  # the last one is untouched


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """A data set with one defect in each image but the last; the readable ones come first."""
    root = tmp_path_factory.mktemp("fuzz")
    json_path = write_coco_panoptic(map(make_sample, range(COUNT)), CATALOGUE, root, name="train")
    folders = {"train": root / "train", "panoptic_train": root / "annotations" / "panoptic_train"}
    if not folders["panoptic_train"].is_dir():
        folders["panoptic_train"] = root / "panoptic_train"
    for number, (folder, change) in enumerate(READABLE + BROKEN):
        change(folders[folder] / f"{number:012}.png")
    content = json.loads(json_path.read_text())
    for number, (where, values) in enumerate(ENTRIES_REFUSED.values(), len(READABLE + BROKEN)):
        content[where][number].update(values)
    json_path.write_text(json.dumps(content))
    return CocoPanoptic.from_root(root, "train")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_one_run_lists_every_broken_file_by_name(fuzzed, num_workers):
    report = check_dataset(fuzzed, num_workers=num_workers, progress=False)

    refused = range(len(READABLE), COUNT - 1)
    assert [problem.index for problem in report.errors] == list(refused)
    for problem in report.errors:
        named = f"{problem.index:012}.png" in problem.message
        assert named or f"panoptic_train.json, image {problem.index}" in problem.message
        assert "\n" not in problem.message
    assert report.images == COUNT
    assert sum(report.sizes.values()) == len(READABLE) + 1


@pytest.mark.parametrize("number", range(len(READABLE)), ids=[c.__name__ for _, c in READABLE])
def test_unusual_images_are_read_right(fuzzed, number):
    sample, expected = fuzzed[number], make_sample(number)

    assert torch.equal(sample.segment_map, expected.segment_map)
    image = expected.image
    if READABLE[number][1] is grey:
        picture = Image.fromarray(image.movedim(0, -1).numpy()).convert("L")
        image = torch.from_numpy(np.array(picture)).expand(3, -1, -1)
    # CMYK goes through JPEG; everything else is exact
    tolerance = 24 if READABLE[number][1] is cmyk_jpeg else 0
    assert (sample.image.int() - image.int()).abs().max() <= tolerance


def write_labels(path, values):
    Image.fromarray(values.numpy().astype(np.uint8)).save(path)


def read_scored_labels(path):
    folder = LabelFolder(path.parent, num_classes=9, ignore_index=255)
    return folder.read(path.name, outside=-1)


def write_scored_segments(path, segment_map):
    write_panoptic_png(path, segment_map)
    segments = [{"id": i, "category_id": i} for i in range(1, 9)]
    content = {
        "annotations": [{"image_id": 1, "file_name": path.name, "segments_info": segments}],
        "categories": [{"id": i, "name": str(i), "isthing": 0} for i in range(9)],
    }
    path.parent.with_name(f"{path.parent.name}.json").write_text(json.dumps(content))


def read_mapillary(path):
    return Mapillary(path.parents[2], form="instances")[0].segment_map


def write_mapillary_instances(path, values):
    Image.fromarray((256 * values).numpy().astype(np.uint16)).save(path)
    height, width = values.shape
    image_dir = path.parents[1] / "images"
    image_dir.mkdir(exist_ok=True)
    Image.new("RGB", (width, height)).save(image_dir / f"{path.stem}.jpg")


@pytest.mark.parametrize(
    ("write", "reader"),
    [
        (write_panoptic_png, read_panoptic_png),
        (write_panoptic_png, read_image),
        (write_panoptic_png, read_byte_png),
        (write_panoptic_png, read_png_kind),
        (write_labels, read_label_png),
        (write_labels, read_image),
        (write_labels, read_png_kind),
        (write_labels, read_scored_labels),
        (write_scored_segments, read_scored_labels),
        (write_mapillary_instances, read_mapillary),
    ],
)
def test_no_flipped_bit_and_no_cut_of_a_png_gives_other_pixels(tmp_path, write, reader):
    folder = tmp_path / "training" / "instances"
    folder.mkdir(parents=True)
    path = folder / "a.png"
    write(path, torch.arange(35).view(5, 7) % 9)
    content, expected = path.read_bytes(), torch.as_tensor(reader(path))
    damaged = [content[:length] for length in range(0, len(content), 3)]
    for bit in range(0, 8 * len(content), 5):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))

    refused = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            assert torch.equal(torch.as_tensor(reader(path)), expected)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 0.8 * len(damaged)


@pytest.mark.parametrize(
    ("layout", "folder"),
    [
        ("coco", "panoptic_train2017"),
        ("ade20k", "annotations/training"),
        ("ade20k", "annotations_instance/training"),
        ("ade20k", "ade20k_panoptic_train"),
        ("cityscapes", "leftImg8bit/train/toytown"),
        ("cityscapes", "gtFine/train/toytown"),
        ("cityscapes", "gtFine/cityscapes_panoptic_train"),
        ("mapillary_vistas", "training/panoptic"),
    ],
)
def test_a_flipped_bit_is_found_in_every_layout(tmp_path, layout, folder):
    root = write_miniature(layout, tmp_path, images=3, size=(20, 28))
    if "_panoptic_" in folder:
        prepare(layout, root)
    path = sorted(p for p in (root / folder).glob("*.png") if "labelIds" not in p.name)[1]
    flip_a_bit(path)
    report = check_dataset(open_on_disk(layout, root, "train"), num_workers=0, progress=False)

    (problem,) = report.errors
    assert problem.index == 1
    assert str(path) in problem.message
    assert "wrong checksum" in problem.message


def test_a_damaged_jpeg_is_an_image_or_refused_by_name(tmp_path):
    path = tmp_path / "a.jpg"
    picture = Image.fromarray(make_sample(0).image.movedim(0, -1).numpy())
    picture.save(path, format="JPEG")
    content = path.read_bytes()
    draw = random.Random(0)
    outcomes = set()
    for _ in range(150):
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged[: draw.choice([len(damaged), draw.randrange(len(damaged))])])
        try:
            outcomes.add(read_image(path).dtype)
        except ValueError as error:
            assert str(path) in str(error)
            outcomes.add("refused")
    assert outcomes == {torch.uint8, "refused"}


POLYGON = [1, 1, 9, 1, 9, 6]
BROKEN_MASKS = {
    "nan": [[1.0, float("nan"), 9.0, 1.0, 9.0, 6.0]],
    "infinite": [[1.0, float("inf"), 9.0, 1.0, 9.0, 6.0]],
    "odd": [[1, 1, 9, 1, 9]],
    "words": [["a", 1, 9, 1, 9, 6]],
    "run lengths of another size": {"size": [3, 3], "counts": [1, 8]},
    "run lengths too long": {"size": [HEIGHT, WIDTH], "counts": [1, 8000]},
    "bytes that are none": {"size": [HEIGHT, WIDTH], "counts": "\x00\x01"},
}


def test_one_run_lists_every_broken_mask_of_objects(tmp_path):
    masks = [[POLYGON], *BROKEN_MASKS.values()]
    names = [f"{number}.png" for number in range(len(masks))] + ["../0.png"]
    for name in names[:-1]:
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / name)
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [
            {"id": 100 + i, "image_id": i, "category_id": 1, "segmentation": mask}
            for i, mask in enumerate(masks)
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    json_path = tmp_path / "instances.json"
    json_path.write_text(json.dumps(content))
    report = check_dataset(
        CocoInstance(json_path, image_dir=tmp_path), num_workers=0, progress=False
    )

    assert [problem.index for problem in report.errors] == list(range(1, len(names)))
    for problem in report.errors:
        assert f"instances.json, image {problem.index}" in problem.message
    assert report.classes[0].segments == 1
