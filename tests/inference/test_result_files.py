import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.toy import ToyPanoptic
from minioneformer.evaluation.coco_panoptic_files import evaluate_panoptic_files
from minioneformer.inference.result_files import (
    write_instance_results,
    write_panoptic_results,
    write_semantic_results,
)
from minioneformer.panoptic_png import read_panoptic_png
from minioneformer.structures import (
    Category,
    InstancePrediction,
    PanopticPrediction,
    PredictedSegment,
    SemanticPrediction,
)

CATEGORIES = (
    Category(name="sky", is_thing=False, color=(1, 2, 3), dataset_id=40),
    Category(name="kite", is_thing=True, color=(4, 5, 6), dataset_id=7),
)
CATEGORY_ROWS = [
    {"id": 40, "name": "sky", "isthing": 0, "color": [1, 2, 3]},
    {"id": 7, "name": "kite", "isthing": 1, "color": [4, 5, 6]},
]
SEGMENT_MAP = torch.tensor([[1, 1, 0, 0, 0], [1, 300, 300, 0, 0], [1, 300, 1, 300, 0]])
SEGMENTS = (
    PredictedSegment(id=300, label=1, score=0.75),
    PredictedSegment(id=1, label=0, score=0.5),
)
PANOPTIC = PanopticPrediction(segment_map=SEGMENT_MAP, segments=SEGMENTS)
NOTHING = PanopticPrediction(segment_map=torch.zeros(2, 3, dtype=torch.int64), segments=())


def _instances(masks, labels, scores):
    return InstancePrediction(
        masks=masks,
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.tensor(scores, dtype=torch.float32),
        queries=torch.arange(len(labels)),
    )


def test_panoptic_results_are_the_ones_worked_out_by_hand(tmp_path):
    results = iter([("b/cat.jpg", 9, PANOPTIC), ("dog.jpg", "dog", NOTHING)])
    path = write_panoptic_results(tmp_path / "new", results, CATEGORIES)
    assert path == tmp_path / "new" / "panoptic.json"
    kite = {"id": 300, "category_id": 7, "isthing": 1, "area": 4, "bbox": [1, 1, 3, 2]}
    sky = {"id": 1, "category_id": 40, "isthing": 0, "area": 5, "bbox": [0, 0, 3, 3]}
    assert json.loads(path.read_text()) == {
        "images": [
            {"id": 9, "file_name": "b/cat.jpg", "width": 5, "height": 3},
            {"id": "dog", "file_name": "dog.jpg", "width": 3, "height": 2},
        ],
        "annotations": [
            {
                "image_id": 9,
                "file_name": "b/cat.png",
                "segments_info": [
                    {**kite, "iscrowd": 0, "score": 0.75},
                    {**sky, "iscrowd": 0, "score": 0.5},
                ],
            },
            {"image_id": "dog", "file_name": "dog.png", "segments_info": []},
        ],
        "categories": CATEGORY_ROWS,
    }
    png_folder = tmp_path / "new" / "panoptic"
    assert torch.equal(read_panoptic_png(png_folder / "b" / "cat.png"), SEGMENT_MAP)
    assert torch.equal(read_panoptic_png(png_folder / "dog.png"), NOTHING.segment_map)


def _toy_with_predictions(tmp_path):
    """Three scenes on disk, and results that miss one thing of the first."""
    toy = ToyPanoptic(split="val", size=(33, 46), length=3)
    annotation_json = toy.write_coco_panoptic(tmp_path / "data")
    results, missed = [], 0
    for sample in toy:
        lost = 0
        if sample.image_id == 0:
            lost = next(s.id for s in sample.segments if toy.categories[s.label].is_thing)
            missed = next(s.label for s in sample.segments if s.id == lost)
        kept = tuple(
            PredictedSegment(id=s.id, label=s.label, score=0.9)
            for s in sample.segments
            if s.id != lost
        )
        segment_map = torch.where(sample.segment_map == lost, 0, sample.segment_map)
        prediction = PanopticPrediction(segment_map=segment_map, segments=kept)
        results.append((f"{sample.image_id:012d}.png", sample.image_id, prediction))
    results_json = write_panoptic_results(tmp_path / "results", results, toy.categories)
    return toy, annotation_json, results_json, missed


