import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.data.toy import ToyPanoptic
from minioneformer.structures import (
    Category,
    InstancePrediction,
    PanopticPrediction,
    PredictedSegment,
    SemanticPrediction,
)
from minioneformer.visualize.overlay import (
    border,
    overlay_instance,
    overlay_panoptic,
    overlay_sample,
    overlay_semantic,
    paint,
)
from minioneformer.visualize.regions import Regions

CATEGORIES = (
    Category(name="sky", is_thing=False, color=(10, 20, 30), dataset_id=1),
    Category(name="kite", is_thing=True, color=(200, 50, 60), dataset_id=2),
)
TOY = ToyPanoptic(split="val", size=(37, 51), length=6)


def _regions(owner_map, colors):
    return Regions(
        owner_map=owner_map,
        labels=(1,) * len(colors),
        scores=(None,) * len(colors),
        colors=torch.tensor(colors, dtype=torch.uint8).reshape(-1, 3),
    )


def _loop_border(owner_map, width):
    """Some pixel within reach, inside the image, is of something further behind."""
    H, W = owner_map.shape
    line = torch.zeros(H, W, dtype=torch.bool)
    for y in range(H):
        for x in range(W):
            near = owner_map[max(0, y - width) : y + width + 1, max(0, x - width) : x + width + 1]
            line[y, x] = bool((near < owner_map[y, x]).any())
    return line


def test_the_border_of_the_example():
    line = border(torch.tensor([[0, 0, 1, 1, 1, 0]]), width=1)
    assert line.tolist() == [[False, False, True, False, True, False]]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 7), st.integers(1, 3), st.integers(0, 10**6))
def test_borders_equal_those_of_a_loop_over_pixels(height, width, line_width, seed):
    generator = torch.Generator().manual_seed(seed)
    owner_map = torch.randint(-1, 3, (height, width), generator=generator)
    expected = _loop_border(owner_map, line_width)
    assert torch.equal(border(owner_map, width=line_width), expected)


def test_the_blend_of_the_example():
    image = torch.full((3, 1, 1), 100, dtype=torch.uint8)
    regions = _regions(torch.zeros(1, 1, dtype=torch.int64), [(200, 0, 0)])
    assert paint(image, regions, alpha=0.25).flatten().tolist() == [125, 75, 75]


def test_an_image_of_another_hue_does_not_shine_through():
    image = torch.tensor([0, 0, 255], dtype=torch.uint8).reshape(3, 1, 1)  # blue, its grey is 29
    regions = _regions(torch.zeros(1, 1, dtype=torch.int64), [(200, 0, 0)])
    blue = 0.5 * (0.5 * 255 + 0.5 * 0.114 * 255)
    assert paint(image, regions, alpha=0.5).flatten().tolist() == [107, 7, round(blue)]


def test_void_and_alpha_zero_leave_the_image(rng):
    image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=rng)
    nothing = _regions(torch.full((5, 7), -1), [])
    assert torch.equal(paint(image, nothing, alpha=0.9), image)
    everything = _regions(torch.zeros(5, 7, dtype=torch.int64), [(200, 0, 0)])
    assert torch.equal(paint(image, everything, alpha=0.0), image)
    opaque = paint(image, everything, alpha=1.0)
    assert opaque.flatten(1).unique(dim=1).flatten().tolist() == [200, 0, 0]


@pytest.mark.parametrize("shade", [0, 90, 255])
def test_borders_are_seen_on_dark_and_light_images_and_void_beside_them_is_not_touched(shade):
    image = torch.full((3, 9, 11), shade, dtype=torch.uint8)
    owner_map = torch.full((9, 11), -1)
    owner_map[2:7, 3:9] = 0
    regions = _regions(owner_map, [(shade, shade, shade)])  # only the border can be seen
    painted = paint(image, regions).to(torch.float32)
    line = border(owner_map, width=1)
    assert line.sum() == 18
    assert (painted[:, ~line] == shade).all()
    assert (painted[:, line] - shade).abs().min() > 60


def test_borders_are_wider_on_large_images():
    owner_map = torch.zeros(700, 800, dtype=torch.int64)
    owner_map[:, 400:] = 1
    image = torch.zeros(3, 700, 800, dtype=torch.uint8)
    painted = paint(image, _regions(owner_map, [(9, 9, 9), (9, 9, 9)]))
    assert (painted[0, 350] > 100).nonzero().flatten().tolist() == [400, 401]


def test_each_kind_of_prediction_is_painted():
    image = torch.full((3, 1, 3), 40, dtype=torch.uint8)
    sky = [0.5 * 40 + 0.5 * value for value in (10, 20, 30)]
    kite = [0.5 * 40 + 0.5 * value for value in (200, 50, 60)]

    label_map = torch.tensor([[0, 0, 0]])
    painted = overlay_semantic(
        image, SemanticPrediction(label_map=label_map), CATEGORIES, alpha=0.5
    )
    assert painted[:, 0, 0].tolist() == sky

    masks = torch.tensor([[[True, True, True]], [[True, False, False]]])
    instances = InstancePrediction(
        masks=masks,
        labels=torch.tensor([1, 0]),
        scores=torch.tensor([0.7, 0.4]),
        queries=torch.tensor([0, 1]),
    )
    painted = overlay_instance(image, instances, CATEGORIES, alpha=0.5)
    assert painted[:, 0, 0].tolist() == kite
    painted = overlay_instance(image, instances, CATEGORIES, alpha=0.5, min_score=0.3)
    assert painted[:, 0, 0].tolist() != kite
    painted = overlay_instance(image, instances, CATEGORIES, min_score=0.8)
    assert torch.equal(painted, image)

    segment = PredictedSegment(id=9, label=1, score=0.1)
    segments = PanopticPrediction(segment_map=torch.full((1, 3), 9), segments=(segment,))
    painted = overlay_panoptic(image, segments, CATEGORIES, alpha=0.5)
    assert painted[:, 0, 2].tolist() == kite


def test_an_annotation_is_painted_as_the_same_prediction_is():
    for sample in TOY:
        segments = tuple(
            PredictedSegment(id=s.id, label=s.label, score=1.0) for s in sample.segments
        )
        prediction = PanopticPrediction(segment_map=sample.segment_map, segments=segments)
        ours = overlay_sample(sample, TOY.categories)
        assert torch.equal(ours, overlay_panoptic(sample.image, prediction, TOY.categories))
        void = sample.segment_map == 0
        assert torch.equal(ours[:, void], sample.image[:, void])
        assert ours.shape == sample.image.shape


def test_nothing_given_is_changed():
    sample = TOY[0]
    image, segment_map = sample.image.clone(), sample.segment_map.clone()
    overlay_sample(sample, TOY.categories)
    assert torch.equal(sample.image, image)
    assert torch.equal(sample.segment_map, segment_map)


def test_predictions_of_another_size_are_refused():
    image = torch.zeros(3, 4, 6, dtype=torch.uint8)
    prediction = SemanticPrediction(label_map=torch.zeros(2, 3, dtype=torch.int64))
    message = r"same size \(H, W\), got size=\(4, 6\), predicted_size=\(2, 3\)"
    with pytest.raises(ValueError, match=message):
        overlay_semantic(image, prediction, CATEGORIES)


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_alpha_outside_its_range_is_refused(alpha):
    with pytest.raises(ValueError, match=rf"alpha must be in \[0, 1\], got alpha={alpha}"):
        overlay_sample(TOY[0], TOY.categories, alpha=alpha)
