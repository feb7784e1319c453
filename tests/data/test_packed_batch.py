"""What a worker sends is small, and is the batch again when it arrives.

Mutants that must fail: send the batch itself; count masks from 0; keep numbers in bytes when there
are more than 255 masks; normalise the padding; forget the texts.
"""

import dataclasses
import pickle

import pytest
import torch

from minioneformer.data.collate import collate, pack
from minioneformer.data.packed_batch import PackedBatch, TokenTable
from minioneformer.structures import Batch, Category, PanopticSample, Segment
from minioneformer.text.tokenizer import BPETokenizer

CATALOGUE = (
    Category(name="sky", is_thing=False, color=(0, 0, 0), dataset_id=1),
    Category(name="cat", is_thing=True, color=(0, 0, 0), dataset_id=2),
)


def make_sample(rng, height, width, count):
    """One segment per pixel, as many as wanted; the other pixels are void."""
    ids = torch.zeros(height * width, dtype=torch.int64)
    ids[:count] = torch.arange(count) + 2**24
    return PanopticSample(
        image=torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=rng),
        segment_map=ids.view(height, width),
        segments=tuple(Segment(id=2**24 + i, label=i % 2) for i in range(count)),
        image_id=count,
    )


def make_packed(rng, counts, num_text=3, combine=pack):
    return combine(
        [make_sample(rng, 19, 30 - 8 * i, count) for i, count in enumerate(counts)],
        ["panoptic", "semantic", "instance"][: len(counts)],
        categories=CATALOGUE,
        tokenizer=BPETokenizer.train(["the task is", "a photo with a sky cat"], 530),
        num_text=num_text,
        context_length=20,
    )


def tensors(batch):
    parts = [batch.images, batch.padding_mask, batch.task_tokens]
    parts += [] if batch.text_tokens is None else [batch.text_tokens]
    return parts + [part for target in batch.targets for part in (target.labels, target.masks)]


@pytest.mark.parametrize("num_text", [3, None])
@pytest.mark.parametrize("counts", [(5, 4, 7), (0, 300, 1), (300, 2), (0,)])
def test_what_arrives_is_the_batch_that_was_sent(rng, counts, num_text):
    packed = make_packed(rng, counts, num_text)
    expected, arrived = packed.unpack(), pickle.loads(pickle.dumps(packed))

    assert isinstance(arrived, Batch)
    assert (arrived.tasks, arrived.image_ids) == (expected.tasks, counts)
    assert (arrived.text_tokens is None) == (num_text is None)
    for a, b in zip(tensors(arrived), tensors(expected), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


def test_more_than_255_masks_keep_their_numbers(rng):
    packed = make_packed(rng, (300, 2))
    masks = packed.unpack().targets[0].masks

    assert packed.mask_numbers.dtype == torch.int32
    assert packed.mask_numbers[0, :19, :30].flatten().tolist() == [*range(1, 301)] + [0] * 270
    assert (masks.flatten(1).sum(1) == 1).all()
    assert masks.flatten(1).int().argmax(1)[[0, 30, 299]].tolist() == [0, 32, 9 * 32 + 29]


def test_images_travel_as_bytes_and_masks_as_one_byte_per_pixel(rng):
    packed = make_packed(rng, (5, 4))
    batch = packed.unpack()
    large = sum(part.numel() * part.element_size() for part in tensors(batch))

    assert packed.images.dtype == packed.mask_numbers.dtype == torch.uint8
    assert packed.images.shape == batch.images.shape
    assert packed.mask_numbers.shape == batch.padding_mask.shape
    assert 4 * 2 * 32 * 32 < large / 4


def test_nothing_beyond_the_image_reaches_the_batch(rng):
    packed = make_packed(rng, (5, 4))
    spoiled = dataclasses.replace(packed, images=packed.images.clone())
    spoiled.images[1, :, 19:], spoiled.images[1, :, :, 22:] = 77, 88

    batch = spoiled.unpack()
    assert torch.equal(batch.images, packed.unpack().images)
    assert batch.images[1, :, :, 22:].count_nonzero() == 0


def test_collate_is_packing_and_unpacking():
    packed = make_packed(torch.Generator().manual_seed(3), (5, 4))
    batch = make_packed(torch.Generator().manual_seed(3), (5, 4), combine=collate)

    assert isinstance(packed, PackedBatch)
    assert all(
        torch.equal(a, b) for a, b in zip(tensors(batch), tensors(packed.unpack()), strict=True)
    )


def test_equal_texts_are_sent_once():
    table = TokenTable(rows=[[1, 2], [3, 4]], places=[1, 0, 1])
    assert table.unpack().tolist() == [[3, 4], [1, 2], [3, 4]]
