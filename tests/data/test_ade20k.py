"""ADE20K from disk: miniatures, the published sample, other layouts, broken files.

Mutants that must fail: labels from raw values without the shift; instance folder of the other
split; a prepared file preferred without its folder; labels of the catalogue despite given ones.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as run_lengths

from minioneformer.data.ade20k import Ade20k
from minioneformer.data.ade20k_writer import TOY_LABELS, write_ade20k
from minioneformer.data.categories import ade20k_instance_labels, class_names, load_catalog
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.prepare import prepare
from minioneformer.data.targets import target_for_task
from minioneformer.data.toy import ToyPanoptic
from minioneformer.evaluation.average_precision import AveragePrecision
from minioneformer.evaluation.score_instance import score_instance_files
from minioneformer.structures import TASKS, Category, InstancePrediction
from minioneformer.text.text_list import text_list

CATALOG = load_catalog("ade20k")


@pytest.fixture(scope="module")
def toy():
    return ToyPanoptic(length=5, size=(33, 50), seed=3)


@pytest.fixture(scope="module")
def written(toy, tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_ade20k(list(toy), root / "ADEChallengeData2016", labels=TOY_LABELS)
    write_ade20k([toy[0]], root / "ADEChallengeData2016", labels=TOY_LABELS, split="val")
    return root / "ADEChallengeData2016"


@pytest.fixture
def root(written, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "ade")


def masks(sample, labels=None):
    """Each segment as (label, its pixels), in no order: ids are free, masks are not."""
    return sorted(
        (s.label if labels is None else labels[s.label], mask.tolist())
        for s in sample.segments
        if (mask := (sample.segment_map == s.id).flatten().nonzero().flatten()).numel()
    )


def test_a_miniature_has_the_segments_that_were_written(written, toy):
    dataset = Ade20k.from_root(written, "train")

    assert (len(dataset), dataset.unannotated, dataset.tasks) == (5, 0, TASKS)
    assert dataset.categories == CATALOG
    for expected, sample in zip(toy, dataset, strict=True):
        assert masks(sample) == masks(expected, TOY_LABELS)
        assert not any(s.is_crowd for s in sample.segments)
        difference = sample.image.float() - expected.image.float()
        assert difference.abs().mean() < 8  # JPEG
    assert dataset[1].image_id == "ADE_train_00000001"
    assert dataset[1].file_name == "ADE_train_00000001.jpg"


def test_each_split_has_its_own_folders_also_from_the_folder_above(written):
    for root in (written, written.parent):
        dataset = Ade20k.from_root(root, "val")
        assert [sample.image_id for sample in dataset] == ["ADE_val_00000000"]


def test_without_objects_it_teaches_the_semantic_task_alone(root, toy):
    whole = Ade20k.from_root(root, "train")[1]
    shutil.rmtree(root / "annotations_instance")
    dataset = Ade20k.from_root(root, "train")
    sample = dataset[1]

    assert dataset.tasks == ("semantic",)
    raw = np.array(Image.open(root / "annotations" / "training" / "ADE_train_00000001.png"))
    assert torch.equal(sample.segment_map, torch.from_numpy(raw).long())
    assert [s.id - 1 for s in sample.segments] == [s.label for s in sample.segments]
    expected = target_for_task(whole, "semantic", CATALOG)
    target = target_for_task(sample, "semantic", CATALOG)
    order = expected.labels.argsort()
    assert torch.equal(target.labels, expected.labels[order])
    assert torch.equal(target.masks, expected.masks[order])


def test_prepared_files_are_used_and_give_the_same_samples(root):
    downloaded = list(Ade20k.from_root(root, "train"))
    prepare("ade20k", root)
    dataset = Ade20k.from_root(root, "train")

    assert isinstance(dataset, CocoPanoptic)
    assert (dataset.categories, dataset.tasks) == (CATALOG, TASKS)
    for expected, sample in zip(downloaded, dataset, strict=True):
        assert sample.segments == expected.segments
        assert torch.equal(sample.segment_map, expected.segment_map)
        assert torch.equal(sample.image, expected.image)
        assert (sample.image_id, sample.file_name) == (expected.image_id, expected.file_name)
    shutil.rmtree(root / "ade20k_panoptic_train")
    assert isinstance(Ade20k.from_root(root, "train"), Ade20k)


def test_targets_and_texts_are_those_of_the_same_annotation_as_coco_panoptic(root, toy, tmp_path):
    toy.write_coco_panoptic(tmp_path / "coco")
    coco = CocoPanoptic.from_root(tmp_path / "coco", "train")
    names = class_names(CATALOG)
    translated = [names[label] for label in TOY_LABELS]
    for expected, sample in zip(coco, Ade20k.from_root(root, "train"), strict=True):
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


def test_given_categories_decide_the_labels_downloaded_and_prepared(root):
    reversed_categories = CATALOG[::-1]
    downloaded = Ade20k.from_root(root, "train", categories=reversed_categories)[0]
    usual = Ade20k.from_root(root, "train")[0]
    assert [149 - s.label for s in downloaded.segments] == [s.label for s in usual.segments]
    prepare("ade20k", root)
    prepared = Ade20k.from_root(root, "train", categories=reversed_categories)[0]
    assert prepared.segments == downloaded.segments

    other = (Category(name="cat", is_thing=True, color=(1, 2, 3), dataset_id=7),)
    for split in ("train", "val"):
        with pytest.raises(ValueError, match=r"categories must cover the file's, got category ids"):
            Ade20k.from_root(root, split, categories=other)


def test_stuff_that_objects_cover_is_listed_downloaded_and_prepared(root):
    stem = "training/ADE_train_00000000.png"
    Image.new("L", (50, 33), 3).save(root / "annotations" / stem)
    Image.new("RGB", (50, 33), (1, 1, 0)).save(root / "annotations_instance" / stem)
    downloaded = Ade20k.from_root(root, "train")[0]
    prepare("ade20k", root)

    assert [(s.label, s.area) for s in downloaded.segments] == [(2, 1650), (7, 1650)]
    assert Ade20k.from_root(root, "train")[0].segments == downloaded.segments
    assert target_for_task(downloaded, "panoptic", CATALOG).labels.tolist() == [7]


def test_the_published_sample_is_read_with_its_label_shifted_by_one(shared_data):
    folder = shared_data / "sceneparsing_sample"
    dataset = Ade20k(image_dir=folder / "images", semantic_dir=folder / "annotations")
    reference = json.loads((folder / "reference.json").read_text())
    present = set()
    for sample in dataset:
        raw = np.array(Image.open(folder / "annotations" / f"{sample.image_id}.png"))
        label_map = torch.full(sample.segment_map.shape, 255)
        for s in sample.segments:
            label_map[sample.segment_map == s.id] = s.label
        # reduce-zero-label: subtract one in bytes, so that 0 becomes 255
        assert np.array_equal(label_map.numpy(), raw - np.uint8(1))
        present |= {s.label for s in sample.segments}

    assert [tuple(s.image.shape[1:]) for s in dataset] == [(512, 683), (364, 500), (300, 400)]
    counted = reference["recomputed_here_with_numpy"]
    assert len(present) == counted["classes_present"] == 15
    assert len(present) / 150 == pytest.approx(counted["mean_iou_150"])  # of perfect predictions


@pytest.mark.parametrize("year", ["2017", "2020"])
@pytest.mark.parametrize("variant", ["dataset", "dataset_with_meta_file"])
def test_the_full_data_set_is_refused_by_name(shared_data, year, variant):
    folder = shared_data / "datumaro_assets" / f"ade20k{year}_dataset" / variant
    with pytest.raises(ValueError, match=r"looks like the full ADE20K of 2017 or 2020.*got data_r"):
        Ade20k.from_root(folder, "train")
    with pytest.raises(ValueError, match="looks like the full ADE20K"):
        prepare("ade20k", folder)


def test_splits_and_folders_that_are_not_there_are_named(tmp_path, root):
    with pytest.raises(ValueError, match=r"splits of ADE20K are train and val, got split='test'"):
        Ade20k.from_root(root, "test")
    with pytest.raises(FileNotFoundError, match=r"none of: .*nowhere/images/training, .*2016"):
        Ade20k.from_root(tmp_path / "nowhere", "train")
    shutil.rmtree(root / "annotations" / "training")
    with pytest.raises(FileNotFoundError, match=r"no such folder, got '.*annotations/training'"):
        Ade20k.from_root(root, "train")
    with pytest.raises(FileNotFoundError, match=r"no such folder, got '.*objects'"):
        Ade20k(
            image_dir=root / "images" / "validation",
            semantic_dir=root / "annotations" / "validation",
            instance_dir=root / "objects",
        )


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("annotations_instance", r"annotations_instance/training: every map in .*got none for .*1"),
        ("images", r"annotations/training: every PNG must have an image"),
        ("annotations", r"annotations_instance/training: .*needs a map of classes in .*_00000001"),
    ],
)
def test_files_without_their_partner_are_named_when_the_data_set_is_made(root, removed, message):
    suffix = ".jpg" if removed == "images" else ".png"
    (root / removed / "training" / f"ADE_train_00000001{suffix}").unlink()
    with pytest.raises(ValueError, match=message):
        Ade20k.from_root(root, "train")


def test_an_image_without_any_annotation_is_left_out_and_counted(root):
    for kind in ("annotations", "annotations_instance"):
        (root / kind / "training" / "ADE_train_00000001.png").unlink()
    dataset = Ade20k.from_root(root, "train")
    assert (len(dataset), dataset.unannotated) == (4, 1)


def cut(path):
    path.write_bytes(path.read_bytes()[:40])


def grey(path):
    Image.open(path).convert("L").save(path)


def smaller(path):
    Image.open(path).crop((0, 0, 49, 33)).save(path)


def shifted(path):
    Image.fromarray(np.array(Image.open(path)) - np.uint8(1)).save(path)


@pytest.mark.parametrize(
    ("kind", "spoil", "message"),
    [
        ("images", cut, r"(broken|not an) image.*training/ADE_train_00000002\.jpg"),
        ("annotations", cut, r"PNG, got path='.*annotations/training/ADE_train_00000002\.png"),
        ("annotations_instance", cut, r"PNG, got path='.*instance/training/ADE_train_00000002"),
        ("annotations_instance", grey, r"got 8 bits per channel, grey, in .*ADE_train_00000002"),
        ("annotations", smaller, r"ADE_train_00000002\.png: .* one size.*\(33, 49\)"),
        ("annotations_instance", smaller, r"_instance/.*ADE_train_00000002\.png: .* one size"),
        ("annotations", shifted, r"ADE_train_00000002\.png: values must be 0 \.\. 150"),
    ],
)
def test_a_broken_file_is_one_line_with_its_name(root, kind, spoil, message):
    suffix = ".jpg" if kind == "images" else ".png"
    if spoil is shifted:  # the toy has void pixels, but perhaps not in this image
        path = root / kind / "training" / "ADE_train_00000002.png"
        raw = np.array(Image.open(path))
        raw[0, 0] = 0
        Image.fromarray(raw).save(path)
    spoil(root / kind / "training" / f"ADE_train_00000002{suffix}")
    dataset = Ade20k.from_root(root, "train")

    assert dataset[1].image_id == "ADE_train_00000001"
    with pytest.raises(ValueError, match=message) as caught:
        dataset[2]
    assert "\n" not in str(caught.value)


def packed(mask):
    runs = run_lengths.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": runs["size"], "counts": runs["counts"].decode()}


def official_instance_file(root, path):
    """As `ade20k_instance_train.json` is made: an object for each green value of a PNG."""
    label_of = ade20k_instance_labels()
    images, objects = [], []
    for png in sorted((root / "annotations_instance" / "training").glob("*.png")):
        red, green, _ = np.moveaxis(np.array(Image.open(png)), -1, 0)
        height, width = red.shape
        images.append({"id": png.stem, "height": height, "width": width, "file_name": png.name})
        for number in sorted(set(green.ravel().tolist()) - {0}):
            mask = green == number
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": png.stem,
                    "category_id": label_of[int(red[mask][0])],
                    "segmentation": packed(mask),
                    "area": int(mask.sum()),
                    "bbox": [0, 0, 1, 1],
                    "iscrowd": 0,
                }
            )
    things = [{"id": c.dataset_id, "name": c.name} for c in CATALOG if c.is_thing]
    content = {"images": images, "annotations": objects, "categories": things}
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("prepared", [False, True])
def test_instance_ap_is_that_against_the_official_instance_file(root, tmp_path, prepared):
    """Mutant that must fail: objects cut to where the map of classes has their class."""
    for png in (root / "annotations" / "training").glob("*.png"):  # it is off at all borders
        Image.fromarray(np.roll(np.array(Image.open(png)), 3, axis=1)).save(png)
    official_instance_file(root, tmp_path / "true.json")
    if prepared:
        prepare("ade20k", root)
    rng = np.random.default_rng(0)
    metric, results = AveragePrecision(CATALOG), []
    for sample in Ade20k.from_root(root, "train"):
        no_pixel = torch.zeros_like(sample.segment_map, dtype=torch.bool)
        things = [s for s in sample.segments if CATALOG[s.label].is_thing]
        found = [
            (s.label, (sample.segment_map == s.id).roll(i % 3, 0)) for i, s in enumerate(things)
        ]
        found += [(TOY_LABELS[3], mask) for _, mask in found[:1]]  # also as a ball
        scores = torch.from_numpy(rng.permutation(len(found)) + rng.random()).float() / 100
        metric.update(
            InstancePrediction(
                masks=torch.stack([no_pixel, *(mask for _, mask in found)])[1:],
                labels=torch.tensor([label for label, _ in found], dtype=torch.int64),
                scores=scores,
                queries=torch.arange(len(found)),
            ),
            sample.segment_map,
            sample.segments,
            image_id=sample.image_id,
        )
        results += [
            {
                "image_id": sample.image_id,
                "category_id": CATALOG[label].dataset_id,
                "segmentation": packed(mask.numpy()),
                "score": float(score),
            }
            for (label, mask), score in zip(found, scores, strict=True)
        ]
    (tmp_path / "found.json").write_text(json.dumps(results))
    official = score_instance_files(tmp_path / "true.json", tmp_path / "found.json")

    ours = metric.compute()
    names = {"AP": ours.ap, "AP50": ours.ap50, "AP75": ours.ap75, "APs": ours.ap_small}
    names |= {"AR1": ours.ar1, "AR10": ours.ar10, "AR100": ours.ar100, "ARs": ours.ar_small}
    assert {name: official[name] for name in names} == pytest.approx(names)
    assert 0.2 < ours.ap < 0.9
