"""Instance AP from masks and panoptic annotations.

Mutants that must fail: H and W swapped in the run lengths; stuff scored; crowds counted as
missed; image ids clashing after a merge; the stated area ignored; ties in order of arrival.
"""

import json
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as run_lengths

from minioneformer.evaluation.average_precision import AveragePrecision, encode_masks
from minioneformer.panoptic_png import read_panoptic_png
from minioneformer.structures import Category, InstancePrediction, Segment

CLASSES = [
    Category(name="cat", is_thing=True, color=(1, 1, 1), dataset_id=1),
    Category(name="sky", is_thing=False, color=(2, 2, 2), dataset_id=2),
    Category(name="dog", is_thing=True, color=(3, 3, 3), dataset_id=3),
]


def found(masks, labels, scores=None) -> InstancePrediction:
    masks = torch.as_tensor(masks, dtype=torch.bool)
    scores = [0.9] * len(labels) if scores is None else scores
    return InstancePrediction(
        masks=masks,
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.tensor(scores, dtype=torch.float32),
        queries=torch.arange(len(labels)),
    )


def measure(*images, categories=CLASSES):
    metric = AveragePrecision(categories)
    for prediction, segment_map, segments in images:
        metric.update(prediction, torch.as_tensor(segment_map), segments)
    return metric.compute()


SEGMENT_MAP = torch.tensor([[1] * 10 + [2] * 5])
CAT_AND_SKY = (Segment(id=1, label=0), Segment(id=2, label=1))


def decode(runs) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools with NumPy 2
        return run_lengths.decode(runs)


def row(first: int, last: int) -> torch.Tensor:
    """A mask of 1 x 15 pixels."""
    mask = torch.zeros(1, 1, 15, dtype=torch.bool)
    mask[..., first:last] = True
    return mask


def test_a_perfect_detection_has_every_figure_one_or_nan():
    result = measure((found(row(0, 10), [0]), SEGMENT_MAP, CAT_AND_SKY))
    figures = [v for v in result.to_dict().values() if not math.isnan(v)]
    assert figures == pytest.approx([1.0] * 8)  # nan: medium and large objects, AP and AR
    assert result.names == ("cat", "dog")
    assert result.ap_per_class[0] == pytest.approx(1.0) and math.isnan(result.ap_per_class[1])


def test_the_docstring_example_of_iou_seven_tenths():
    result = measure((found(row(0, 7), [0]), SEGMENT_MAP, CAT_AND_SKY))
    assert (result.ap, result.ap50, result.ap75) == pytest.approx((0.5, 1.0, 0.0))


def test_stuff_takes_no_part_on_either_side():
    both = torch.cat([row(0, 10), row(10, 15)])
    metric = AveragePrecision(CLASSES)
    metric.update(found(both, [0, 1], [0.2, 0.9]), SEGMENT_MAP, CAT_AND_SKY)
    assert metric.compute().ap == pytest.approx(1.0)
    assert [(len(image.detected), len(image.annotated)) for image in metric.images] == [(1, 1)]


def test_crowds_are_not_missed_and_excuse_what_lies_in_them():
    segments = (Segment(id=1, label=0, is_crowd=True), Segment(id=2, label=0))
    masks = torch.cat([row(0, 3), row(10, 15)])
    result = measure((found(masks, [0, 0], [0.9, 0.5]), SEGMENT_MAP, segments))
    assert result.ap == pytest.approx(1.0)


def test_a_false_alarm_that_is_surer_halves_the_precision():
    masks = torch.cat([row(10, 15), row(0, 10)])
    result = measure((found(masks, [0, 0], [0.9, 0.5]), SEGMENT_MAP, CAT_AND_SKY))
    assert result.ap == pytest.approx(0.5)


def test_the_stated_area_decides_the_size_class():
    segments = (Segment(id=1, label=0, area=50_000), CAT_AND_SKY[1])
    result = measure((found(row(0, 10), [0]), SEGMENT_MAP, segments))
    assert result.ap_large == pytest.approx(1.0) and math.isnan(result.ap_small)


def test_empty_predictions_annotations_and_streams():
    nothing = found(torch.zeros(0, 1, 15), [])
    assert measure((nothing, SEGMENT_MAP, CAT_AND_SKY)).ap == 0.0
    assert math.isnan(measure((nothing, torch.zeros(1, 15, dtype=torch.int64), ())).ap)
    assert math.isnan(measure().ap)
    assert measure((found(row(3, 3), [0]), SEGMENT_MAP, CAT_AND_SKY)).ap == 0.0  # an empty mask


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 4))
def test_run_lengths_decode_to_the_masks(seed, count):
    rng = torch.Generator().manual_seed(seed)
    masks = torch.rand(count, 7, 9, generator=rng) < 0.4
    runs = encode_masks(masks)
    assert [r["size"] for r in runs] == [[7, 9]] * count
    for mask, r in zip(masks, runs, strict=True):
        assert np.array_equal(decode(r), mask.numpy())


