"""The wall around pycocotools: published figures, silence, empty lists."""

import json
import math

import pytest

from minioneformer.evaluation.coco_scores import FIGURES, coco_scores

USUAL_NAMES = dict(
    zip(
        FIGURES,
        ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
        strict=True,
    )
)
IMAGES = [{"id": 1, "height": 10, "width": 20}]
NAMES = {7: "cat"}


def box(x, y, width, height, image_id=1, category_id=7, **more):
    where = {"image_id": image_id, "category_id": category_id}
    return {**where, "bbox": [x, y, width, height], **more}


def assert_equals_reference(result, reference):
    for ours, theirs in USUAL_NAMES.items():
        expected = reference[theirs] if reference[theirs] > -1 else math.nan
        assert result.to_dict()[ours] == pytest.approx(expected, abs=1e-9, nan_ok=True), ours
    per_class = dict(zip(result.names, result.ap_per_class, strict=True))
    for name, expected in reference["AP_per_class"].items():
        expected = expected if expected > -1 else math.nan
        assert per_class[name] == pytest.approx(expected, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize(
    ("iou_type", "published"), [("segm", 0.3195452758576433), ("bbox", 0.5045806987249628)]
)
def test_hundred_coco_images_with_fake_detections(shared_data, iou_type, published, capsys):
    folder = shared_data / "cocoapi_fake100"
    annotations = json.loads((folder / "instances_val2014_100.json").read_text())
    detections = json.loads(
        (folder / f"instances_val2014_fake{iou_type}100_results.json").read_text()
    )
    names = {c["id"]: c["name"] for c in annotations["categories"]}
    result = coco_scores(
        annotations["images"], annotations["annotations"], detections, names, iou_type=iou_type
    )
    assert result.ap == pytest.approx(published, abs=1e-9)
    reference = json.loads((folder / "reference_pycocotools_ap.json").read_text())[iou_type]
    assert_equals_reference(result, reference)
    assert capsys.readouterr().out == ""


def test_deeplab_team_equals_the_published_figures(shared_data):
    folder = shared_data / "deeplab_eval"
    annotations = json.loads((folder / "team_ap_gt.json").read_text())
    detections = json.loads((folder / "team_ap_dt.json").read_text())
    result = coco_scores(
        annotations["images"], annotations["annotations"], detections, {1: "1", 2: "2"}
    )
    expected = json.loads((folder / "expected.json").read_text())
    assert_equals_reference(result, expected["recomputed_here_with_pycocotools_team_AP"]["segm"])
    published = next(v for k, v in expected["published"].items() if "coco_instance_ap" in k)
    assert result.ap == pytest.approx(published["AP"], abs=1e-4)
    assert result.ap50 == pytest.approx(published["AP50"], abs=1e-4)


def test_iou_of_seven_tenths_passes_five_of_ten_thresholds():
    annotations = [box(0, 0, 10, 10, id=1, area=100, iscrowd=0)]
    detections = [box(0, 0, 10, 7.25, score=0.5)]
    result = coco_scores(IMAGES, annotations, detections, NAMES, iou_type="bbox")
    assert (result.ap, result.ap50, result.ap75) == pytest.approx((0.5, 1.0, 0.0))


def test_no_detection_gives_zero_and_no_annotation_gives_nan():
    annotations = [box(0, 0, 10, 10, id=1, area=100, iscrowd=0)]
    assert coco_scores(IMAGES, annotations, [], NAMES, iou_type="bbox").ap == 0.0
    for images, names in ((IMAGES, NAMES), ([], NAMES), (IMAGES, {})):
        detections = [box(0, 0, 10, 10, score=0.5)] if images and names else []
        result = coco_scores(images, [], detections, names, iou_type="bbox")
        assert all(math.isnan(v) for v in (*result.to_dict().values(), *result.ap_per_class))


def test_the_inputs_are_left_alone():
    annotations = [box(0, 0, 10, 10, id=1, area=100, iscrowd=1)]
    detections = [box(0, 0, 10, 10, score=0.5)]
    before = json.dumps([IMAGES, annotations, detections])
    coco_scores(IMAGES, annotations, detections, NAMES, iou_type="bbox")
    assert json.dumps([IMAGES, annotations, detections]) == before


def test_detections_of_unlisted_images_are_refused():
    with pytest.raises(ValueError, match=r"listed images, got strangers\[:5\]=\[4\]"):
        coco_scores(IMAGES, [], [box(0, 0, 1, 1, image_id=4, score=1)], NAMES, iou_type="bbox")


def test_annotation_id_zero_is_refused():
    with pytest.raises(ValueError, match="must not be 0, got zeros=1"):
        annotations = [box(0, 0, 1, 1, id=0, area=1, iscrowd=0)]
        coco_scores(IMAGES, annotations, [], NAMES, iou_type="bbox")
