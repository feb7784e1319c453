"""COCO instance files: polygons, run lengths and crowds become a sample with one owner per pixel.

Mutants that must fail: let the later annotation win; keep an object without pixels; take the id of
an annotation for that of a segment; take a crowd for an object; skip the size check; leave void
out of the mask losses.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.data.coco_instance import CocoInstance, MaskOverlap
from minioneformer.data.targets import target_for_task
from minioneformer.losses.criterion import Criterion
from minioneformer.structures import Category, MaskPrediction

TABLE = [[1, 1, 6, 1, 6, 4, 1, 4]]
CUP = [[3, 2, 5, 2, 5, 3, 3, 3]]
ALL = {"size": [5, 7], "counts": [0, 35]}


def annotation(number, segmentation, **more):
    row = {"id": number, "image_id": 11, "category_id": 4, "segmentation": segmentation}
    return {**row, "iscrowd": 0, **more}


@pytest.fixture
def content():
    return {
        "images": [
            {"id": 11, "file_name": "sub/a.png", "height": 5, "width": 7},
            {"id": "b", "file_name": "b.png"},
        ],
        "annotations": [
            annotation(900100000011, ALL, iscrowd=1),
            annotation(70, CUP, category_id=9),
            annotation(71, TABLE),
        ],
        "categories": [{"id": 9, "name": "cup"}, {"id": 4, "name": "table", "color": [1, 2, 3]}],
    }


@pytest.fixture
def opened(tmp_path):
    """A function that writes a file and opens it; the images are there."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for name in ("sub/a.png", "b.png"):
        picture = np.arange(105, dtype=np.uint8).reshape(5, 7, 3)
        Image.fromarray(picture).save(tmp_path / "images" / name)

    def get(content, **options):
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        return CocoInstance(path, image_dir=tmp_path / "images", **options)

    return get


def test_the_smaller_object_wins_and_crowds_lie_below(opened, content):
    dataset = opened(content)
    sample = dataset[0]

    assert dataset.tasks == ("instance",)
    assert [(c.name, c.is_thing, c.dataset_id) for c in dataset.categories] == [
        ("cup", True, 9),
        ("table", True, 4),
    ]
    assert [(s.id, s.label, s.is_crowd) for s in sample.segments] == [
        (1, 1, True),
        (2, 0, False),
        (3, 1, False),
    ]
    assert sample.segment_map.tolist() == [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 3, 3, 3, 3, 3, 1],
        [1, 3, 3, 2, 2, 3, 1],
        [1, 3, 3, 3, 3, 3, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ]
    assert (sample.image_id, sample.file_name) == (11, "sub/a.png")
    assert dataset.overlap(0) == MaskOverlap(pixels=17, hidden=())
    assert target_for_task(sample, "instance", dataset.categories).labels.tolist() == [0, 1]


def test_an_image_without_annotation_has_no_object(opened, content):
    dataset = opened(content)
    assert len(dataset) == 2
    assert dataset.without_objects == 1
    assert dataset.stems == ("sub/a", "b")
    assert dataset[1].segments == ()
    assert not dataset[1].segment_map.any()
    assert [s.image_id for s in dataset] == [11, "b"]


def test_an_object_that_lost_all_pixels_is_left_out_and_counted(opened, content):
    content["annotations"] = [annotation(1, CUP), annotation(2, TABLE), annotation(3, CUP)]
    dataset = opened(content)

    assert [segment.id for segment in dataset[0].segments] == [1, 2]
    assert dataset.overlap(0) == MaskOverlap(pixels=4, hidden=(3,))


