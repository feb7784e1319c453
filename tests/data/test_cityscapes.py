"""Cityscapes from disk as downloaded: miniatures, tiny official layouts, broken files.

Mutants that must fail: label ids read though instance ids are there; crowds as objects; images of
another split; a prepared file preferred without its folder.
"""

import shutil

import pytest
import torch
from PIL import Image

from minioneformer.data.categories import class_names, load_catalog
from minioneformer.data.cityscapes import Cityscapes
from minioneformer.data.cityscapes_panoptic import CityscapesPanoptic
from minioneformer.data.cityscapes_writer import TOY_LABELS, write_cityscapes
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.prepare import prepare
from minioneformer.data.targets import target_for_task
from minioneformer.data.toy import ToyPanoptic
from minioneformer.structures import TASKS, Category, PanopticSample, Segment
from minioneformer.text.text_list import text_list

CATALOG = load_catalog("cityscapes")
THIRD = "toytown/toytown_000000_000002"


@pytest.fixture(scope="module")
def toy():
    return ToyPanoptic(length=4, size=(33, 50), seed=3)


@pytest.fixture(scope="module")
def written(toy, tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "cityscapes"
    write_cityscapes(list(toy), root, labels=TOY_LABELS)
    write_cityscapes([toy[1]], root, labels=TOY_LABELS, split="val", city="elsewhere")
    return root


@pytest.fixture
def root(written, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "city")


def masks(sample, labels=None):
    """Each segment as (label, crowd, its pixels), in no order."""
    return sorted(
        (
            s.label if labels is None else labels[s.label],
            s.is_crowd,
            (sample.segment_map == s.id).tolist(),
        )
        for s in sample.segments
    )


def test_a_miniature_is_what_was_written(written, toy):
    dataset = Cityscapes.from_root(written, "train")

    assert (len(dataset), dataset.unannotated, dataset.tasks) == (4, 0, TASKS)
    assert dataset.categories == CATALOG
    for expected, sample in zip(toy, dataset, strict=True):
        assert torch.equal(sample.image, expected.image)
        assert masks(sample) == masks(expected, TOY_LABELS)
    assert dataset[2].image_id == "toytown_000000_000002"
    assert dataset[2].file_name == f"{THIRD}_leftImg8bit.png"


def test_a_group_is_a_crowd_and_void_stays_void(tmp_path):
    segment_map = torch.tensor([[0, 5, 5], [9, 9, 2], [9, 2, 2]])
    segments = (
        Segment(id=5, label=13, is_crowd=True),
        Segment(id=9, label=13),
        Segment(id=2, label=10),
    )
    image = torch.zeros(3, 3, 3, dtype=torch.uint8)
    sample = PanopticSample(
        image=image, segment_map=segment_map, segments=segments, image_id="ulm_000001_000002"
    )
    write_cityscapes([sample], tmp_path, split="val")
    read = Cityscapes.from_root(tmp_path, "val")[0]

    assert masks(read) == masks(sample)
    assert read.segment_map.tolist() == [[0, 26, 26], [26000, 26000, 23], [26000, 23, 23]]
    assert target_for_task(read, "instance", CATALOG).labels.tolist() == [13]


def test_each_split_has_its_own_folders_also_from_the_folder_above(written):
    for root in (written, written.parent):
        ids = [sample.image_id for sample in Cityscapes.from_root(root, "val")]
        assert ids == ["elsewhere_000000_000001"]


def test_with_label_ids_alone_it_teaches_the_semantic_task_alone(root):
    whole = Cityscapes.from_root(root, "train")[2]
    for path in root.rglob("*_instanceIds.png"):
        path.unlink()
    dataset = Cityscapes.from_root(root, "train")

    assert dataset.tasks == ("semantic",)
    expected = target_for_task(whole, "semantic", CATALOG)
    target = target_for_task(dataset[2], "semantic", CATALOG)
    assert torch.equal(target.labels, expected.labels)  # both by label id
    assert torch.equal(target.masks, expected.masks)


def test_prepared_files_are_used_and_give_the_same_samples(root):
    downloaded = list(Cityscapes.from_root(root, "train"))
    prepare("cityscapes", root)
    dataset = Cityscapes.from_root(root, "train")

    assert isinstance(dataset, CityscapesPanoptic)
    for expected, sample in zip(downloaded, dataset, strict=True):
        assert sample.segments == expected.segments
        assert torch.equal(sample.segment_map, expected.segment_map)
        assert torch.equal(sample.image, expected.image)
        assert (sample.image_id, sample.file_name) == (expected.image_id, expected.file_name)
    shutil.rmtree(root / "gtFine" / "cityscapes_panoptic_train")
    assert isinstance(Cityscapes.from_root(root, "train"), Cityscapes)


def test_targets_and_texts_are_those_of_the_same_annotation_as_coco_panoptic(written, tmp_path):
    toy = ToyPanoptic(length=4, size=(33, 50), seed=3)
    toy.write_coco_panoptic(tmp_path)
    coco = CocoPanoptic.from_root(tmp_path, "train")
    names = class_names(CATALOG)
    translated = [names[label] for label in TOY_LABELS]
    for expected, sample in zip(coco, Cityscapes.from_root(written, "train"), strict=True):
        for task in TASKS:
            theirs = target_for_task(expected, task, coco.categories)
            ours = target_for_task(sample, task, CATALOG)
            assert sorted(
                zip(ours.labels.tolist(), ours.masks.flatten(1).tolist(), strict=True)
            ) == sorted(
                (TOY_LABELS[label], mask)
                for label, mask in zip(
                    theirs.labels.tolist(), theirs.masks.flatten(1).tolist(), strict=True
                )
            )
            assert sorted(text_list(ours.labels.tolist(), names)) == sorted(
                text_list(theirs.labels.tolist(), translated)
            )


def test_given_categories_decide_the_labels(written):
    usual = Cityscapes.from_root(written, "train")[0]
    turned = Cityscapes.from_root(written, "train", categories=CATALOG[::-1])[0]
    assert [18 - s.label for s in turned.segments] == [s.label for s in usual.segments]

    other = (Category(name="cat", is_thing=True, color=(1, 2, 3), dataset_id=7),)
    with pytest.raises(ValueError, match=r"categories must cover the file's, got category ids"):
        Cityscapes.from_root(written, "train", categories=other)


TINY = [
    ("dataset", "train", "defaultcity_000002_000045", [[0, 0, 24, 0, 0]], [(24, 11, True)]),
    ("dataset", "val", "defaultcity_000001_000019", [[0] * 5], []),
    ("dataset", "test", "defaultcity_000001_000031", [[0, 0, 27, 27, 27]], [(27, 14, True)]),
    ("train_dataset", "train", "defaultcity_000002_000045", [[0, 0, 24001, 0, 0]], [(24001, 11)]),
    ("train_dataset", "val", "defaultcity_000001_000019", [[0] * 5], []),  # 1024: ego vehicle
    (
        "train_dataset",
        "test",
        "defaultcity_000001_000031",
        [[0, 0, 27001, 27002, 27002]],
        [(27001, 14), (27002, 14)],
    ),
]


@pytest.mark.parametrize(("folder", "split", "image_id", "segment_map", "segments"), TINY)
def test_tiny_files_in_the_official_layout_load(
    shared_data, folder, split, image_id, segment_map, segments
):
    root = shared_data / "datumaro_assets" / "cityscapes_dataset" / folder
    sample = Cityscapes.from_root(root, split)[0]

    assert sample.image_id == image_id
    assert sample.segment_map.tolist() == segment_map
    expected = [(i, label, bool(crowd)) for i, label, *crowd in segments]
    assert [(s.id, s.label, s.is_crowd) for s in sample.segments] == expected


def test_splits_and_folders_that_are_not_there_are_named(root):
    with pytest.raises(ValueError, match=r"splits of Cityscapes are train, val, test, got split='"):
        Cityscapes.from_root(root, "training")
    with pytest.raises(FileNotFoundError, match=r"none of: .*/leftImg8bit/test, .*/cityscapes/"):
        Cityscapes.from_root(root, "test")
    shutil.rmtree(root / "gtFine" / "train")
    with pytest.raises(FileNotFoundError, match=r"no such folder, got '.*gtFine/train'"):
        Cityscapes.from_root(root, "train")
    (root / "gtFine" / "train").mkdir()
    with pytest.raises(ValueError, match=r"gtFine/train: needs files \*_gtFine_instanceIds\.png"):
        Cityscapes.from_root(root, "train")


def test_an_annotation_without_image_is_named_and_an_image_without_annotation_counted(root):
    (root / "gtFine" / "train" / f"{THIRD}_gtFine_instanceIds.png").unlink()
    dataset = Cityscapes.from_root(root, "train")
    assert (len(dataset), dataset.unannotated) == (3, 1)
    (root / "leftImg8bit" / "train" / "toytown" / "toytown_000000_000003_leftImg8bit.png").unlink()
    with pytest.raises(ValueError, match=r"needs an image .*got none for \['toytown_000000_00000"):
        Cityscapes.from_root(root, "train")


def test_two_files_of_one_id_are_named(root):
    city = root / "gtFine" / "train"
    shutil.copytree(city / "toytown", city / "copy")
    with pytest.raises(ValueError, match=r"must be unique, got twice \['toytown_000000_000000'"):
        Cityscapes.from_root(root, "train")


def cut(path):
    path.write_bytes(path.read_bytes()[:40])


def coloured(path):
    Image.new("RGB", (50, 33)).save(path)


def smaller(path):
    Image.open(path).crop((0, 0, 49, 33)).save(path)


def train_ids(path):
    Image.new("L", (50, 33), 255).save(path)


@pytest.mark.parametrize(
    ("part", "spoil", "message"),
    [
        ("leftImg8bit", cut, r"image.*, got path='.*toytown_000000_000002_leftImg8bit\.png'"),
        ("gtFine", cut, r"PNG, got path='.*toytown_000000_000002_gtFine_instanceIds\.png'"),
        ("gtFine", coloured, r"one channel, .*got 8 bits per channel, RGB, in .*000002_gtFine"),
        ("gtFine", smaller, r"000002_gtFine_instanceIds\.png: .* one size.*\(33, 49\)"),
        ("gtFine", train_ids, r"000002_gtFine_instanceIds\.png: values must be label ids.*\[255\]"),
    ],
)
def test_a_broken_file_is_one_line_with_its_name(root, part, spoil, message):
    end = "leftImg8bit" if part == "leftImg8bit" else "gtFine_instanceIds"
    spoil(root / part / "train" / f"{THIRD}_{end}.png")
    dataset = Cityscapes.from_root(root, "train")

    assert dataset[1].image_id == "toytown_000000_000001"
    with pytest.raises(ValueError, match=message) as caught:
        dataset[2]
    assert "\n" not in str(caught.value)