def test_panoptic_results_are_scored_by_the_evaluation_of_files(tmp_path):
    toy, annotation_json, results_json, missed = _toy_with_predictions(tmp_path)
    score = evaluate_panoptic_files(
        annotation_json,
        tmp_path / "data" / "panoptic_val",
        results_json,
        tmp_path / "results" / "panoptic",
    )
    labels = [s.label for sample in toy for s in sample.segments]
    found = labels.count(missed) - 1
    expected = found / (found + 0.5)  # IoU 1, one missed
    for label in set(labels):
        pq = expected if label == missed else 1.0
        assert score.classes[label].pq == pytest.approx(pq)


def test_panoptic_results_can_be_read_as_annotations(tmp_path):
    toy, _, results_json, _ = _toy_with_predictions(tmp_path)
    read = CocoPanoptic(
        results_json,
        image_dir=tmp_path / "data" / "val",
        png_dir=tmp_path / "results" / "panoptic",
    )
    assert read.categories == toy.categories
    assert len(read) == len(toy)
    assert torch.equal(read[1].segment_map, toy[1].segment_map)
    areas = [int((toy[1].segment_map == s.id).sum()) for s in toy[1].segments]
    assert [s.area for s in read[1].segments] == areas
    assert [(s.id, s.label) for s in read[1].segments] == [(s.id, s.label) for s in toy[1].segments]


def test_both_panoptic_writers_agree_on_areas_and_boxes(tmp_path):
    toy = ToyPanoptic(size=(29, 41), length=4)
    written = json.loads(toy.write_coco_panoptic(tmp_path / "data").read_text())
    results = [
        (
            f"{sample.image_id:012d}.png",
            sample.image_id,
            PanopticPrediction(
                segment_map=sample.segment_map,
                segments=tuple(
                    PredictedSegment(id=s.id, label=s.label, score=1.0) for s in sample.segments
                ),
            ),
        )
        for sample in toy
    ]
    path = write_panoptic_results(tmp_path / "results", results, toy.categories)
    ours = json.loads(path.read_text())
    for annotation in ours["annotations"]:
        for segment in annotation["segments_info"]:
            label = [c.dataset_id for c in toy.categories].index(segment["category_id"])
            assert segment.pop("isthing") == toy.categories[label].is_thing
            assert segment.pop("score") == 1.0
    assert ours == written


# pycocotools' own, under numpy 2
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_instance_results_are_the_ones_worked_out_by_hand(tmp_path):
    masks = torch.tensor([[[0, 1, 1], [0, 1, 0]], [[0, 0, 0], [0, 0, 0]]], dtype=torch.bool)
    nothing = _instances(torch.zeros(0, 4, 5, dtype=torch.bool), [], [])
    results = [("a.jpg", 3, _instances(masks, [1, 0], [0.5, 0.25])), ("b.jpg", 4, nothing)]
    path = write_instance_results(tmp_path, iter(results), CATEGORIES)
    assert path == tmp_path / "instances.json"
    rows = json.loads(path.read_text())
    runs = [row.pop("segmentation") for row in rows]
    assert rows == [
        {"image_id": 3, "category_id": 7, "score": 0.5, "bbox": [1, 0, 2, 2]},
        {"image_id": 3, "category_id": 40, "score": 0.25, "bbox": [0, 0, 0, 0]},
    ]
    decoded = np.stack([run_lengths.decode(r) for r in runs])
    assert torch.equal(torch.from_numpy(decoded).bool(), masks)
    assert [r["size"] for r in runs] == [[2, 3], [2, 3]]
    assert list(tmp_path.iterdir()) == [path]


