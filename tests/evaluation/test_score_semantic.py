"""The semantic report: hand-worked figures, the zero label, classes that are nowhere."""

import math

import numpy as np
import pytest
from PIL import Image

from minioneformer.evaluation.score_semantic import score_semantic_files


@pytest.fixture
def score(tmp_path):
    def run(annotated, predicted, num_classes=3, **options):
        for name, maps in (("true", annotated), ("found", predicted)):
            (tmp_path / name).mkdir(exist_ok=True)
            for i, values in enumerate(maps):
                pixels = np.array(values, np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
        return score_semantic_files(
            tmp_path / "true", tmp_path / "found", num_classes=num_classes, **options
        )

    return run


TRUE, FOUND = [[[0, 0, 1, 255]]], [[[0, 1, 1, 1]]]


@pytest.mark.parametrize(("absent", "miou"), [(None, 0.5), ("skip", 0.5), ("zero", 1 / 3)])
def test_the_docstring_example(score, absent, miou):
    figures = score(TRUE, FOUND, absent=absent)
    assert list(figures) == ["miou", "fwiou", "macc", "pacc", "per_class"]
    assert figures["miou"] == pytest.approx(miou)
    assert figures["pacc"] == pytest.approx(2 / 3)
    assert figures["macc"] == pytest.approx(3 / 4)
    assert figures["per_class"][0] == {"iou": 0.5, "acc": 0.5}
    assert figures["per_class"][1] == {"iou": 0.5, "acc": 1.0}
    assert all(math.isnan(value) for value in figures["per_class"][2].values())


def test_images_share_one_confusion_matrix(score):
    figures = score([[[0, 0]], [[0], [1]]], [[[0, 0]], [[1], [1]]], num_classes=2)
    assert [figures["per_class"][i]["iou"] for i in (0, 1)] == pytest.approx([2 / 3, 1 / 2])


def test_without_the_zero_label_absent_classes_count_as_zero_as_in_the_ade20k_tool(score):
    figures = score([[[0, 1, 1, 2]]], [[[3, 1, 2, 2]]], reduce_zero_label=True)
    # label 0: IoU 1/2; label 1: 1/2; label 2 was predicted where nothing counts: it is nowhere
    assert figures["miou"] == pytest.approx(1 / 3)
    assert figures["pacc"] == pytest.approx(2 / 3)


def test_predictions_may_count_from_zero_nevertheless(score):
    options = {"reduce_zero_label": True, "absent": "skip"}
    usual = score([[[0, 1, 1, 2]]], [[[3, 1, 2, 2]]], **options)
    ours = score([[[0, 1, 1, 2]]], [[[2, 0, 1, 1]]], predictions_from_zero=True, **options)
    assert str(ours) == str(usual) and ours["miou"] == 0.5


@pytest.mark.parametrize("nothing", [0, 255])
def test_pixels_predicted_to_be_nothing_are_wrong_and_nobodys_false_alarm(score, nothing):
    figures = score([[[1, 1, 2]]], [[[1, nothing, 2]]], num_classes=2, reduce_zero_label=True)
    assert [figures["per_class"][i]["iou"] for i in (0, 1)] == pytest.approx([1 / 2, 1.0])
    assert figures["pacc"] == pytest.approx(2 / 3)


def test_nothing_annotated_gives_nan(score):
    figures = score([[[255, 255]]], [[[0, 1]]])
    assert all(math.isnan(figures[name]) for name in ("miou", "fwiou", "macc", "pacc"))


def test_maps_of_different_size_are_refused_with_their_name(score):
    with pytest.raises(ValueError, match=r"^0\.png: .*same size, got .*\(2, 1\).*\(1, 2\)"):
        score([[[0, 0]]], [[[0], [0]]])


def test_a_missing_prediction_is_refused(score):
    with pytest.raises(FileNotFoundError, match=r"same name, got none: .*1\.png"):
        score([[[0]], [[0]]], [[[0]]])


@pytest.mark.parametrize("num_classes", [-3, 0, 10**6])
def test_numbers_of_classes_that_cannot_be_are_refused(score, num_classes):
    with pytest.raises(ValueError, match=f"1 .. 10000 classes, got {num_classes=}"):
        score([[[0]]], [[[0]]], num_classes=num_classes)
