"""Reading the COCO panoptic layout: what a writer wrote, real files, and files that lie.

Mutants that must fail: skip the path check; compare paths before following links; skip one of
the two id checks; drop crowds; take labels from category ids.
"""

import json

import pytest
import torch

from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.panoptic_png import write_panoptic_png
from minioneformer.structures import Category, PanopticSample, Segment

CATALOGUE = (
    Category(name="cat", is_thing=True, color=(220, 20, 60), dataset_id=7),
    Category(name="sky", is_thing=False, color=(70, 130, 180), dataset_id=3),
)


def make_sample(rng, image_id):
    return PanopticSample(
        image=torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=rng),
        segment_map=torch.tensor([[0, 0, 0, 4, 4, 4, 2**24 - 1]] * 5),
        segments=(Segment(id=2**24 - 1, label=0, is_crowd=True), Segment(id=4, label=1)),
        image_id=image_id,
    )


@pytest.fixture
def written(tmp_path, rng):
    """A data set of two images on disk, with its samples."""
    samples = [make_sample(rng, 11), make_sample(rng, "b")]
    write_coco_panoptic(samples, CATALOGUE, tmp_path, name="train")
    return tmp_path, samples


def edit(root, change):
    path = root / "annotations" / "panoptic_train.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_what_was_written_is_read_back(written):
    root, samples = written
    dataset = CocoPanoptic.from_root(root, "train")

    assert dataset.categories == CATALOGUE
    assert len(dataset) == 2
    assert dataset.unannotated == 0
    for expected, sample in zip(samples, dataset, strict=True):
        assert torch.equal(sample.image, expected.image)
        assert torch.equal(sample.segment_map, expected.segment_map)
        assert sample.segment_map.dtype == torch.int64
        assert sample.image_id == expected.image_id
        assert [(s.id, s.label, s.is_crowd, s.area) for s in sample.segments] == [
            (2**24 - 1, 0, True, 5),
            (4, 1, False, 15),
        ]


def test_given_categories_decide_the_labels(written):
    dataset = CocoPanoptic.from_root(written[0], "train", categories=CATALOGUE[::-1])

    assert [segment.label for segment in dataset[0].segments] == [1, 0]


def test_an_image_without_annotation_is_left_out_and_counted(written):
    edit(written[0], lambda value: value["annotations"].pop(0))
    dataset = CocoPanoptic.from_root(written[0], "train")

    assert [sample.image_id for sample in dataset] == ["b"]
    assert dataset.unannotated == 1


def test_an_annotated_image_may_be_all_void(written):
    root, _ = written
    edit(root, lambda value: value["annotations"][0].update(segments_info=[]))
    png = root / "panoptic_train" / "000000000011.png"
    write_panoptic_png(png, torch.zeros(5, 7, dtype=torch.int64))

    assert CocoPanoptic.from_root(root, "train")[0].segments == ()


@pytest.mark.parametrize("part", ["images", "annotations"])
@pytest.mark.parametrize(
    "name", ["../outside.png", "/etc/hostname", "", ".", "train/../../x", "a\0b"]
)
def test_a_path_that_leaves_its_folder_is_refused_before_anything_is_opened(
    written, part, name, monkeypatch
):
    edit(written[0], lambda value: value[part][0].update(file_name=name))
    dataset = CocoPanoptic.from_root(written[0], "train")
    opened = []
    monkeypatch.setattr("minioneformer.data.coco.read_image", opened.append)
    monkeypatch.setattr("minioneformer.data.coco.read_panoptic_png", opened.append)

    with pytest.raises(ValueError, match=r"panoptic_train\.json, image 11: .* got file_name="):
        dataset[0]
    assert opened == []


def test_a_link_that_leaves_its_folder_is_refused(written, tmp_path):
    root, _ = written
    (root / "secret.png").write_bytes((root / "train" / "b.png").read_bytes())
    (root / "train" / "b.png").unlink()
    (root / "train" / "b.png").symlink_to(root / "secret.png")

    with pytest.raises(ValueError, match="paths must stay inside .*got file_name='b.png'"):
        CocoPanoptic.from_root(root, "train")[1]


def test_a_folder_that_is_itself_a_link_is_used(written):
    root, samples = written
    (root / "train").rename(root / "elsewhere")
    (root / "train").symlink_to(root / "elsewhere")

    assert torch.equal(CocoPanoptic.from_root(root, "train")[1].image, samples[1].image)


@pytest.mark.parametrize(
    ("segment_map", "message"),
    [
        (
            torch.tensor([[0, 4, 2**24 - 1]]),
            r"one size, got PNG \(H, W\) = \(1, 3\), image \(5, 7\)",
        ),
        (torch.full((5, 7), 4), r"must have a pixel in the PNG, got ids without one \[16777215\]"),
        (
            torch.tensor([[4, 5, 6, 0, 0, 0, 2**24 - 1]] * 5),
            r"must be in segments_info, got unlisted ids \[5, 6\]",
        ),
    ],
)
def test_a_png_that_does_not_fit_is_refused_by_name(written, segment_map, message):
    write_panoptic_png(written[0] / "panoptic_train" / "b.png", segment_map)

    with pytest.raises(ValueError, match=r"panoptic_train/b\.png: .*" + message):
        CocoPanoptic.from_root(written[0], "train")[1]


