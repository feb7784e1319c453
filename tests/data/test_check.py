"""Every figure of a small data set by hand, and every kind of warning.

Mutants that must fail: count crowds; weigh images instead of pixels; take the panoptic number of
targets for any task; compare with >= instead of >; forget start and end of a text.
"""

import json
import math

import pytest
import torch
from torch.utils.data import Dataset

from minioneformer.data.background import WithBackground
from minioneformer.data.check import check_dataset
from minioneformer.data.coco_instance import CocoInstance
from minioneformer.pixels import read_image
from minioneformer.structures import TASKS, Category, PanopticSample, Segment
from minioneformer.text.tokenizer import BPETokenizer

CATALOGUE = (
    Category(name="cat", is_thing=True, color=(0, 0, 0), dataset_id=1),
    Category(name="sky", is_thing=False, color=(0, 0, 0), dataset_id=2),
    Category(name="dog", is_thing=True, color=(0, 0, 0), dataset_id=3),
)


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train(["a photo with a sky cat dog"], 530)


class Listed(Dataset):
    """Samples of a list."""

    def __init__(self, samples, tasks=TASKS, categories=CATALOGUE):
        self.samples, self.tasks, self.categories = samples, tasks, categories

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        if self.samples[index] is None:
            raise ValueError(f"{index}.png is broken.")
        return self.samples[index]


def make_sample(rows, labels, image_id, crowds=()):
    segment_map = torch.tensor(rows)
    return PanopticSample(
        image=torch.zeros(3, *segment_map.shape, dtype=torch.uint8),
        segment_map=segment_map,
        segments=tuple(
            Segment(id=i, label=label, is_crowd=i in crowds) for i, label in labels.items()
        ),
        image_id=image_id,
        file_name=f"{image_id}.png",
    )


SAMPLES = (
    make_sample([[1, 1, 2, 3, 0]], {1: 0, 2: 0, 3: 1}, "two"),
    make_sample([[4, 4, 4, 0], [4, 4, 5, 5]], {4: 1, 5: 0}, "crowd", crowds=(5,)),
    make_sample([[0, 0, 0, 0, 0]], {}, "void"),
    None,
)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_data_set_counted_by_hand(tokenizer, num_workers):
    report = check_dataset(
        Listed(SAMPLES), tokenizer=tokenizer, num_workers=num_workers, progress=False
    )

    assert (report.images, report.broken_images) == (4, 1)
    assert [(c.segments, c.images, c.pixels) for c in report.classes] == [
        (2, 1, 3),
        (2, 2, 6),
        (0, 0, 0),
    ]
    assert report.sizes == {(1, 5): 2, (2, 4): 1}
    assert report.pixels == 18
    assert report.void_share == pytest.approx(7 / 18)
    assert (report.crowds, report.without_objects, report.all_void) == (1, 2, 1)
    assert report.most_targets == 3
    assert report.overlap_pixels is None
    assert [(p.index, p.message) for p in report.errors] == [(3, "3.png is broken.")]
    assert report.warnings == ("1 classes without a segment: ['dog'].",)


@pytest.mark.parametrize(
    ("tasks", "most"), [(TASKS, 3), (("instance",), 2), (("semantic",), 2), (("panoptic",), 3)]
)
def test_targets_are_those_of_the_tasks_that_the_labels_teach(tokenizer, tasks, most):
    dataset = Listed(SAMPLES[:1], tasks=tasks)
    report = check_dataset(dataset, tokenizer=tokenizer, num_workers=0, progress=False)
    assert report.most_targets == most


def warnings_of(tokenizer, categories=CATALOGUE[:2], **limits):
    dataset = Listed(SAMPLES[:2], categories=categories)
    report = check_dataset(dataset, tokenizer=tokenizer, num_workers=0, progress=False, **limits)
    return report.warnings