def test_pycocotools_loads_instance_results(tmp_path, capsys):
    masks = torch.zeros(1, 5, 7, dtype=torch.bool)
    masks[0, 1:3, 2:6] = True
    path = write_instance_results(
        tmp_path, [("a.jpg", 3, _instances(masks, [1], [0.5]))], CATEGORIES
    )
    annotations = COCO()
    annotations.dataset = {
        "images": [{"id": 3, "width": 7, "height": 5}],
        "annotations": [],
        "categories": [{"id": 7, "name": "kite"}],
    }
    annotations.createIndex()
    (detection,) = annotations.loadRes(str(path)).anns.values()
    assert detection["area"] == 8
    assert detection["bbox"] == [2, 1, 4, 2]
    capsys.readouterr()  # pycocotools prints


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 2**35 - 1))
def test_boxes_equal_those_of_a_loop_over_pixels(tmp_path_factory, height, width, bits):
    mask = torch.tensor([bits >> i & 1 for i in range(height * width)], dtype=torch.bool)
    mask = mask.reshape(1, height, width)
    folder = tmp_path_factory.mktemp("results")
    path = write_instance_results(folder, [("a", 1, _instances(mask, [1], [1.0]))], CATEGORIES)
    points = [(x, y) for y in range(height) for x in range(width) if mask[0, y, x]]
    expected = [0, 0, 0, 0]
    if points:
        xs, ys = zip(*points, strict=True)
        expected = [min(xs), min(ys), max(xs) - min(xs) + 1, max(ys) - min(ys) + 1]
    assert json.loads(path.read_text())[0]["bbox"] == expected


def test_semantic_results_are_the_ones_worked_out_by_hand(tmp_path):
    label_map = torch.tensor([[0, 1, 1], [1, 0, 0]])
    path = write_semantic_results(
        tmp_path, [("b/cat.jpg", 9, SemanticPrediction(label_map=label_map))], CATEGORIES
    )
    assert path == tmp_path / "semantic.json"
    assert json.loads(path.read_text()) == {
        "images": [{"id": 9, "file_name": "b/cat.jpg", "width": 3, "height": 2}],
        "annotations": [{"image_id": 9, "file_name": "b/cat.png"}],
        "categories": [{"label": 0, **CATEGORY_ROWS[0]}, {"label": 1, **CATEGORY_ROWS[1]}],
    }
    pixels = np.asarray(Image.open(tmp_path / "semantic" / "b" / "cat.png"))
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == label_map.tolist()


@pytest.mark.parametrize(("num_classes", "pixel_type"), [(255, np.uint8), (256, np.uint16)])
def test_semantic_pngs_have_room_for_every_label(tmp_path, num_classes, pixel_type):
    categories = [
        Category(name=f"{i}", is_thing=False, color=(0, 0, 0), dataset_id=i)
        for i in range(num_classes)
    ]
    label_map = torch.tensor([[0, num_classes - 1, 7]])
    prediction = SemanticPrediction(label_map=label_map)
    write_semantic_results(tmp_path, [("a.jpg", 1, prediction)], categories)
    pixels = np.asarray(Image.open(tmp_path / "semantic" / "a.png"))
    assert pixels.dtype == pixel_type
    assert pixels.tolist() == label_map.tolist()


def test_all_three_kinds_share_a_folder(tmp_path):
    label_map = torch.zeros(2, 3, dtype=torch.int64)
    masks = torch.ones(1, 2, 3, dtype=torch.bool)
    write_semantic_results(
        tmp_path, [("a.jpg", 1, SemanticPrediction(label_map=label_map))], CATEGORIES
    )
    write_instance_results(tmp_path, [("a.jpg", 1, _instances(masks, [1], [1.0]))], CATEGORIES)
    write_panoptic_results(tmp_path, [("a.jpg", 1, NOTHING)], CATEGORIES)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == [
        "instances.json",
        "panoptic.json",
        "panoptic/a.png",
        "semantic.json",
        "semantic/a.png",
    ]


