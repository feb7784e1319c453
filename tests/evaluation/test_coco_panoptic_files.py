"""Panoptic quality of files: the figures of the official tool, and files that must be refused."""

import json

import pytest
import torch

from minioneformer.evaluation.coco_panoptic_files import evaluate_panoptic_files
from minioneformer.panoptic_png import write_panoptic_png


def assert_equals_reference(result, reference):
    """All figures of the official tool to 1e-9, classes and counters included."""
    ours = result.to_dict()
    groups = {"All": "", "Things": "_things", "Stuff": "_stuff"}
    for group, suffix in groups.items():
        for key in ("pq", "sq", "rq"):
            assert ours[key + suffix] == pytest.approx(reference[group][key], abs=1e-9)
    assert sum(c.counts for c in result.classes) == reference["All"]["n"]
    by_name = {c.name: c for c in result.classes}
    for name, counter in reference["counts"].items():
        c = by_name[name]
        assert (c.tp, c.fp, c.fn) == (counter["tp"], counter["fp"], counter["fn"])
        assert c.iou_sum == pytest.approx(counter["iou_sum"], abs=1e-9)


def test_deeplab_sample_equals_panopticapi_in_spite_of_a_segment_with_id_zero(shared_data):
    folder = shared_data / "deeplab_eval"
    result = evaluate_panoptic_files(
        folder / "coco_gt.json", folder / "coco_gt", folder / "coco_pred.json", folder / "coco_pred"
    )
    reference = json.loads((folder / "reference_panopticapi_pq.json").read_text())
    assert_equals_reference(result, reference["results"])
    assert result.pq == pytest.approx(0.674049, abs=1e-6)


@pytest.mark.parametrize("run", ["gt_vs_itself", "gt_vs_derived_pred"])
def test_panopticapi_sample_equals_panopticapi(shared_data, run):
    folder = shared_data / "panopticapi_sample"
    reference = json.loads((folder / "reference_panopticapi_pq.json").read_text())
    prediction = folder / reference["runs"][run]["pred_json"]
    pngs = prediction.with_suffix("")
    result = evaluate_panoptic_files(
        folder / reference["gt_json"], folder / reference["gt_folder"], prediction, pngs
    )
    assert_equals_reference(result, reference["runs"][run]["results"])
    assert result.pq == pytest.approx({"gt_vs_itself": 1.0}.get(run, 0.360039), abs=1e-6)


def test_the_otsu_baseline_on_nuclei_equals_panopticapi(shared_data):
    folder = shared_data / "dsb2018_nuclei"
    result = evaluate_panoptic_files(
        folder / "annotations/panoptic_val.json",
        folder / "annotations/panoptic_val",
        folder / "otsu_pred/panoptic_val.json",
        folder / "otsu_pred/panoptic_val",
    )
    reference = json.loads((folder / "reference.json").read_text())["panoptic"]
    assert_equals_reference(result, reference["results"])
    assert result.pq == pytest.approx(0.752526, abs=1e-6)


@pytest.fixture
def small_files(tmp_path):
    """Two images of 2 x 3 pixels with one prediction each; returns paths and a rewriter."""
    segment = {"id": 7, "category_id": 3, "area": 4, "iscrowd": 0}
    entries = [{"image_id": i, "file_name": f"{i}.png", "segments_info": [segment]} for i in (1, 2)]
    categories = [{"id": 3, "name": "cat", "isthing": 1}]
    annotations = {"categories": categories, "annotations": entries}
    segment_map = torch.tensor([[7, 7, 0], [7, 7, 0]])
    for name in ("true", "found"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.json").write_text(json.dumps(annotations))
        for i in (1, 2):
            write_panoptic_png(tmp_path / name / f"{i}.png", segment_map)

    def run(change=None):
        predictions = json.loads(json.dumps(annotations))
        if change is not None:
            change(predictions["annotations"])
        (tmp_path / "found.json").write_text(json.dumps(predictions))
        paths = (tmp_path / n for n in ("true.json", "true", "found.json", "found"))
        return evaluate_panoptic_files(*paths)

    return run


def test_small_files_are_perfect(small_files):
    assert small_files().pq == 1.0


def test_predictions_for_other_images_do_not_matter(small_files):
    assert small_files(lambda a: a.append({"image_id": 9})).pq == 1.0


def test_a_missing_prediction_is_refused(small_files):
    with pytest.raises(ValueError, match="needs a prediction, got none for image_id=2"):
        small_files(lambda a: a.pop())


@pytest.mark.parametrize("name", ["../true/1.png", "/etc/1.png"])
def test_a_file_name_that_leaves_its_folder_is_refused(small_files, name):
    with pytest.raises(ValueError, match="must stay inside .* got file_name="):
        small_files(lambda a: a[0].update(file_name=name))


def test_an_unknown_category_is_refused(small_files):
    with pytest.raises(ValueError, match="category that .* does not list, got category_id=4"):
        small_files(lambda a: a[0]["segments_info"][0].update(category_id=4))


def test_a_missing_png_is_reported(small_files):
    with pytest.raises(FileNotFoundError, match="no panoptic PNG"):
        small_files(lambda a: a[0].update(file_name="8.png"))
