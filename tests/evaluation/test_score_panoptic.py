"""The panoptic report: names of the figures, undefined ones, files that are refused."""

import json
import math

import pytest
import torch

from minioneformer.evaluation.score_panoptic import score_panoptic_files
from minioneformer.panoptic_png import write_panoptic_png

CATEGORIES = [
    {"id": 3, "name": "cat", "isthing": 1},
    {"id": 9, "name": "sky", "isthing": 0},
    {"id": 4, "name": "dog", "isthing": 1},
]


def segment(segment_id, category_id, **more):
    return {"id": segment_id, "category_id": category_id, **more}


@pytest.fixture
def score(tmp_path):
    """Scores one image of 2 x 5 pixels; whatever is given replaces the perfect prediction."""
    truth = torch.tensor([[7, 7, 7, 0, 0], [7, 7, 7, 0, 0]])

    def run(found=None, segments=None, image=None, **entry):
        segments = [segment(7, 3)] if segments is None else segments
        annotation = {
            "image_id": 5,
            "file_name": "a.png",
            "segments_info": [segment(7, 3, area=6, iscrowd=0)],
        }
        for name, pixels in (("true", truth), ("found", truth if found is None else found)):
            (tmp_path / name).mkdir(exist_ok=True)
            write_panoptic_png(tmp_path / name / "a.png", pixels)
        images = [{"id": 5, "file_name": "x/photo.jpg"}]
        content = {"images": images, "annotations": [annotation], "categories": CATEGORIES}
        (tmp_path / "true.json").write_text(json.dumps(content))
        prediction = {"image_id": 5, "file_name": "a.png", "segments_info": segments, **entry}
        (tmp_path / "found.json").write_text(json.dumps({"annotations": [prediction]}))
        return score_panoptic_files(
            *(tmp_path / name for name in ("true.json", "true", "found.json", "found"))
        )

    return run


def test_groups_and_classes_have_the_names_of_panopticapi(score):
    figures = score()
    assert list(figures) == ["All", "Things", "Stuff", "per_class"]
    assert figures["All"] == figures["Things"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 1}
    assert figures["Stuff"]["n"] == 0 and math.isnan(figures["Stuff"]["pq"])
    nowhere = {"pq": 0.0, "sq": 0.0, "rq": 0.0}
    assert figures["per_class"] == {3: {"pq": 1.0, "sq": 1.0, "rq": 1.0}, 9: nowhere, 4: nowhere}


def test_a_false_alarm_brings_its_class_in(score):
    found = torch.tensor([[7, 7, 7, 1, 1], [7, 7, 2, 2, 1]])
    figures = score(found, [segment(7, 3), segment(2, 9), segment(1, 4)])
    assert figures["All"]["n"] == 2  # the dog lies on void, half of the sky does not
    assert figures["All"]["pq"] == pytest.approx((5 / 6 + 0) / 2)


def test_an_image_may_be_named_by_its_file(score):
    assert score(image_id="photo")["All"]["pq"] == 1.0


def test_nothing_found_is_an_empty_list_and_an_empty_map(score):
    assert score(torch.zeros(2, 5, dtype=torch.int64), [])["All"]["pq"] == 0.0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"image_id": 6}, "needs a prediction, got none for image_id=5"),
        ({"image_id": None}, "'image_id' must be int or str, got 'None'"),
        ({"segments": [segment(7, 3), segment(8, 3)]}, r"image_id=5: .*got empty=\[8\] without"),
        ({"segments": []}, r"image_id=5: every id in the map must be in the list.*\[7\]"),
        ({"segments": [segment(7, 5)]}, "image_id=5: a segment names a category.*category_id=5"),
        ({"segments": [{"id": 7}]}, "segments_info, entry 0: needs 'category_id'"),
        ({"found": torch.full((5, 2), 7)}, r"image_id=5: .*same size, got .*\(5, 2\).*\(2, 5\)"),
        ({"file_name": "b.png"}, "no panoptic PNG, got path=.*b.png"),
        ({"file_name": "../true/a.png"}, "must stay inside"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(score, change, match):
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        score(**change)