def test_segments_without_a_pixel_are_kept_where_that_is_asked_for(written):
    root, _ = written
    write_panoptic_png(root / "panoptic_train" / "b.png", torch.full((5, 7), 4))
    dataset = CocoPanoptic(
        root / "annotations" / "panoptic_train.json",
        image_dir=root / "train",
        png_dir=root / "panoptic_train",
        covered=True,
    )

    assert [(s.id, s.area) for s in dataset[1].segments] == [(2**24 - 1, 5), (4, 15)]
    write_panoptic_png(root / "panoptic_train" / "b.png", torch.full((5, 7), 9))
    with pytest.raises(ValueError, match=r"unlisted ids \[9\]"):
        dataset[1]


def test_a_broken_annotation_is_refused_when_it_is_read(written):
    edit(written[0], lambda v: v["annotations"][1]["segments_info"][0].update(category_id=8))
    dataset = CocoPanoptic.from_root(written[0], "train")

    assert dataset[0].image_id == 11
    with pytest.raises(ValueError, match="image 'b': segment 16777215 has an unknown category"):
        dataset[1]


def test_a_missing_image_is_named(written):
    (written[0] / "train" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.png"):
        CocoPanoptic.from_root(written[0], "train")[1]


def test_the_folders_of_coco_itself_are_found(written):
    root, _ = written
    (root / "train").rename(root / "train2017")
    (root / "panoptic_train").rename(root / "annotations" / "panoptic_train2017")
    annotations = root / "annotations"
    (annotations / "panoptic_train.json").rename(annotations / "panoptic_train2017.json")

    assert CocoPanoptic.from_root(root, "train")[0].image_id == 11


def test_a_missing_part_is_reported_with_the_places_searched(written):
    with pytest.raises(FileNotFoundError, match=r"panoptic_val\.json, .*panoptic_val2017\.json"):
        CocoPanoptic.from_root(written[0], "val")


def test_the_panopticapi_sample_has_fifty_segments_with_exact_areas(shared_data):
    folder = shared_data / "panopticapi_sample" / "sample_data"
    dataset = CocoPanoptic(
        folder / "panoptic_examples.json",
        image_dir=folder / "input_images",
        png_dir=folder / "panoptic_examples",
    )
    samples = list(dataset)

    assert len(dataset.categories) == 133
    assert sum(category.is_thing for category in dataset.categories) == 80
    assert sum(len(sample.segments) for sample in samples) == 50
    assert sum(segment.is_crowd for sample in samples for segment in sample.segments) == 3
    for sample in samples:
        for segment in sample.segments:
            assert segment.area == int((sample.segment_map == segment.id).sum())
    void = sum(int((sample.segment_map == 0).sum()) for sample in samples)
    assert void / sum(sample.segment_map.numel() for sample in samples) == pytest.approx(
        0.02, abs=5e-4
    )


@pytest.mark.parametrize(("split", "images", "nuclei"), [("train", 140, 4320), ("val", 35, 1049)])
def test_the_nuclei_are_all_there(shared_data, split, images, nuclei):
    dataset = CocoPanoptic.from_root(shared_data / "dsb2018_nuclei", split)
    counted = 0
    for index in range(len(dataset)):
        sample = dataset[index]
        counted += sum(dataset.categories[s.label].name == "nucleus" for s in sample.segments)
        assert not (sample.segment_map == 0).any()

    assert (len(dataset), counted) == (images, nuclei)


def test_the_two_cats_have_six_segments(shared_data):
    folder = shared_data / "hf_coco_fixtures"
    dataset = CocoPanoptic(
        folder / "as_coco_panoptic.json", image_dir=folder, png_dir=folder / "coco_panoptic"
    )
    sample = dataset[0]

    ids = [dataset.categories[segment.label].dataset_id for segment in sample.segments]
    assert ids == [17, 17, 63, 75, 75, 93]
    assert sample.image.shape == (3, 480, 640)
    assert sample.image_id == 39769


def test_the_annotation_known_to_have_another_size_is_refused(shared_data):
    folder = shared_data / "datumaro_assets" / "coco_dataset" / "coco_panoptic"
    dataset = CocoPanoptic(
        folder / "annotations" / "panoptic_train.json",
        image_dir=folder / "images" / "train",
        png_dir=folder / "annotations" / "panoptic_train",
    )
    with pytest.raises(ValueError, match=r"a\.png: annotation and image must have one size"):
        dataset[0]


def test_a_file_without_images_is_refused_with_the_reason(shared_data):
    folder = shared_data / "deeplab2_cityscapes" / "gtFine"
    with pytest.raises(ValueError, match="needs 'images' besides the rest"):
        CocoPanoptic(
            folder / "cityscapes_panoptic_dummy_trainId.json", image_dir=folder, png_dir=folder
        )
