"""The instance report: boxes and masks, names of images, files that are refused."""

import json
import math

import pytest

from minioneformer.evaluation.score_instance import USUAL_NAMES, score_instance_files

SQUARE = [[0, 0, 10, 0, 10, 10, 0, 10]]


def truth_rows(**changes):
    annotation = {
        "id": 1,
        "image_id": 5,
        "category_id": 7,
        "area": 100,
        "bbox": [0, 0, 10, 10],
        "segmentation": SQUARE,
    }
    return {
        "images": [{"id": 5, "height": 20, "width": 30, "file_name": "x/photo.jpg"}],
        "annotations": [{**annotation, **changes}],
        "categories": [{"id": 7, "name": "cat"}],
    }


def found_row(**changes):
    row = {"image_id": 5, "category_id": 7, "score": 0.5, "segmentation": SQUARE}
    return {**row, **changes}


@pytest.fixture
def score(tmp_path):
    def run(truth=None, found=None, iou_type="segm"):
        (tmp_path / "true.json").write_text(json.dumps(truth_rows() if truth is None else truth))
        (tmp_path / "found.json").write_text(json.dumps([found_row()] if found is None else found))
        return score_instance_files(
            tmp_path / "true.json", tmp_path / "found.json", iou_type=iou_type
        )

    return run


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_a_perfect_detection_has_every_figure_one_or_nan(score, iou_type):
    figures = score(iou_type=iou_type)  # its box is that of its mask
    assert tuple(figures) == USUAL_NAMES
    assert {name for name, value in figures.items() if math.isnan(value)} == {
        *("APm", "APl", "ARm", "ARl")
    }
    assert [v for v in figures.values() if not math.isnan(v)] == pytest.approx([1.0] * 8)


def test_boxes_are_compared_as_given(score):
    figures = score(found=[found_row(bbox=[0, 0, 10, 7.25])], iou_type="bbox")
    assert (figures["AP"], figures["AP50"], figures["AP75"]) == pytest.approx((0.5, 1.0, 0.0))
    assert score(found=[found_row(bbox=[0, 0, 10, 7.25])])["AP"] == pytest.approx(1.0)


def test_no_detections_are_zero_and_no_annotations_are_nan(score):
    assert score(found=[])["AP"] == 0.0
    assert math.isnan(score({**truth_rows(), "annotations": []})["AP"])


def test_crowds_are_not_missed_and_no_iscrowd_is_none(score):
    assert score(found=[])["AP"] == 0.0
    assert math.isnan(score(truth_rows(iscrowd=1), found=[])["AP"])


def test_an_image_may_be_named_by_its_file(score):
    assert score(found=[found_row(image_id="photo")])["AP"] == pytest.approx(1.0)


def test_results_of_unknown_categories_are_left_out_with_a_warning(score):
    with pytest.warns(UserWarning, match=r"left out, got category ids \[8\] \(1 in all\)"):
        figures = score(found=[found_row(), found_row(category_id=8)])
    assert figures["AP"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("found", "match"),
    [
        ({"annotations": []}, "results must be a list .*got a dict"),
        ([found_row(image_id=6)], "entry 0: results must be of images .*got image_id=6"),
        ([found_row(score=float("nan"))], "entry 0: 'score' must be int or float, got 'nan'"),
        ([{"image_id": 5, "category_id": 7}], "entry 0: needs 'score'"),
        ([found_row(segmentation=None)], "entry 0: needs a segmentation"),
        ([found_row(segmentation={"size": [30, 20], "counts": "0"})], "size of its image"),
    ],
)
def test_results_that_do_not_fit_are_refused(score, found, match):
    with pytest.raises(ValueError, match=match):
        score(found=found)


@pytest.mark.parametrize("bbox", [[0, 0, 1], [0, 0, 1, -1], [0, 0, 1, "1"]])
def test_boxes_that_are_none_are_refused(score, bbox):
    with pytest.raises(ValueError, match="left, top, width and height, got bbox="):
        score(found=[found_row(bbox=bbox)], iou_type="bbox")


def test_a_result_without_box_or_mask_is_refused(score):
    row = {"image_id": 5, "category_id": 7, "score": 0.5}
    with pytest.raises(ValueError, match="entry 0: needs a bbox"):
        score(found=[row], iou_type="bbox")


@pytest.mark.parametrize(
    ("truth", "match"),
    [
        (truth_rows(image_id=6), "annotation 0: its image is not listed, got image_id=6"),
        (truth_rows(id=0), "must not be 0, got zeros=1"),
        (truth_rows(segmentation=[]), "annotation 0: polygons must be"),
        ({**truth_rows(), "categories": [{"id": 7, "name": "cat"}] * 2}, "category ids must"),
        ({**truth_rows(), "images": [{"id": 5}]}, "entry 0: needs 'height'"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(score, truth, match):
    with pytest.raises(ValueError, match=match):
        score(truth)