def test_more_segments_than_queries_or_texts_are_a_warning(tokenizer):
    assert warnings_of(tokenizer, num_queries=3, num_texts=3) == ()
    queries, texts = warnings_of(tokenizer, num_queries=2, num_texts=2)
    assert "1 images have more segments than num_queries=2, at most 3 in two.png" in queries
    assert "num_texts=2" in texts


def test_a_name_too_long_for_the_text_encoder_is_a_warning(tokenizer):
    # "a photo with a cat" is five words of one token, start and end: 7
    assert warnings_of(tokenizer, context_length=7) == ()
    cat, sky = warnings_of(tokenizer, context_length=6)
    assert "class 'cat' has 7 tokens, more than context_length=6" in cat
    assert "'sky'" in sky


def test_names_that_are_empty_or_repeated_are_warnings(tokenizer):
    def named(*names):
        colors = {"is_thing": False, "color": (0, 0, 0)}
        return tuple(Category(name=n, dataset_id=i, **colors) for i, n in enumerate(names))

    assert any("twice" in w and "'cat'" in w for w in warnings_of(tokenizer, named("cat", "cat")))
    assert any("name is empty" in w for w in warnings_of(tokenizer, named("cat", " ")))


@pytest.mark.parametrize("left_out", [0, 3])
def test_images_without_an_annotation_are_a_warning(tokenizer, left_out):
    dataset = Listed(SAMPLES)
    dataset.unannotated = left_out
    report = check_dataset(dataset, tokenizer=tokenizer, num_workers=0, progress=False)
    told = "3 images have no annotation: they are left out."
    assert (told in report.warnings) == bool(left_out)


def test_an_image_id_that_occurs_twice_is_an_error(tokenizer):
    dataset = Listed([SAMPLES[0], SAMPLES[0]])
    report = check_dataset(dataset, tokenizer=tokenizer, num_workers=0, progress=False)

    assert [p.index for p in report.errors] == [1]
    assert report.errors[0].message == "two.png: image id 'two' is also that of two.png."
    assert sum(report.sizes.values()) == 1


def test_an_empty_data_set_has_a_report(tokenizer):
    report = check_dataset(Listed([]), tokenizer=tokenizer, num_workers=0, progress=False)
    assert report.images == 0
    assert math.isnan(report.void_share)
    assert "images           0" in report.table()


def test_the_vocabulary_that_ships_is_the_default():
    report = check_dataset(Listed(SAMPLES[:2]), num_workers=0, progress=False, context_length=3)
    assert len([w for w in report.warnings if "more than context_length=3" in w]) == 3


@pytest.fixture
def overlapping(tmp_path):
    """Two squares that overlap by 2 x 2 pixels, the larger below, and one that is hidden."""
    from PIL import Image

    Image.new("RGB", (12, 9)).save(tmp_path / "0.png")
    squares = {1: (0, 0, 6, 6), 2: (4, 4, 8, 8), 3: (4, 4, 8, 8)}
    content = {
        "images": [{"id": 0, "file_name": "0.png"}],
        "annotations": [
            {
                "id": i,
                "image_id": 0,
                "category_id": 1,
                "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
            }
            for i, (x0, y0, x1, y1) in squares.items()
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_image(tmp_path / "0.png").shape == (3, 9, 12)
    return CocoInstance(tmp_path / "a.json", image_dir=tmp_path)


@pytest.mark.parametrize("wrap", [lambda dataset: dataset, WithBackground])
def test_overlaps_are_reported_where_the_form_has_them(overlapping, tokenizer, wrap):
    expected = overlapping.overlap(0)
    report = check_dataset(wrap(overlapping), tokenizer=tokenizer, num_workers=0, progress=False)

    assert report.overlap_pixels == expected.pixels == 4 + 16
    assert report.errors == ()
    hidden = [w for w in report.warnings if "lost every pixel" in w]
    assert len(hidden) == 1
    assert f"0.png [{expected.hidden[0]}]" in hidden[0]
    assert f"{20} pixels" in report.table()
