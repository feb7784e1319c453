import numpy as np
import pytest
import torch
from matplotlib import pyplot

from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.toy import ToyPanoptic
from minioneformer.structures import (
    Category,
    InstancePrediction,
    PanopticPrediction,
    PredictedSegment,
    SemanticPrediction,
)
from minioneformer.visualize.colors import instance_colors
from minioneformer.visualize.figures import MARGIN, TITLE_HEIGHT, draw_prediction, resized_overlay
from minioneformer.visualize.overlay import overlay_sample, overlay_semantic
from minioneformer.visualize.regions import find_regions

CATEGORIES = (
    Category(name="sky", is_thing=False, color=(10, 20, 30), dataset_id=1),
    Category(name="kite", is_thing=True, color=(200, 50, 60), dataset_id=2),
    Category(name="sea", is_thing=False, color=(40, 90, 220), dataset_id=3),
)
SKY, KITE, SEA = 0, 1, 2
IMAGE = torch.full((3, 6, 8), 100, dtype=torch.uint8)


def _panoptic():
    segment_map = torch.full((6, 8), 1)
    segment_map[3:] = 2
    segment_map[4:, 6:] = 0
    segment_map[0:2, 0:2] = 3
    segment_map[1:4, 4:7] = 4
    segments = (
        PredictedSegment(id=1, label=SKY, score=0.99),
        PredictedSegment(id=2, label=SEA, score=0.98),
        PredictedSegment(id=3, label=KITE, score=0.6),
        PredictedSegment(id=4, label=KITE, score=0.913),
    )
    return PanopticPrediction(segment_map=segment_map, segments=segments)


def _pixels(figure):
    figure.canvas.draw()
    return torch.from_numpy(np.asarray(figure.canvas.buffer_rgba()).copy()).permute(2, 0, 1)[:3]


def _legend(figure):
    """(mark, text) of each line, and the colours."""
    axes = figure.axes[1]
    texts = [text.get_text() for text in axes.texts]
    colors = [
        tuple(round(255 * value) for value in patch.get_facecolor()[:3]) for patch in axes.patches
    ]
    return texts, colors


def test_a_panoptic_legend_names_things_by_score_and_stuff_by_area():
    figure = draw_prediction(IMAGE, _panoptic(), CATEGORIES)
    texts, colors = _legend(figure)
    assert texts == ["1", "kite 0.91", "2", "kite 0.60", "", "sea", "", "sky"]
    kites = [tuple(row) for row in instance_colors((200, 50, 60), 2).tolist()]
    assert colors == [kites[1], kites[0], (40, 90, 220), (10, 20, 30)]


def test_marks_stand_inside_their_things():
    axes = draw_prediction(IMAGE, _panoptic(), CATEGORIES).axes[0]
    scale = 512 / 8
    places = {t.get_text(): t.get_position() for t in axes.texts if t.get_text()}
    assert places.keys() == {"1", "2"}
    assert places["1"] == (5.5 * scale, 2.5 * scale)  # the middle of 3 x 3 pixels
    x, y = places["2"]
    assert 0 < x < 2 * scale
    assert 0 < y < 2 * scale


def test_the_mark_of_a_ring_is_not_in_its_hole():
    mask = torch.zeros(1, 21, 27, dtype=torch.bool)
    mask[0, 3:18, 3:18] = True
    mask[0, 6:15, 6:13] = False  # the right side of the ring is the widest
    instances = InstancePrediction(
        masks=mask,
        labels=torch.tensor([KITE]),
        scores=torch.tensor([0.9]),
        queries=torch.tensor([0]),
    )
    image = torch.zeros(3, 21, 27, dtype=torch.uint8)
    figure = draw_prediction(image, instances, CATEGORIES)
    x, y = next(t.get_position() for t in figure.axes[0].texts if t.get_text() == "1")
    width, height = figure.axes[0].get_xlim()[1], figure.axes[0].get_ylim()[0]
    assert 13 <= x / width * 27 < 18
    assert 3 <= y / height * 21 < 18


def test_an_annotation_has_numbers_but_no_scores():
    sample = ToyPanoptic(split="val", size=(45, 64), length=1)[0]
    categories = ToyPanoptic(length=1).categories
    texts, _ = _legend(draw_prediction(sample.image, sample, categories))
    names = [categories[s.label].name for s in sample.segments]
    assert sorted(texts[1::2]) == sorted(names)
    things = sum(categories[s.label].is_thing for s in sample.segments)
    assert texts[0 : 2 * things : 2] == [str(i + 1) for i in range(things)]


def test_a_semantic_legend_names_only_classes_that_are_there():
    label_map = torch.full((6, 8), KITE)
    label_map[0, :3] = SKY
    texts, colors = _legend(
        draw_prediction(IMAGE, SemanticPrediction(label_map=label_map), CATEGORIES)
    )
    assert texts == ["", "kite", "", "sky"]
    assert colors == [(200, 50, 60), (10, 20, 30)]


def test_instances_below_the_score_are_neither_drawn_nor_named():
    masks = torch.zeros(2, 6, 8, dtype=torch.bool)
    masks[0, :2] = True
    masks[1, 4:] = True
    instances = InstancePrediction(
        masks=masks,
        labels=torch.tensor([KITE, KITE]),
        scores=torch.tensor([0.75, 0.25]),
        queries=torch.arange(2),
    )
    assert _legend(draw_prediction(IMAGE, instances, CATEGORIES))[0] == ["1", "kite 0.75"]
    texts, _ = _legend(draw_prediction(IMAGE, instances, CATEGORIES, min_score=0.0))
    assert texts == ["1", "kite 0.75", "2", "kite 0.25"]
    figure = draw_prediction(IMAGE, instances, CATEGORIES, min_score=0.9)
    assert _legend(figure)[0] == ["nothing found"]


