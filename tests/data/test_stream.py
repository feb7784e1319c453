"""The stream is a function of seed and step.

Mutants that must fail: seed with the position only; draw the task before seeding; seed with the
step instead of the position; shuffle every epoch alike; let the loader draw from the global
generator; seed the accelerators.
"""

import itertools
import multiprocessing
import subprocess
from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset

from minioneformer.data.large_scale_jitter import LargeScaleJitter
from minioneformer.data.stream import TrainingStream, make_loader
from minioneformer.data.transforms import TrainTransform
from minioneformer.structures import TASKS, Category, PanopticSample, Segment
from minioneformer.text.tokenizer import BPETokenizer

CATALOGUE = (
    Category(name="sky", is_thing=False, color=(0, 0, 0), dataset_id=1),
    Category(name="cat", is_thing=True, color=(0, 0, 0), dataset_id=2),
)
AUGMENT = TrainTransform(crop_size=(4, 5), color_augmentation=True)
LEAVE = TrainTransform(flip=False)


class Numbered(Dataset):
    """Sample i is a picture of noise with image_id i."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return PanopticSample(
            image=torch.randint(0, 256, (3, 6, 9), dtype=torch.uint8, generator=generator),
            segment_map=torch.randint(1, 3, (6, 9), generator=generator),
            segments=(Segment(id=1, label=0), Segment(id=2, label=1)),
            image_id=index,
        )


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train(["the task is", "a photo with a sky cat"], 530)


@pytest.fixture
def make_stream(tokenizer):
    def build(length=5, batch_size=3, seed=0, task_probabilities=None, transform=AUGMENT):
        return TrainingStream(
            dataset=Numbered(length),
            transform=transform,
            categories=CATALOGUE,
            tokenizer=tokenizer,
            num_text=2,
            batch_size=batch_size,
            seed=seed,
            task_probabilities=task_probabilities,
            context_length=12,
            size_divisibility=4,
        )

    return build


def same(one, other):
    return (
        torch.equal(one.images, other.images)
        and torch.equal(one.padding_mask, other.padding_mask)
        and torch.equal(one.task_tokens, other.task_tokens)
        and torch.equal(one.text_tokens, other.text_tokens)
        and (one.tasks, one.image_ids) == (other.tasks, other.image_ids)
        and all(
            torch.equal(a.masks, b.masks) and torch.equal(a.labels, b.labels)
            for a, b in zip(one.targets, other.targets, strict=True)
        )
    )


def test_a_batch_is_the_same_whenever_it_is_asked_for(make_stream):
    stream = make_stream()
    forward = [stream[step] for step in range(4)]
    torch.manual_seed(99)
    backward = [make_stream()[step] for step in reversed(range(4))]

    assert all(same(a, b) for a, b in zip(forward, reversed(backward), strict=True))
    assert not same(forward[0], forward[1])


def test_another_seed_gives_another_order_other_tasks_and_other_crops(make_stream):
    one, other = make_stream(batch_size=5, seed=0)[0], make_stream(batch_size=5, seed=1)[0]
    assert one.image_ids != other.image_ids
    assert one.tasks != other.tasks

    # of a single image the order says nothing
    alone = [make_stream(length=1, batch_size=1, seed=seed)[0] for seed in (0, 1)]
    assert not torch.equal(alone[0].images, alone[1].images)


def test_workers_jitter_scales_in_the_same_way(make_stream):
    streams = [make_stream(transform=LargeScaleJitter(crop_size=(8, 12))) for _ in range(2)]
    alone = [streams[0][step] for step in range(4)]  # beyond one epoch
    helped = list(make_loader(streams[1], start_step=0, end_step=4, num_workers=2))

    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))
    assert not same(alone[0], alone[1])


def test_workers_make_the_same_batches_in_the_same_order(make_stream):
    alone = list(make_loader(make_stream(), start_step=0, end_step=5))
    helped = list(make_loader(make_stream(), start_step=0, end_step=5, num_workers=2))

    assert len(alone) == len(helped) == 5
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))


def test_workers_outlive_signals_to_the_whole_group(make_stream):
    """The run finishes its step first, and may wait for a batch."""
    alone = list(make_loader(make_stream(), start_step=0, end_step=6))
    batches = iter(make_loader(make_stream(), start_step=0, end_step=6, num_workers=1))
    helped = [next(batches)]
    (worker,) = multiprocessing.active_children()
    for number in ("TERM", "INT"):  # not of this process: that may end its workers
        subprocess.run(["sh", "-c", f"kill -{number} {worker.pid}"], check=True)
    helped += batches  # two were made before the signal
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))


def test_a_worker_ends_when_its_run_tells_it_to(make_stream):
    """A program that ends, and has not asked for all batches, waits until it has."""
    batches = iter(make_loader(make_stream(), start_step=0, end_step=6, num_workers=1))
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0


def test_a_resumed_run_sees_the_batches_it_would_have_seen(make_stream):
    whole = list(make_loader(make_stream(), start_step=0, end_step=6))
    resumed = list(make_loader(make_stream(), start_step=4, end_step=6))

    assert all(same(a, b) for a, b in zip(whole[4:], resumed, strict=True))


def test_every_epoch_shows_every_image_once_in_its_own_order(make_stream):
    stream = make_stream(length=7, batch_size=2)
    ids = [i for step in range(7) for i in stream[step].image_ids]  # two epochs

    assert sorted(ids[:7]) == sorted(ids[7:]) == list(range(7))
    assert ids[:7] != ids[7:]
    assert ids[:7] != list(range(7))


def test_the_batch_size_does_not_change_what_is_at_a_position(make_stream):
    twos, threes = make_stream(batch_size=2), make_stream(batch_size=3)
    by_two = [image for step in range(6) for image in twos[step].images]
    by_three = [image for step in range(4) for image in threes[step].images]

    assert all(torch.equal(a, b) for a, b in zip(by_two, by_three, strict=True))


def test_an_image_is_augmented_anew_in_each_epoch(make_stream):
    stream = make_stream(length=1, batch_size=1)
    batches = [stream[step] for step in range(8)]

    assert not any(torch.equal(a.images, b.images) for a, b in itertools.combinations(batches, 2))
    assert len({batch.tasks for batch in batches}) > 1


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_global_random_state_is_left_alone(make_stream, num_workers):
    before = torch.get_rng_state()
    loader = make_loader(make_stream(), start_step=0, end_step=2, num_workers=num_workers)
    batches = list(loader)

    assert len(batches) == 2
    assert torch.equal(torch.get_rng_state(), before)


def test_making_a_batch_seeds_no_accelerator(make_stream, monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    torch.manual_seed(5)
    assert seeded == [5]  # what must not happen, seen happening

    make_stream()[0]
    assert seeded == [5]


def test_tasks_are_drawn_equally_often_unless_told(make_stream):
    stream = make_stream(batch_size=100, transform=LEAVE)
    counts = Counter(task for step in range(9) for task in stream[step].tasks)

    # 300 each; the standard deviation is 14
    assert all(240 < counts[task] < 360 for task in TASKS)


def test_a_task_of_probability_zero_is_never_drawn(make_stream):
    stream = make_stream(
        batch_size=100, task_probabilities={"semantic": 0.25, "panoptic": 0.75}, transform=LEAVE
    )
    counts = Counter(task for step in range(4) for task in stream[step].tasks)

    assert counts["instance"] == 0
    assert 65 < counts["semantic"] < 135


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ({"semantic": 0.5, "panoptic": 0.4}, r"sum to 1, got \{'semantic': 0.5, .*sum 0.9"),
        ({"semantic": 1.5, "panoptic": -0.5}, "must be >= 0 and sum to 1, got"),
        ({"semantic": float("nan")}, "must be >= 0 and sum to 1, got"),
        ({"panoptc": 1.0}, r"has keys semantic, instance, panoptic, got unknown=\['panoptc'\]"),
        ({}, r"sum to 1, got \{\}"),
    ],
)
def test_impossible_probabilities_are_refused(make_stream, probabilities, message):
    with pytest.raises(ValueError, match=message):
        make_stream(task_probabilities=probabilities)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "at least one sample, got self.num_samples=0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got batch_size=0"),
        ({"seed": -1}, "seed must be at least 0, got seed=-1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make_stream, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_stream(**arguments)


def test_there_is_no_step_before_the_first(make_stream):
    with pytest.raises(IndexError, match="steps count from 0, got step=-1"):
        make_stream()[-1]


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (4, 3)])
def test_a_stretch_that_does_not_exist_is_refused(make_stream, start, end):
    with pytest.raises(ValueError, match=f"got start_step={start}, end_step={end}"):
        make_loader(make_stream(), start_step=start, end_step=end)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it makes a new stream each time
)
@given(
    parts=st.integers(1, 3),
    processes=st.integers(1, 4),
    start=st.integers(0, 5),
    steps=st.integers(0, 4),
)
def test_however_a_step_is_cut_its_images_are_the_same_and_none_comes_twice(
    make_stream, parts, processes, start, steps
):
    size = 2
    whole = make_stream(length=1000, batch_size=size * parts * processes)
    pieces = make_stream(length=1000, batch_size=size)
    shares = [
        list(
            make_loader(
                pieces,
                start_step=start,
                end_step=start + steps,
                parts=parts,
                rank=rank,
                processes=processes,
            )
        )
        for rank in range(processes)
    ]
    assert all(len(share) == steps * parts for share in shares)
    for step in range(steps):
        ids = [
            image_id
            for share in shares
            for batch in share[step * parts : (step + 1) * parts]
            for image_id in batch.image_ids
        ]
        assert tuple(ids) == whole[start + step].image_ids