def tied_images(rng, count):
    """Pairs of objects and detections on 7 x 9 pixels, all detections with the same score."""
    images = []
    for _ in range(count):
        segment_map = torch.randint(0, 4, (7, 9), generator=rng)
        segments = tuple(Segment(id=i, label=(i - 1) % 3) for i in (1, 2, 3))
        noise = torch.rand(3, 7, 9, generator=rng) < torch.rand(1, generator=rng) * 0.3
        masks = (segment_map == torch.tensor([1, 2, 3])[:, None, None]) ^ noise
        images.append((found(masks, [0, 1, 2], [0.5] * 3), segment_map, segments))
    return images


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(6)), st.booleans())
def test_figures_do_not_depend_on_order_and_sharding(seed, order, with_ids):
    images = tied_images(torch.Generator().manual_seed(seed), 6)
    one, *parts = (AveragePrecision(CLASSES) for _ in range(4))
    for i, image in enumerate(images):
        one.update(*image, image_id=i if with_ids else 0)
    for number, i in enumerate(order):
        parts[number % 2].update(*images[i], image_id=i if with_ids else 0)  # the last stays empty
    parts[1].merge(parts[2])
    parts[1].merge(parts[0])
    assert repr(parts[1].compute()) == repr(one.compute())


def test_of_equal_scores_the_image_of_the_smaller_id_comes_first():
    right, wrong = found(row(0, 10), [0], [0.5]), found(row(10, 15), [0], [0.5])
    ids = {(2, 10): 1.0, (10, 2): 0.5, (3, "2"): 1.0, ("b", "a"): 0.5, ("a", "b"): 1.0}
    for (of_right, of_wrong), ap in ids.items():
        metric = AveragePrecision(CLASSES)
        metric.update(wrong, torch.full((1, 15), 2), CAT_AND_SKY[1:], image_id=of_wrong)
        metric.update(right, SEGMENT_MAP, CAT_AND_SKY, image_id=of_right)
        assert metric.compute().ap == pytest.approx(ap), (of_right, of_wrong)


# --- errors -----------------------------------------------------------------------------------


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"same size, got.*\(1, 15\).*\(15, 1\)"):
        measure((found(row(0, 1), [0]), SEGMENT_MAP.T, CAT_AND_SKY))


def test_labels_outside_the_catalogue_are_refused():
    with pytest.raises(ValueError, match=r"catalogue of 3 classes, got unknown=\[3\]"):
        measure((found(row(0, 1), [3]), SEGMENT_MAP, CAT_AND_SKY))


def test_results_of_different_catalogues_do_not_merge():
    with pytest.raises(ValueError, match="one catalogue can be merged, got"):
        AveragePrecision(CLASSES).merge(AveragePrecision(CLASSES[:1]))


# --- published figures ------------------------------------------------------------------------


def test_the_otsu_baseline_on_nuclei_through_masks(shared_data):
    folder = shared_data / "dsb2018_nuclei"
    entries = json.loads((folder / "annotations/panoptic_val.json").read_text())["annotations"]
    detections = json.loads((folder / "otsu_pred/instances_val_dets.json").read_text())
    categories = [
        Category(name="nucleus", is_thing=True, color=(1, 1, 1), dataset_id=1),
        Category(name="background", is_thing=False, color=(2, 2, 2), dataset_id=2),
    ]
    metric = AveragePrecision(categories)
    for entry in entries:
        own = [d for d in detections if d["image_id"] == entry["image_id"]]
        masks = [torch.from_numpy(decode(d["segmentation"])).bool() for d in own]
        segments = tuple(
            Segment(id=s["id"], label=s["category_id"] - 1, area=s["area"])
            for s in entry["segments_info"]
        )
        metric.update(
            found(torch.stack(masks), [0] * len(own), [d["score"] for d in own]),
            read_panoptic_png(folder / "annotations/panoptic_val" / entry["file_name"]),
            segments,
        )
    reference = json.loads((folder / "reference.json").read_text())["instance"]["segm"]
    result = metric.compute()
    assert result.ap == pytest.approx(reference["AP"], abs=1e-6)
    assert result.ap == pytest.approx(0.2684, abs=1e-4)
    assert result.ap50 == pytest.approx(reference["AP50"], abs=1e-6)
    assert result.ar100 == pytest.approx(reference["AR100"], abs=1e-6)
