"""What contradicts itself in a sample is found, whatever reader it came from.

Mutants that must fail: look at listed ids only; look at painted ids only; let an id occur twice;
raise what a reader raises; count crowds as segments.
"""

import pytest
import torch
from torch.utils.data import Dataset

from minioneformer.data.sample_facts import FactsOfSamples, sample_errors
from minioneformer.structures import TASKS, Category, PanopticSample, Segment

CATALOGUE = (
    Category(name="cat", is_thing=True, color=(0, 0, 0), dataset_id=1),
    Category(name="sky", is_thing=False, color=(0, 0, 0), dataset_id=2),
)


def make_sample(rows, segments, file_name="a.png", image_size=None):
    segment_map = torch.tensor(rows)
    return PanopticSample(
        image=torch.zeros(3, *(image_size or segment_map.shape), dtype=torch.uint8),
        segment_map=segment_map,
        segments=tuple(segments),
        image_id=7,
        file_name=file_name,
    )


class Listed(Dataset):
    """Samples of a list; exceptions in it are raised."""

    categories, tasks = CATALOGUE, TASKS

    def __init__(self, *samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        if isinstance(self.samples[index], Exception):
            raise self.samples[index]
        return self.samples[index]


def test_a_sample_that_fits_has_no_errors():
    assert (
        sample_errors(make_sample([[0, 1, 2]], [Segment(id=1, label=0), Segment(id=2, label=1)]), 2)
        == []
    )
    assert sample_errors(make_sample([[0]], []), 2) == []


@pytest.mark.parametrize(
    ("rows", "segments", "message"),
    [
        ([[1, 3, 3]], [(1, 0)], "a.png: pixels of segment ids that are not listed, [3]."),
        ([[1, 0]], [(1, 0), (5, 0)], "a.png: segment ids without a pixel, [5]."),
        ([[1, 0]], [(1, 0), (1, 1)], "a.png: segment ids that occur twice, [1]."),
        ([[1, 0]], [(1, 0), (0, 1)], "a.png: segment ids that mean void, [0]."),
        ([[1, 0]], [(1, 2)], "a.png: labels that are not in the catalogue, [2]."),
        ([[1, 0]], [(1, -1)], "a.png: labels that are not in the catalogue, [-1]."),
    ],
)
def test_each_contradiction_is_named(rows, segments, message):
    sample = make_sample(rows, [Segment(id=i, label=label) for i, label in segments])
    assert sample_errors(sample, 2) == [message]


def test_sizes_that_differ_are_named_and_an_image_without_a_file_by_its_id():
    sample = make_sample([[1, 1, 1]], [Segment(id=1, label=0)], file_name="")
    object.__setattr__(sample, "image", torch.zeros(3, 2, 3, dtype=torch.uint8))
    assert sample_errors(sample, 2) == [
        "image 7: image and segment map differ in size, (2, 3) and (1, 3)."
    ]


def test_facts_are_counts():
    segments = [
        Segment(id=1, label=0),
        Segment(id=2, label=1),
        Segment(id=3, label=0, is_crowd=True),
    ]
    facts = FactsOfSamples(Listed(make_sample([[0, 1, 1], [2, 2, 3]], segments)))[0]

    assert facts.size == (2, 3)
    assert facts.classes == ((0, 2), (1, 2))
    assert (facts.void_pixels, facts.crowds, facts.overlap) == (1, 1, None)
    assert (facts.name, facts.image_id, facts.errors) == ("a.png", 7, ())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("b.png: broken\n  in two lines"), "b.png: broken in two lines"),
        (FileNotFoundError("no c.png"), "no c.png"),
        (KeyError("area"), "sample 1: KeyError: 'area'"),
    ],
)
def test_what_a_reader_raises_is_remembered_and_not_raised(error, message):
    facts = FactsOfSamples(Listed(make_sample([[0]], []), error))

    assert facts[0].errors == ()
    assert facts[1].errors == (message,)
    assert facts[1].index == 1
