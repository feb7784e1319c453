"""Mean IoU: hand-worked, against loops over pixels, against published figures.

Mutants that must fail: union without `- right`; rows and columns of the confusion swapped;
ignored pixels counted as predicted; "zero" treated as "skip".
"""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minioneformer.evaluation.mean_iou import MeanIoU, semantic_labels
from minioneformer.panoptic_png import read_panoptic_png
from minioneformer.structures import Category, Segment


def catalogue(count: int) -> list[Category]:
    return [
        Category(name=f"class {i}", is_thing=False, color=(i, i, i), dataset_id=i + 1)
        for i in range(count)
    ]


def measure(predicted, annotated, count=3, absent="skip", ignore_label=255):
    metric = MeanIoU(catalogue(count), absent=absent, ignore_label=ignore_label)
    metric.update(torch.as_tensor(predicted), torch.as_tensor(annotated))
    return metric.compute()


@pytest.mark.parametrize(("absent", "miou"), [("skip", 0.5), ("zero", 1 / 3)])
def test_the_docstring_example(absent, miou):
    result = measure([[0, 1, 1, 1]], [[0, 0, 1, 255]], absent=absent)
    assert result.iou[:2] == (0.5, 0.5)
    assert math.isnan(result.iou[2])
    assert result.miou == pytest.approx(miou)
    assert result.pacc == pytest.approx(2 / 3)
    assert result.macc == pytest.approx((1 / 2 + 1) / 2)
    assert result.accuracy[:2] == (0.5, 1.0) and math.isnan(result.accuracy[2])
    assert result.fwiou == pytest.approx(0.5)


def test_a_class_that_is_only_predicted_counts_as_zero():
    result = measure([[0, 2]], [[0, 0]])
    assert result.iou[0] == 0.5 and result.iou[2] == 0.0
    assert result.miou == pytest.approx(0.25)
    assert result.macc == pytest.approx(0.5)  # over annotated classes only
    assert result.fwiou == pytest.approx(0.5)


def test_pixels_of_no_class_are_wrong_and_nobodys_false_alarm():
    one, other = (MeanIoU(catalogue(2), missing_label=-2) for _ in range(2))
    one.update(torch.tensor([[0, -2, -2, 1]]), torch.tensor([[0, 0, 255, 1]]))
    other.update(torch.tensor([[-2]]), torch.tensor([[1]]))
    one.merge(other)
    result = one.compute()
    assert result.iou == result.accuracy == pytest.approx((0.5, 0.5))
    assert result.pacc == pytest.approx(2 / 4)


def test_nothing_annotated_gives_nan():
    result = measure([[0, 1]], [[255, 255]])
    assert all(math.isnan(value) for value in result.to_dict().values())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_it_agrees_with_loops_over_pixels_and_merges(seed):
    rng = torch.Generator().manual_seed(seed)
    one, first, second = (MeanIoU(catalogue(4), ignore_label=-1) for _ in range(3))
    pixels = []
    for part in (first, second):
        annotated = torch.randint(-1, 3, (7, 9), generator=rng)
        random = torch.randint(0, 4, (7, 9), generator=rng)
        predicted = torch.where(torch.rand(7, 9, generator=rng) < 0.5, annotated.clamp(0), random)
        one.update(predicted, annotated)
        part.update(predicted, annotated)
        pixels += zip(annotated.flatten().tolist(), predicted.flatten().tolist(), strict=True)
    pixels = [(a, p) for a, p in pixels if a != -1]
    shares = []
    for label in range(4):
        both = sum(a == p == label for a, p in pixels)
        either = sum(label in (a, p) for a, p in pixels)
        shares.append(both / either if either else math.nan)
    second.merge(first)
    assert repr(second.compute()) == repr(one.compute())
    result = one.compute()
    assert result.iou == pytest.approx(shares, nan_ok=True)
    assert result.miou == pytest.approx(np.nanmean(shares))
    assert result.pacc == pytest.approx(sum(a == p for a, p in pixels) / len(pixels))
    weights = [sum(a == label for a, _ in pixels) / len(pixels) for label in range(4)]
    assert result.fwiou == pytest.approx(np.nansum(np.multiply(weights, shares)))
    recalls = [
        sum(a == p == label for a, p in pixels) / (w * len(pixels))
        for label, w in enumerate(weights)
        if w
    ]
    assert result.macc == pytest.approx(np.mean(recalls))


