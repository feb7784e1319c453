import pytest
import torch
from PIL import Image

from minioneformer.data.toy import ToyPanoptic
from minioneformer.structures import (
    Category,
    InstancePrediction,
    PanopticPrediction,
    PanopticSample,
    PredictedSegment,
    Segment,
    SemanticPrediction,
)
from minioneformer.visualize.demo import GAP, draw_demo
from minioneformer.visualize.figures import MARGIN

TOY = ToyPanoptic(split="val", size=(48, 64), length=3)
SIDE = 192


def _row(sample, categories=TOY.categories):
    """Predictions that repeat the annotation."""
    label_of_id = torch.zeros(int(sample.segment_map.max()) + 1, dtype=torch.int64)
    for segment in sample.segments:
        label_of_id[segment.id] = segment.label
    things = [s for s in sample.segments if categories[s.label].is_thing]
    ids = torch.tensor([s.id for s in things], dtype=torch.int64)
    return {
        "panoptic": PanopticPrediction(
            segment_map=sample.segment_map,
            segments=tuple(
                PredictedSegment(id=s.id, label=s.label, score=0.9) for s in sample.segments
            ),
        ),
        "semantic": SemanticPrediction(label_map=label_of_id[sample.segment_map]),
        "instance": InstancePrediction(
            masks=sample.segment_map == ids[:, None, None],
            labels=torch.tensor([s.label for s in things], dtype=torch.int64),
            scores=torch.full((len(things),), 0.8),
            queries=torch.arange(len(things)),
        ),
    }


def _empty_row(size):
    return {
        "instance": InstancePrediction(
            masks=torch.zeros(0, *size, dtype=torch.bool),
            labels=torch.zeros(0, dtype=torch.int64),
            scores=torch.zeros(0),
            queries=torch.zeros(0, dtype=torch.int64),
        ),
        "panoptic": PanopticPrediction(
            segment_map=torch.zeros(size, dtype=torch.int64), segments=()
        ),
    }


def _texts(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


def test_the_demo_has_a_row_per_image_a_title_per_column_and_one_legend(tmp_path):
    samples = list(TOY)
    path = tmp_path / "new" / "demo.png"
    figure = draw_demo(samples, [_row(s) for s in samples], TOY.categories, path)
    header, *pictures, legend = figure.axes
    assert _texts(header) == ["image", "ground truth", "semantic", "instance", "panoptic"]
    assert len(pictures) == 15
    labels = sorted({s.label for sample in samples for s in sample.segments})
    assert _texts(legend) == [TOY.categories[label].name for label in labels]

    with Image.open(path) as picture:
        width, height = picture.size
    assert width == 5 * (SIDE + GAP) - GAP + 2 * MARGIN
    assert height > 3 * (SIDE * 48 // 64 + GAP)


def test_a_demo_shows_what_was_predicted_in_its_place():
    sample = TOY[1]
    figure = draw_demo([sample], [_row(sample)], TOY.categories)
    _, image, annotation, _, _, panoptic, _ = (
        axes.images[0].get_array() if axes.images else None for axes in figure.axes
    )
    expected = sample.image.repeat_interleave(3, 1).repeat_interleave(3, 2)
    assert torch.equal(torch.from_numpy(image.data.copy()).permute(2, 0, 1), expected)
    assert (annotation == panoptic).all()
    assert (annotation != image).any()


def test_nothing_predicted_and_nothing_annotated_can_be_shown():
    void = PanopticSample(
        image=torch.full((3, 9, 13), 77, dtype=torch.uint8),
        segment_map=torch.zeros(9, 13, dtype=torch.int64),
        segments=(),
        image_id=1,
    )
    figure = draw_demo([void], [_empty_row((9, 13))], TOY.categories)
    header, *pictures, legend = figure.axes
    assert _texts(header) == ["image", "ground truth", "instance", "panoptic"]
    assert all((picture.images[0].get_array() == 77).all() for picture in pictures)
    assert _texts(legend) == ["nothing annotated, nothing found"]


def test_predictions_may_be_missing_altogether():
    figure = draw_demo([TOY[0]], [{}], TOY.categories)
    assert _texts(figure.axes[0]) == ["image", "ground truth"]


def test_images_of_several_sizes_share_a_table():
    small = ToyPanoptic(size=(64, 24), length=1)[0]
    large = ToyPanoptic(size=(300, 400), length=1)[0]
    figure = draw_demo([small, large], [_row(small), _row(large)], TOY.categories)
    sizes = [axes.get_window_extent().size.round().tolist() for axes in figure.axes[1:-1]]
    assert sizes[:5] == [[72, 192]] * 5
    assert sizes[5:] == [[256, 192]] * 5
    panels = [axes.get_window_extent() for axes in figure.axes]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in panels)
    assert all(box.y0 >= 0 and box.y1 <= figure.bbox.y1 for box in panels)
    middles = [(box.x0 + box.x1) / 2 for box in panels[1:-1]]
    assert middles[:5] == pytest.approx(middles[5:], abs=1)


def test_titles_of_narrow_images_do_not_overlap():
    narrow = ToyPanoptic(size=(64, 16), length=1)[0]
    figure = draw_demo([narrow], [_row(narrow)], TOY.categories)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))
    assert boxes[0].x0 >= 0
    assert boxes[-1].x1 <= figure.bbox.x1


def test_a_legend_of_many_classes_is_cut():
    categories = [
        Category(name=f"class {i}", is_thing=False, color=(i, i, i), dataset_id=i)
        for i in range(60)
    ]
    sample = PanopticSample(
        image=torch.zeros(3, 4, 60, dtype=torch.uint8),
        segment_map=torch.arange(1, 61).repeat(4, 1),
        segments=tuple(Segment(id=i + 1, label=i) for i in range(60)),
        image_id=1,
    )
    figure = draw_demo([sample], [_row(sample, categories)], categories)
    texts = _texts(figure.axes[-1])
    assert texts[0] == "class 0"
    assert texts[-1] == "... and 31 more"
    assert len(texts) == 30


def test_rows_that_do_not_match_are_refused():
    sample = TOY[0]
    row = _row(sample)
    with pytest.raises(ValueError, match=r"got len\(samples\)=1, len\(predictions\)=2"):
        draw_demo([sample], [row, row], TOY.categories)
    with pytest.raises(ValueError, match=r"needs samples.*got len\(samples\)=0"):
        draw_demo([], [], TOY.categories)
    with pytest.raises(ValueError, match=r"same of the tasks.*got .*'semantic'.* and \[\]"):
        draw_demo([sample, sample], [row, {}], TOY.categories)


def test_a_path_that_is_no_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in one of"):
        draw_demo([TOY[0]], [{}], TOY.categories, tmp_path / "demo.txt")