def test_given_categories_decide_the_labels(opened, content):
    catalogue = (
        Category(name="sky", is_thing=False, color=(0, 0, 0), dataset_id=1),
        Category(name="table", is_thing=True, color=(0, 0, 0), dataset_id=4),
        Category(name="cup", is_thing=True, color=(0, 0, 0), dataset_id=9),
    )
    dataset = opened(content, categories=catalogue)
    assert [segment.label for segment in dataset[0].segments] == [1, 2, 1]
    with pytest.raises(ValueError, match=r"must cover the file's, got category ids \[9\]"):
        opened(content, categories=catalogue[:2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("annotations"), "needs 'annotations', got keys"),
        (lambda c: c["annotations"][1].update(image_id=5), "annotation 70 is of no image, got im"),
        (lambda c: c["annotations"][1].update(category_id=5), "annotation 70 has an unknown categ"),
        (lambda c: c["annotations"][1].update(id=71), r"annotation ids must be unique.*\[71\]"),
        (lambda c: c["annotations"][1].pop("segmentation"), r"lacks \['segmentation'\]"),
        (lambda c: c["images"][1].update(id=11), r"image ids must be unique, got twice \[11\]"),
        (lambda c: c["annotations"][0].update(segments_info=[]), "Open them with CocoPanoptic"),
        (lambda c: c.pop("categories"), "needs a list of categories"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(opened, content, change, message):
    change(content)
    with pytest.raises(ValueError, match=r"instances\.json: .*" + message):
        opened(content)


def test_a_file_that_is_no_object_is_refused(opened):
    with pytest.raises(ValueError, match=r"must be an object with images.*got a list"):
        opened([])


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "needs an outline"),
        ([[0, 0, 5, 0, float("nan"), 5]], "finite numbers, got nan"),
        ([[0, 0, 50, 0, 5, 5]], "leaves the image"),
        ({"size": [7, 5], "counts": [35]}, "size of the image"),
        ({"size": [5, 7], "counts": "0"}, "fill the image"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_with_its_annotation(
    opened, content, segmentation, message
):
    content["annotations"][1]["segmentation"] = segmentation
    dataset = opened(content)
    with pytest.raises(ValueError, match=rf"instances\.json, image 11, annotation 70: .*{message}"):
        dataset[0]


def test_sizes_and_paths_are_checked(opened, content):
    content["images"][0].update(height=7, width=5)
    with pytest.raises(ValueError, match=r"image 11: .*got \(H, W\) = \(5, 7\), stated \(7, 5\)"):
        opened(content)[0]
    content["images"][0]["file_name"] = "../instances.json"
    with pytest.raises(ValueError, match=r"image 11: paths must stay inside"):
        opened(content)[0]


def test_the_two_cats_are_where_the_file_says(shared_data):
    folder = shared_data / "hf_coco_fixtures"
    path = folder / "as_coco_instances.json"
    dataset = CocoInstance(path, image_dir=folder)
    sample = dataset[0]

    ids = [dataset.categories[segment.label].dataset_id for segment in sample.segments]
    assert ids == [75, 75, 63, 65, 17, 17]
    stated = {1: 2120.991, 2: 4052.607, 5: 53301.619, 6: 59700.956}  # the small ones keep all
    for segment_id, area in stated.items():
        assert int((sample.segment_map == segment_id).sum()) == pytest.approx(area, rel=0.02)
    assert dataset.overlap(0).hidden == ()


def test_the_run_lengths_of_the_nuclei_equal_their_panoptic_map(shared_data):
    from minioneformer.data.background import WithBackground
    from minioneformer.data.coco import CocoPanoptic

    folder = shared_data / "dsb2018_nuclei"
    objects = WithBackground(
        CocoInstance(folder / "annotations" / "instances_val.json", image_dir=folder / "val")
    )
    panoptic = CocoPanoptic.from_root(folder, "val")
    assert [c.name for c in objects.categories] == [c.name for c in panoptic.categories]
    for index in range(0, 35, 5):
        own, expected = objects[index], panoptic[index]
        assert own.image_id == expected.image_id
        for task in ("semantic", "instance", "panoptic"):
            targets = [target_for_task(s, task, objects.categories) for s in (own, expected)]
            assert targets[0].labels.shape == targets[1].labels.shape
            union = [(t.masks * (t.labels[:, None, None] + 1)).sum(0) for t in targets]
            assert torch.equal(*union)


@pytest.mark.parametrize("layout", ["coco_instances/annotations", "mmdet_coco/annotations"])
def test_the_layouts_of_datumaro_are_read(shared_data, layout):
    folder = shared_data / "datumaro_assets" / "coco_dataset" / layout
    images = folder.parent / ("images/val" if layout.startswith("coco_inst") else "val")
    dataset = CocoInstance(folder / "instances_val.json", image_dir=images)
    sample = dataset[0]

    assert [c.name for c in dataset.categories] == ["a", "b", "c"]
    assert [(s.label, s.is_crowd) for s in sample.segments] == [(0, False), (1, True)]
    assert int((sample.segment_map == 1).sum()) == 2
    assert int((sample.segment_map == 2).sum()) == 18  # 20, of which 2 belong to the object


def test_a_box_without_an_outline_is_refused_by_name(shared_data):
    folder = shared_data / "datumaro_assets" / "coco_dataset" / "coco_roboflow" / "train"
    dataset = CocoInstance(folder / "_annotations.coco.json", image_dir=folder)
    with pytest.raises(ValueError, match="annotation 1: needs an outline"):
        dataset[0]


def test_a_mask_that_covers_void_is_punished(opened, content):
    """Void is no ignore region: else nothing would teach a mask where its object ends."""
    content["annotations"] = content["annotations"][1:]  # without the crowd
    data = opened(content)
    target = target_for_task(data[0], "instance", data.categories)
    void = ~target.masks.any(0)
    assert target.masks.shape == (2, 5, 7) and int(void.sum()) == 35 - 15
    criterion = Criterion(num_classes=2, num_points=4000, importance_ratio=0.0)

    def losses(masks):
        prediction = MaskPrediction(
            class_logits=8.0 * torch.nn.functional.one_hot(target.labels, 3).float()[None],
            mask_embeddings=torch.eye(2)[None],
            mask_features=8.0 * (2.0 * masks.float()[None] - 1),
        )
        return criterion([prediction], [target])

    right, over_void = losses(target.masks), losses(target.masks | void)
    over_other = losses(target.masks.any(0).expand(2, -1, -1))
    # cross-entropy of a wrong pixel is about 8, the weight 5: shares of 20 / 35 and 7.5 / 35
    assert over_void["loss_mask"] - right["loss_mask"] > 5 * 8 * 0.4
    assert over_void["loss_mask"] > over_other["loss_mask"] > right["loss_mask"] + 1
    assert over_void["loss_dice"] > right["loss_dice"] + 1
