import colorsys
import itertools
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.data.toy import ToyPanoptic
from minioneformer.panoptic_png import read_panoptic_png
from minioneformer.pixels import read_image

RED_CIRCLE = 3  # the first thing class, at the red end of the colour wheel


@pytest.fixture(scope="module")
def samples():
    dataset = ToyPanoptic(size=(64, 80), min_size=(48, 56), length=300)
    return [dataset[index] for index in range(300)]


def _same(first, second):
    return (
        torch.equal(first.image, second.image)
        and torch.equal(first.segment_map, second.segment_map)
        and first.segments == second.segments
        and first.image_id == second.image_id
    )


def _touch(first, second):
    """Whether two masks have pixels side by side."""
    down = (first[1:] & second[:-1]).any() or (first[:-1] & second[1:]).any()
    return down or (first[:, 1:] & second[:, :-1]).any() or (first[:, :-1] & second[:, 1:]).any()


# the same sample, always


def test_a_sample_depends_on_its_index_and_not_on_what_was_asked_before():
    dataset = ToyPanoptic(size=(33, 47), length=9)
    forwards = [dataset[index] for index in range(9)]
    again = ToyPanoptic(size=(33, 47), length=9)
    backwards = [again[index] for index in reversed(range(9))][::-1]
    assert all(map(_same, forwards, backwards))


def test_a_longer_data_set_begins_with_the_shorter_one():
    assert _same(ToyPanoptic(length=5)[4], ToyPanoptic(length=5000)[4])


def test_a_data_set_can_be_sent_to_a_worker():
    dataset = ToyPanoptic(length=3, seed=4)
    assert _same(pickle.loads(pickle.dumps(dataset))[2], dataset[2])


def test_no_image_appears_in_both_splits_or_under_two_seeds():
    images = [
        ToyPanoptic(split=split, seed=seed, length=200)[index].image.numpy().tobytes()
        for split, seed in itertools.product(("train", "val"), (0, 1))
        for index in range(200)
    ]
    assert len(set(images)) == len(images)


def test_no_random_stream_is_shared_between_splits():
    # the same words that the data set seeds with: (seed, (split, index))
    states = {
        tuple(np.random.SeedSequence(seed, spawn_key=(split, index)).generate_state(4))
        for seed, split, index in itertools.product(range(2), range(2), range(500))
    }
    assert len(states) == 2 * 2 * 500


# what a sample holds


@given(
    seed=st.integers(0, 2**40),
    index=st.integers(0, 2**20),
    size=st.tuples(st.integers(16, 70), st.integers(16, 70)),
    max_objects=st.integers(0, 12),
)
@settings(max_examples=25, deadline=None)
def test_segments_and_map_agree_and_each_segment_can_be_seen(seed, index, size, max_objects):
    dataset = ToyPanoptic(size=size, seed=seed, length=2**20 + 1, max_objects=max_objects)
    sample = dataset[index]
    assert sample.image.shape == (3, *size)
    assert (sample.image.dtype, sample.segment_map.dtype) == (torch.uint8, torch.int64)
    assert sample.image_id == index

    ids = [segment.id for segment in sample.segments]
    assert ids == list(range(1, len(ids) + 1))
    assert set(sample.segment_map.unique().tolist()) - {0} == set(ids)
    for segment in sample.segments:
        assert (sample.segment_map == segment.id).sum() >= 10
        assert not segment.is_crowd

    kinds = [dataset.categories[segment.label].is_thing for segment in sample.segments]
    assert kinds == sorted(kinds)  # stuff first
    assert sum(kinds) <= max_objects
    stuff = [segment.label for segment in sample.segments if segment.label < 3]
    assert len(stuff) == len(set(stuff))


def test_images_have_sizes_between_the_bounds_and_are_not_always_square(samples):
    heights, widths = zip(*(sample.segment_map.shape for sample in samples), strict=True)
    assert (min(heights), max(heights)) == (48, 64)
    assert (min(widths), max(widths)) == (56, 80)
    assert len(set(zip(heights, widths, strict=True))) > 100


def test_every_class_appears_and_things_are_about_equally_frequent(samples):
    labels = [segment.label for sample in samples for segment in sample.segments]
    counts = np.bincount(labels, minlength=8)
    assert (counts[:3] > 200).all()
    assert counts[3:].min() > 0.6 * counts[3:].max()


def test_some_scenes_have_no_thing_and_some_lack_a_stuff_class(samples):
    things = [sum(segment.label >= 3 for segment in sample.segments) for sample in samples]
    stuff = [sum(segment.label < 3 for segment in sample.segments) for sample in samples]
    assert 0.03 < np.mean(np.array(things) == 0) < 0.25
    assert max(things) == ToyPanoptic().max_objects
    assert 0.15 < np.mean(np.array(stuff) == 2) < 0.45