# --- from panoptic annotations -----------------------------------------------------------------


def test_void_and_crowds_are_ignored():
    segments = [Segment(id=5, label=2), Segment(id=9, label=1, is_crowd=True)]
    labels = semantic_labels(torch.tensor([[5, 0, 9]]), segments)
    assert labels.tolist() == [[2, 255, 255]]
    assert semantic_labels(torch.tensor([[0], [0]]), (), ignore_label=-1).tolist() == [[-1], [-1]]


# --- errors -----------------------------------------------------------------------------------


def test_an_ignore_label_that_is_a_label_is_refused():
    with pytest.raises(ValueError, match="one of the 3 labels, got ignore_label=2"):
        MeanIoU(catalogue(3), ignore_label=2)


def test_an_unknown_rule_for_absent_classes_is_refused():
    with pytest.raises(ValueError, match="'skip' or 'zero', got absent='none'"):
        MeanIoU(catalogue(3), absent="none")


def test_maps_of_different_size_are_refused():
    with pytest.raises(ValueError, match=r"same size, got.*\(1, 2\).*\(2, 1\)"):
        measure([[0, 0]], [[0], [0]])


@pytest.mark.parametrize(
    ("predicted", "annotated", "match"),
    [
        ([[3]], [[0]], r"predicted labels.*3 classes, got unknown=\[3\]"),
        ([[-1]], [[0]], r"predicted labels.*got unknown=\[-1\]"),
        ([[0]], [[4]], r"annotated labels.*got unknown=\[4\].*ignore_label is 255"),
    ],
)
def test_values_that_are_no_labels_are_refused(predicted, annotated, match):
    with pytest.raises(ValueError, match=match):
        measure(predicted, annotated)


def test_results_of_different_catalogues_do_not_merge():
    with pytest.raises(ValueError, match="one catalogue can be merged, got"):
        MeanIoU(catalogue(3)).merge(MeanIoU(catalogue(2)))


# --- published figures ------------------------------------------------------------------------


def test_scene_parsing_sample_with_absent_classes_as_zero(shared_data):
    folder = shared_data / "sceneparsing_sample"
    zero = MeanIoU(catalogue(150), ignore_label=-1, absent="zero")
    skip = MeanIoU(catalogue(150), ignore_label=-1)
    for path in sorted((folder / "annotations").glob("*.png")):
        annotated = np.array(Image.open(path)).astype(np.int64) - 1  # 0 is "other"
        predicted = np.array(Image.open(folder / "predictions" / path.name)).astype(np.int64) - 1
        for metric in (zero, skip):
            metric.update(torch.as_tensor(predicted.clip(0)), torch.as_tensor(annotated))
    # the prediction must be some class where "other" is annotated; those pixels are ignored
    assert zero.compute().miou == pytest.approx(0.1000, abs=1e-9)
    assert zero.compute().pacc == 1.0
    assert skip.compute().miou == 1.0
    assert sum(not math.isnan(x) for x in skip.compute().iou) == 15


def test_the_otsu_baseline_on_nuclei(shared_data):
    folder = shared_data / "dsb2018_nuclei"
    labels = {1: 0, 2: 1}
    entries = {}
    for name in ("annotations/panoptic_val", "otsu_pred/panoptic_val"):
        loaded = json.loads((folder / f"{name}.json").read_text())["annotations"]
        entries[name] = {e["image_id"]: (folder / name, e) for e in loaded}
    metric = MeanIoU(catalogue(2))
    true, found = entries.values()
    for image_id in true:
        maps = []
        for root, entry in (found[image_id], true[image_id]):
            segments = [
                Segment(id=s["id"], label=labels[s["category_id"]]) for s in entry["segments_info"]
            ]
            maps.append(semantic_labels(read_panoptic_png(root / entry["file_name"]), segments))
        metric.update(*maps)
    reference = json.loads((folder / "reference.json").read_text())["semantic"]
    result = metric.compute()
    assert result.miou == pytest.approx(0.887166, abs=1e-6)
    assert result.iou == pytest.approx(reference["iou"], abs=1e-12)
    assert result.pacc == pytest.approx(reference["pixel_acc"], abs=1e-12)
