import pytest
import torch

from minioneformer.structures import (
    Category,
    InstancePrediction,
    PanopticPrediction,
    PanopticSample,
    PredictedSegment,
    Segment,
    SemanticPrediction,
)
from minioneformer.visualize.colors import instance_colors
from minioneformer.visualize.regions import find_regions

CATEGORIES = (
    Category(name="sky", is_thing=False, color=(10, 20, 30), dataset_id=1),
    Category(name="kite", is_thing=True, color=(200, 50, 60), dataset_id=2),
    Category(name="bird", is_thing=True, color=(40, 90, 220), dataset_id=3),
)
SKY, KITE, BIRD = 0, 1, 2
KITES = [tuple(row) for row in instance_colors((200, 50, 60), 2).tolist()]


def _instances(masks, labels, scores):
    return InstancePrediction(
        masks=torch.tensor(masks, dtype=torch.bool),
        labels=torch.tensor(labels),
        scores=torch.tensor(scores),
        queries=torch.arange(len(labels)),
    )


def _colors(regions):
    return [tuple(row) for row in regions.colors.tolist()]


def test_semantic_regions_are_the_classes():
    label_map = torch.tensor([[0, 2, 2], [1, 0, 2]])
    regions = find_regions(SemanticPrediction(label_map=label_map), CATEGORIES)
    assert torch.equal(regions.owner_map, label_map)
    assert regions.labels == (SKY, KITE, BIRD)
    assert regions.scores == (None, None, None)
    assert _colors(regions) == [c.color for c in CATEGORIES]


def test_panoptic_regions_are_the_segments_in_their_order():
    prediction = PanopticPrediction(
        segment_map=torch.tensor([[7, 0, 3], [7, 300, 3]]),
        segments=(
            PredictedSegment(id=300, label=KITE, score=0.9),
            PredictedSegment(id=7, label=SKY, score=0.8),
            PredictedSegment(id=3, label=KITE, score=0.7),
        ),
    )
    regions = find_regions(prediction, CATEGORIES, min_score=0.95)
    assert regions.owner_map.tolist() == [[1, -1, 2], [1, 0, 2]]
    assert regions.labels == (KITE, SKY, KITE)
    assert regions.scores == (0.9, 0.8, 0.7)
    assert _colors(regions) == [KITES[0], (10, 20, 30), KITES[1]]


def test_an_annotation_has_no_scores_and_two_stuff_segments_share_a_color():
    sample = PanopticSample(
        image=torch.zeros(3, 1, 4, dtype=torch.uint8),
        segment_map=torch.tensor([[5, 6, 0, 9]]),
        segments=(
            Segment(id=6, label=SKY),
            Segment(id=5, label=SKY),
            Segment(id=9, label=BIRD, is_crowd=True),
        ),
        image_id=1,
    )
    regions = find_regions(sample, CATEGORIES)
    assert regions.owner_map.tolist() == [[1, 0, -1, 2]]
    assert regions.scores == (None, None, None)
    assert _colors(regions) == [(10, 20, 30), (10, 20, 30), (40, 90, 220)]


def test_of_overlapping_instances_the_smaller_one_is_seen_whatever_the_scores():
    prediction = _instances(
        [[[1, 0, 0, 0]], [[1, 1, 1, 1]], [[1, 1, 0, 0]]], [KITE, BIRD, KITE], [0.6, 0.9, 0.7]
    )
    regions = find_regions(prediction, CATEGORIES)
    assert regions.owner_map.tolist() == [[2, 1, 0, 0]]
    assert regions.labels == (BIRD, KITE, KITE)
    assert regions.scores == pytest.approx((0.9, 0.7, 0.6))
    assert _colors(regions) == [(40, 90, 220), *KITES]


def test_of_two_instances_as_large_the_surer_one_is_seen():
    prediction = _instances([[[1, 1, 0]], [[0, 1, 1]]], [KITE, BIRD], [0.9, 0.8])
    regions = find_regions(prediction, CATEGORIES)
    assert [regions.labels[i] for i in regions.owner_map[0].tolist()] == [KITE, KITE, BIRD]


def test_instances_below_the_score_are_left_out_and_those_at_it_are_not():
    prediction = _instances([[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]], [1, 1, 2], [0.75, 0.5, 0.25])
    regions = find_regions(prediction, CATEGORIES, min_score=0.5)
    assert regions.scores == (0.5, 0.75)
    assert regions.owner_map.tolist() == [[1, 0, -1]]


@pytest.mark.parametrize("min_score", [0.0, 0.5])
def test_nothing_predicted_is_no_region(min_score):
    empty = (
        InstancePrediction(
            masks=torch.zeros(0, 3, 5, dtype=torch.bool),
            labels=torch.zeros(0, dtype=torch.int64),
            scores=torch.zeros(0),
            queries=torch.zeros(0, dtype=torch.int64),
        ),
        PanopticPrediction(segment_map=torch.zeros(3, 5, dtype=torch.int64), segments=()),
    )
    for prediction in empty:
        regions = find_regions(prediction, CATEGORIES, min_score=min_score)
        assert torch.equal(regions.owner_map, torch.full((3, 5), -1))
        assert regions.labels == regions.scores == ()
        assert regions.colors.shape == (0, 3)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_outside_the_catalogue_are_refused(label):
    message = rf"0 \.\. 2, got unknown=\[{label}\].*trained with"
    with pytest.raises(ValueError, match=message):
        find_regions(SemanticPrediction(label_map=torch.tensor([[0, label]])), CATEGORIES)
    with pytest.raises(ValueError, match=message):
        find_regions(_instances([[[1]]], [label], [0.5]), CATEGORIES)
    segment = PredictedSegment(id=1, label=label, score=0.5)
    prediction = PanopticPrediction(segment_map=torch.tensor([[1]]), segments=(segment,))
    with pytest.raises(ValueError, match=message):
        find_regions(prediction, CATEGORIES)


def test_a_map_with_an_id_that_is_not_listed_is_refused():
    prediction = PanopticPrediction(segment_map=torch.tensor([[0, 4]]), segments=())
    with pytest.raises(ValueError, match=r"must be listed among its segments, got unlisted=\[4\]"):
        find_regions(prediction, CATEGORIES)