def test_same_class_neighbours_touch_in_many_scenes_so_that_the_tasks_differ(samples):
    scenes = 0
    for sample in samples:
        pairs = itertools.combinations([s for s in sample.segments if s.label >= 3], 2)
        scenes += any(
            first.label == second.label
            and _touch(sample.segment_map == first.id, sample.segment_map == second.id)
            for first, second in pairs
        )
    assert scenes > 0.2 * len(samples)


def test_objects_are_cut_off_and_of_very_different_sizes(samples):
    cut, areas = 0, []
    for sample in samples:
        for segment in (s for s in sample.segments if s.label >= 3):
            mask = sample.segment_map == segment.id
            cut += bool(mask[0].any() | mask[-1].any() | mask[:, 0].any() | mask[:, -1].any())
            areas.append(int(mask.sum()))
    assert 0.1 < cut / len(areas) < 0.6
    assert np.quantile(areas, 0.95) > 5 * np.quantile(areas, 0.05)


def test_a_little_is_void(samples):
    void = np.array([(sample.segment_map == 0).double().mean() for sample in samples])
    assert 0.05 < (void > 0).mean() < 0.3
    assert void.mean() < 0.02


# parameters


def _circle_hues(color_overlap):
    """Middle hue of each large circle, measured from the circles' own place on the wheel."""
    dataset = ToyPanoptic(length=150, color_overlap=color_overlap)
    hues = []
    for sample in (dataset[index] for index in range(150)):
        for segment in sample.segments:
            mask = sample.segment_map == segment.id
            if segment.label == RED_CIRCLE and mask.sum() > 60:
                red, green, blue = sample.image[:, mask].double().median(dim=1).values / 255
                hue = colorsys.rgb_to_hsv(red.item(), green.item(), blue.item())[0]
                hues.append((hue - 0.02 + 0.5) % 1.0 - 0.5)
    return np.abs(hues)


def test_the_overlap_says_how_much_of_the_colour_wheel_a_class_uses():
    narrow, default, everything = map(_circle_hues, (0.0, 0.3, 1.0))
    assert narrow.max() < 0.05  # of the wheel; the neighbour's middle is 0.2 away
    assert 0.1 < default.max() < 0.2
    assert everything.max() > 0.4


def test_the_overlap_changes_colours_and_no_shape():
    first, second = (
        ToyPanoptic(size=(49, 66), length=20, color_overlap=overlap) for overlap in (0.0, 1.0)
    )
    pairs = [(first[index], second[index]) for index in range(20)]
    assert all(torch.equal(one.segment_map, two.segment_map) for one, two in pairs)
    assert any(not torch.equal(one.image, two.image) for one, two in pairs)


def test_iteration_ends_at_the_length():
    assert [sample.image_id for sample in ToyPanoptic(length=3)] == [0, 1, 2]
    assert len(ToyPanoptic(length=3)) == 3
    assert list(ToyPanoptic(length=0)) == []


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_is_refused(index):
    with pytest.raises(IndexError, match=rf"must be in 0 \.\. 2, got index={index}"):
        ToyPanoptic(length=3)[index]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "test"}, r"got split='test'"),
        ({"size": (15, 64)}, r"sides must be >= 16.*got size=\(15, 64\)"),
        ({"size": (64, 64), "min_size": (32, 65)}, r"min_size <= size.*got.*min_size=\(32, 65\)"),
        ({"size": (64, 64), "min_size": (65, 32)}, r"min_size <= size.*got.*min_size=\(65, 32\)"),
        ({"size": (64, 64), "min_size": (8, 32)}, r"sides must be >= 16"),
        ({"length": -1}, r"got length=-1"),
        ({"seed": -1}, r"got.*seed=-1"),
        ({"max_objects": -1}, r"got.*max_objects=-1"),
        ({"color_overlap": -0.1}, r"got color_overlap=-0.1"),
        ({"color_overlap": 1.5}, r"got color_overlap=1.5"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ToyPanoptic(**arguments)


# on disk


def test_the_data_set_is_written_under_the_name_of_its_split(tmp_path):
    dataset = ToyPanoptic(split="val", size=(33, 47), length=3)
    path = dataset.write_coco_panoptic(tmp_path / "toy")
    assert path == tmp_path / "toy" / "annotations" / "panoptic_val.json"
    content = json.loads(path.read_text())
    assert [row["name"] for row in content["categories"]][:4] == ["sky", "grass", "water", "circle"]
    for sample, image in zip(dataset, content["images"], strict=True):
        png = tmp_path / "toy" / "panoptic_val" / image["file_name"]
        assert torch.equal(read_image(tmp_path / "toy" / "val" / image["file_name"]), sample.image)
        assert torch.equal(read_panoptic_png(png), sample.segment_map)
