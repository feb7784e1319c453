"""The Cityscapes protocol on a miniature of `gtFine`: figures worked by hand, the tool's own.

Mutants that must fail: train ids for label ids; scores and classes swapped in the list; instance
PNGs not found; the working folder written into.
"""

import importlib.util
import math

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer.data.categories import load_catalog
from minioneformer.evaluation import cityscapes_protocol
from minioneformer.evaluation.cityscapes_files import write_cityscapes_instances
from minioneformer.evaluation.cityscapes_protocol import (
    check_installed,
    evaluate_cityscapes,
    score_cityscapes_instances,
    score_cityscapes_labels,
)
from minioneformer.processes import rank
from minioneformer.structures import (
    InstancePrediction,
    PanopticSample,
    Segment,
    SemanticPrediction,
)

needs_the_tool = pytest.mark.skipif(
    importlib.util.find_spec("cityscapesscripts") is None,
    reason="cityscapesscripts (extra `cityscapes`) is not installed",
)
CATALOGUE = load_catalog("cityscapes")
LABELS = {category.name: i for i, category in enumerate(CATALOGUE)}
SIZE = (40, 60)
NAMES = ("ulm_000000_000019", "bonn_000001_000019")


def scene(index):
    """Road, and a car of 20 x 20 pixels; a person of 10 x 15 in the first image."""
    segment_map = torch.full(SIZE, 1)
    segment_map[10:30, 5 + index : 25 + index] = 2
    segments = [Segment(id=1, label=LABELS["road"]), Segment(id=2, label=LABELS["car"])]
    if index == 0:
        segment_map[5:20, 40:50] = 3
        segments.append(Segment(id=3, label=LABELS["person"]))
    image = torch.zeros(3, *SIZE, dtype=torch.uint8)
    image[0, 0, 0] = index
    return PanopticSample(
        image=image,
        segment_map=segment_map,
        segments=tuple(segments),
        image_id=NAMES[index],
        file_name=f"leftImg8bit/val/x/{NAMES[index]}_leftImg8bit.png",
    )


SAMPLES = [scene(0), scene(1)]


@pytest.fixture
def gt_fine(tmp_path):
    folder = tmp_path / "gtFine" / "val" / "x"
    folder.mkdir(parents=True)
    for name, sample in zip(NAMES, SAMPLES, strict=True):
        label_ids, instance_ids = (np.zeros(SIZE, kind) for kind in (np.uint8, np.uint16))
        for segment in sample.segments:
            inside = (sample.segment_map == segment.id).numpy()
            category = CATALOGUE[segment.label]
            label_ids[inside] = category.dataset_id
            instance_ids[inside] = category.dataset_id * (1000 if category.is_thing else 1)
        Image.fromarray(label_ids).save(folder / f"{name}_gtFine_labelIds.png")
        Image.fromarray(instance_ids).save(folder / f"{name}_gtFine_instanceIds.png")
    return folder.parent


class Oracle:
    """Knows the samples; cuts `lost` columns off each car, which become road."""

    def __init__(self, lost=0):
        self.lost = lost

    def predict_forms(self, images, task, forms):
        assert forms == (task,)
        return [{task: self.answer(int(image[0, 0, 0]), task)} for image in images]

    def answer(self, index, task):
        sample = SAMPLES[index]
        segment_map = sample.segment_map.clone()
        car = segment_map[:, : 5 + index + self.lost]
        car[car == 2] = 1
        if task == "semantic":
            labels = {segment.id: segment.label for segment in sample.segments}
            return SemanticPrediction(label_map=segment_map.apply_(labels.get))
        things = [s for s in sample.segments if CATALOGUE[s.label].is_thing]
        return InstancePrediction(
            masks=torch.stack([segment_map == s.id for s in things]),
            labels=torch.tensor([s.label for s in things]),
            scores=torch.linspace(0.9, 0.8, len(things)),
            queries=torch.arange(len(things)),
        )


