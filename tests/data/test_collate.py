"""Batches against hand-worked sizes, paddings, texts.

Mutants that must fail: pad before normalising; pad on the left; round the size down; carry texts
from one image to the next; sort the images; swap height and width.
"""

import pytest
import torch

from minioneformer.data.collate import collate
from minioneformer.pixels import normalize
from minioneformer.structures import Category, PanopticSample, Segment
from minioneformer.text.tokenizer import BPETokenizer

CATALOGUE = tuple(
    Category(name=name, is_thing=is_thing, color=(0, 0, 0), dataset_id=label + 1)
    for label, (name, is_thing) in enumerate([("sky", False), ("cat", True), ("dog", True)])
)


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train(["the task is", "a photo with a sky cat dog"], 540)


def make_sample(height, width, labels, image_id=0):
    """Segment i + 1 fills column i; the other columns are void."""
    segment_map = torch.zeros(height, width, dtype=torch.int64)
    for column in range(len(labels)):
        segment_map[:, column] = column + 1
    return PanopticSample(
        image=torch.randint(0, 256, (3, height, width), dtype=torch.uint8),
        segment_map=segment_map,
        segments=tuple(Segment(id=i + 1, label=label) for i, label in enumerate(labels)),
        image_id=image_id,
    )


def make_batch(samples, tasks, tokenizer, num_text=4, size_divisibility=32):
    return collate(
        samples,
        tasks,
        categories=CATALOGUE,
        tokenizer=tokenizer,
        num_text=num_text,
        context_length=20,
        size_divisibility=size_divisibility,
    )


def test_two_sizes_become_the_larger_of_each_side_rounded_up(tokenizer):
    samples = [make_sample(30, 50, [0, 1]), make_sample(40, 20, [2])]
    batch = make_batch(samples, ["panoptic", "panoptic"], tokenizer)

    assert batch.images.shape == (2, 3, 64, 64)
    assert batch.padding_mask.shape == (2, 64, 64)
    assert [target.masks.shape for target in batch.targets] == [(2, 64, 64), (1, 64, 64)]


def test_a_size_that_fits_is_not_padded(tokenizer):
    batch = make_batch([make_sample(6, 9, [0])], ["semantic"], tokenizer, size_divisibility=3)

    assert batch.images.shape == (1, 3, 6, 9)
    assert not batch.padding_mask.any()


def test_padding_is_zero_after_normalisation_and_in_no_mask(tokenizer):
    samples = [make_sample(5, 9, [0, 1]), make_sample(7, 3, [2, 2])]
    batch = make_batch(samples, ["panoptic", "instance"], tokenizer, size_divisibility=4)

    assert batch.images.shape == (2, 3, 8, 12)
    for i, sample in enumerate(samples):
        height, width = sample.segment_map.shape
        assert torch.equal(batch.images[i, :, :height, :width], normalize(sample.image))
        assert not batch.padding_mask[i, :height, :width].any()
        assert batch.padding_mask[i].sum() == 8 * 12 - height * width
        assert (batch.images[i][:, batch.padding_mask[i]] == 0).all()
        assert not batch.targets[i].masks[:, batch.padding_mask[i]].any()
        assert batch.targets[i].masks[0].nonzero().tolist() == [[y, 0] for y in range(height)]


def test_prompts_and_texts_are_those_of_each_image_alone(tokenizer):
    samples = [
        make_sample(3, 5, [1, 0, 1], 7),
        make_sample(4, 2, [2, 2], "b"),
        make_sample(2, 3, []),
    ]
    tasks = ["instance", "semantic", "panoptic"]
    batch = make_batch(samples, tasks, tokenizer)

    expected = [
        ["a photo with a cat"] * 2 + ["an instance photo"] * 2,
        ["a photo with a dog"] + ["a semantic photo"] * 3,
        ["a panoptic photo"] * 4,
    ]
    assert batch.text_tokens.tolist() == [tokenizer.tokenize(texts, 20) for texts in expected]
    prompts = [f"the task is {task}" for task in tasks]
    assert batch.task_tokens.tolist() == tokenizer.tokenize(prompts, 20)
    assert batch.tasks == tuple(tasks)
    assert batch.image_ids == (7, "b", 0)
    assert [target.task for target in batch.targets] == tasks
    assert [target.labels.tolist() for target in batch.targets] == [[1, 1], [2], []]


def test_more_segments_than_texts_are_cut_and_stay_targets(tokenizer):
    batch = make_batch([make_sample(2, 6, [1] * 5)], ["panoptic"], tokenizer, num_text=3)

    assert batch.text_tokens.shape == (1, 3, 20)
    assert batch.targets[0].labels.tolist() == [1] * 5


def test_no_texts_are_made_when_none_are_wanted(tokenizer):
    batch = make_batch([make_sample(2, 3, [0])], ["panoptic"], tokenizer, num_text=None)

    assert batch.text_tokens is None


@pytest.mark.parametrize(("count", "tasks"), [(0, []), (2, ["panoptic"])])
def test_a_batch_needs_one_task_for_each_sample(tokenizer, count, tasks):
    samples = [make_sample(2, 3, [0]) for _ in range(count)]
    with pytest.raises(ValueError, match=rf"got len\(samples\)={count}, len\(tasks\)={len(tasks)}"):
        make_batch(samples, tasks, tokenizer)


@pytest.mark.parametrize(("name", "value"), [("num_text", 0), ("size_divisibility", 0)])
def test_numbers_below_one_are_refused(tokenizer, name, value):
    with pytest.raises(ValueError, match=f"at least 1, got .*{name}={value}"):
        make_batch([make_sample(2, 3, [0])], ["panoptic"], tokenizer, **{name: value})