def test_no_results_make_an_empty_file(tmp_path):
    panoptic = json.loads(write_panoptic_results(tmp_path, [], CATEGORIES).read_text())
    semantic = json.loads(write_semantic_results(tmp_path, [], CATEGORIES).read_text())
    assert (panoptic["images"], panoptic["annotations"]) == ([], [])
    assert (semantic["images"], semantic["annotations"]) == ([], [])
    assert json.loads(write_instance_results(tmp_path, [], CATEGORIES).read_text()) == []


def test_a_run_that_stops_midway_leaves_no_json_and_can_be_repeated(tmp_path):
    def interrupted():
        yield "a.jpg", 1, PANOPTIC
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_panoptic_results(tmp_path, interrupted(), CATEGORIES)
    assert not list(tmp_path.glob("*.json*"))
    write_panoptic_results(tmp_path, [("a.jpg", 1, PANOPTIC)], CATEGORIES)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        (SEGMENTS[:1], r"same ids.*got segments=\[300\], in the map \[1, 300\], image_id=9"),
        ((*SEGMENTS, PredictedSegment(id=5, label=0, score=1.0)), r"same ids"),
        ((*SEGMENTS, SEGMENTS[0]), r"once each"),
        (
            (SEGMENTS[0], PredictedSegment(id=1, label=2, score=1.0)),
            r"0 \.\. 1, got unknown=\[2\], image_id=9.*trained with",
        ),
        (
            (SEGMENTS[0], PredictedSegment(id=1, label=0, score=float("nan"))),
            r"finite scores only, got scores=\[0.75, nan\], image_id=9",
        ),
    ],
)
def test_panoptic_predictions_that_contradict_themselves_are_refused(tmp_path, segments, message):
    prediction = PanopticPrediction(segment_map=SEGMENT_MAP, segments=segments)
    with pytest.raises(ValueError, match=message):
        write_panoptic_results(tmp_path, [("a.jpg", 9, prediction)], CATEGORIES)
    assert not list(tmp_path.rglob("*.*"))


def test_labels_and_scores_outside_their_range_are_refused(tmp_path):
    masks = torch.ones(1, 2, 3, dtype=torch.bool)
    for label, score, message in [
        (-1, 0.5, r"got unknown=\[-1\], image_id=9"),
        (1, float("inf"), r"finite scores only, got scores=\[inf\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            write_instance_results(
                tmp_path, [("a.jpg", 9, _instances(masks, [label], [score]))], CATEGORIES
            )
    label_map = torch.tensor([[0, 255, 1]])
    with pytest.raises(ValueError, match=r"got unknown=\[255\], image_id=9"):
        write_semantic_results(
            tmp_path, [("a.jpg", 9, SemanticPrediction(label_map=label_map))], CATEGORIES
        )
    assert not list(tmp_path.rglob("*.*"))


def test_names_that_collide_or_leave_the_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"got file_name='\.\./a\.jpg'"):
        write_panoptic_results(tmp_path / "x", [("../a.jpg", 1, NOTHING)], CATEGORIES)
    semantic = SemanticPrediction(label_map=torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"share the result 'a\.png'"):
        write_semantic_results(
            tmp_path / "x", [("a.jpg", 1, semantic), ("a.bmp", 2, semantic)], CATEGORIES
        )
    empty = _instances(torch.zeros(0, 2, 3, dtype=torch.bool), [], [])
    with pytest.raises(ValueError, match=r"share an id, got image_id=1"):
        write_instance_results(
            tmp_path / "x", [("a.jpg", 1, empty), ("b.jpg", 1, empty)], CATEGORIES
        )
    assert not list(tmp_path.rglob("*.json"))