def run(gt_fine, tmp_path, lost, **options):
    return evaluate_cityscapes(
        Oracle(lost),
        SAMPLES,
        categories=CATALOGUE,
        annotation_dir=gt_fine,
        folder=tmp_path / "results",
        **options,
    )


@needs_the_tool
def test_a_perfect_predictor_has_ones(gt_fine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    instance, semantic = run(gt_fine, tmp_path, 0)
    assert {*instance.to_dict().values(), *semantic.to_dict().values()} == {1.0}
    assert math.isnan(semantic.iou_per_class["sky"])
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"gtFine", "results"}  # the tool's own files are gone


@needs_the_tool
def test_processes_share_the_images_and_get_the_same_figures(in_processes, gt_fine, tmp_path):
    def share():
        folder = tmp_path / "shared"
        return repr(run(gt_fine, folder, 5)), rank()

    alone = repr(run(gt_fine, tmp_path / "alone", 5))
    assert in_processes(share, 3) == [(alone, 0), (alone, 1), (alone, 2)]  # one has no image
    names = [
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
        for folder in (tmp_path / "alone", tmp_path / "shared")
    ]
    assert names[0] == names[1]


def test_every_process_refuses_a_folder_with_results(in_processes, tmp_path):
    (tmp_path / "instance").mkdir()

    def write():
        with pytest.raises(FileExistsError, match="there are results already"):
            write_cityscapes_instances(tmp_path, [], CATALOGUE)
        return rank()

    assert in_processes(write, 2) == [0, 1]


@needs_the_tool
def test_cars_that_lack_columns_have_the_figures_worked_by_hand(gt_fine, tmp_path):
    instance, semantic = run(gt_fine, tmp_path, 5)  # IoU 15 / 20 = 0.75, above 0.50 to 0.70
    assert instance.ap_per_class["car"] == pytest.approx(0.5)
    assert instance.ap50_per_class["car"] == pytest.approx(1.0)
    assert instance.ap_per_class["person"] == pytest.approx(1.0)
    assert (instance.ap, instance.ap50) == pytest.approx((0.75, 1.0))

    road = 2 * 40 * 60 - 2 * 400 - 150
    assert semantic.iou_per_class["car"] == pytest.approx(0.75)
    assert semantic.iou_per_class["road"] == pytest.approx(road / (road + 200))
    assert semantic.iou == pytest.approx((0.75 + 1 + road / (road + 200)) / 3)
    assert semantic.iiou_per_class["car"] == pytest.approx(0.75)  # cars of one size, none invented
    assert semantic.iiou == pytest.approx((0.75 + 1) / 2)
    assert semantic.iou_sup == pytest.approx(semantic.iou)  # each class is of another category


@needs_the_tool
def test_one_task_alone(gt_fine, tmp_path):
    instance, semantic = run(gt_fine, tmp_path, 0, tasks=("semantic",))
    assert instance is None and semantic.iou == 1.0


@needs_the_tool
def test_a_missing_and_a_double_result_are_refused(gt_fine, tmp_path):
    found = tmp_path / "found"
    found.mkdir()
    with pytest.raises(FileNotFoundError, match=r"got no bonn_000001_000019\*\.png"):
        score_cityscapes_labels(found, gt_fine)
    for name in ("a", "b"):
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(found / f"bonn_000001_000019_{name}.png")
    with pytest.raises(ValueError, match="needs one result, got"):
        score_cityscapes_labels(found, gt_fine)


@needs_the_tool
def test_no_annotations_and_a_tool_that_stops_are_refused(gt_fine, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match=r"no \*_gtFine_instanceIds\.png in the folder"):
        score_cityscapes_instances(empty, empty)
    for name in NAMES:
        Image.fromarray(np.zeros((3, 4), np.uint8)).save(empty / f"{name}_pred.png")
    with pytest.raises(ValueError, match="tool stopped, got 'ERROR: Image widths .* not equal"):
        score_cityscapes_labels(empty, gt_fine)


def test_without_the_tool_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(cityscapes_protocol.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'minioneformer\[cityscapes\]'"):
        check_installed()