def test_nothing_predicted_shows_the_image_and_says_so():
    nothing = PanopticPrediction(segment_map=torch.zeros(6, 8, dtype=torch.int64), segments=())
    figure = draw_prediction(IMAGE, nothing, CATEGORIES)
    assert _legend(figure)[0] == ["nothing found"]
    pixels = _pixels(figure)[:, MARGIN : MARGIN + 384, MARGIN : MARGIN + 512]
    assert (pixels == 100).all()


def test_a_long_legend_is_cut_and_what_it_leaves_out_has_no_mark():
    segment_map = torch.arange(40).reshape(1, 40).repeat(20, 1) + 1
    segments = tuple(PredictedSegment(id=i + 1, label=KITE, score=1 - i / 100) for i in range(40))
    image = torch.zeros(3, 20, 40, dtype=torch.uint8)
    prediction = PanopticPrediction(segment_map=segment_map, segments=segments)
    figure = draw_prediction(image, prediction, CATEGORIES)
    texts, colors = _legend(figure)
    assert texts[-1] == "... and 25 more"
    assert len(colors) == 15
    marks = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    assert marks == [str(i) for i in range(1, 16)]


def test_small_images_are_enlarged_and_then_painted(rng):
    image = torch.randint(0, 256, (3, 48, 64), dtype=torch.uint8, generator=rng)
    label_map = torch.zeros(48, 64, dtype=torch.int64)
    label_map[10:30, 7:40] = KITE
    prediction = SemanticPrediction(label_map=label_map)
    pixels = _pixels(draw_prediction(image, prediction, CATEGORIES, alpha=0.7))
    large = image.repeat_interleave(8, 1).repeat_interleave(8, 2)
    large_map = label_map.repeat_interleave(8, 0).repeat_interleave(8, 1)
    expected = overlay_semantic(
        large, SemanticPrediction(label_map=large_map), CATEGORIES, alpha=0.7
    )
    assert torch.equal(pixels[:, MARGIN : MARGIN + 384, MARGIN : MARGIN + 512], expected)


@pytest.mark.parametrize(
    ("size", "shown"), [((480, 640), (480, 640)), ((1, 1), (512, 512)), ((3, 1100), (3, 1024))]
)
def test_images_of_any_size_have_room(size, shown):
    image = torch.full((3, *size), 100, dtype=torch.uint8)
    label_map = torch.zeros(size, dtype=torch.int64)
    prediction = SemanticPrediction(label_map=label_map)
    figure = draw_prediction(image, prediction, CATEGORIES, title="sky")
    pixels = _pixels(figure)
    assert pixels.shape[1] >= shown[0] + 2 * MARGIN
    assert pixels.shape[2] >= shown[1] + 3 * MARGIN
    top = MARGIN + TITLE_HEIGHT
    picture = pixels[:, top : top + shown[0], MARGIN : MARGIN + shown[1]]
    assert (picture[0] == round(0.4 * 100 + 0.6 * 10)).all()


def test_a_title_fits_above_the_image():
    title = "What $is$ this_picture? " * 5
    label_map = torch.zeros(6, 8, dtype=torch.int64)
    prediction = SemanticPrediction(label_map=label_map)
    plain = draw_prediction(IMAGE, prediction, CATEGORIES)
    figure = draw_prediction(IMAGE, prediction, CATEGORIES, title=title)
    assert _pixels(figure).shape[1] == _pixels(plain).shape[1] + TITLE_HEIGHT
    (text,) = (t for t in figure.axes[0].texts if t.get_text())
    extent = text.get_window_extent()
    assert text.get_text() == title
    assert extent.x1 <= figure.bbox.x1
    assert extent.y1 <= figure.bbox.y1
    assert extent.y0 >= figure.bbox.y1 - MARGIN - TITLE_HEIGHT


def test_pyplot_does_not_know_the_figures():
    draw_prediction(IMAGE, _panoptic(), CATEGORIES)
    assert pyplot.get_fignums() == []


def test_predictions_of_another_size_are_refused_by_their_own_sizes():
    prediction = SemanticPrediction(label_map=torch.zeros(3, 4, dtype=torch.int64))
    message = r"got size=\(6, 8\), predicted_size=\(3, 4\)"
    with pytest.raises(ValueError, match=message):
        draw_prediction(IMAGE, prediction, CATEGORIES)
    with pytest.raises(ValueError, match=message):
        resized_overlay(IMAGE, find_regions(prediction, CATEGORIES), (3, 4), alpha=0.5)


def test_a_photograph_and_its_annotation_are_drawn_at_their_size(shared_data):
    root = shared_data / "hf_coco_fixtures"
    data_set = CocoPanoptic(
        root / "as_coco_panoptic.json", image_dir=root, png_dir=root / "coco_panoptic"
    )
    sample = data_set[0]
    figure = draw_prediction(sample.image, sample, data_set.categories)
    texts, _ = _legend(figure)
    assert texts == ["1", "cat", "2", "cat", "3", "couch", "4", "remote", "5", "remote"] + [
        "",
        "blanket",
    ]
    assert figure.axes[0].get_window_extent().size.tolist() == [640, 480]
    overlay = overlay_sample(sample, data_set.categories)
    void = sample.segment_map == 0
    assert 0.03 < void.float().mean() < 0.04
    assert torch.equal(overlay[:, void], sample.image[:, void])
