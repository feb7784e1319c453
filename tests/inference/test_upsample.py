"""Masks at the size of the image: the same as the plain order of steps, a few at a time."""

import pytest
import torch
from torch.nn import functional

from minioneformer.inference.upsample import FactoredMasks, ImageSizes, upsample_logits

SIZES = ImageSizes(original=(45, 61), resized=(30, 41), padded=(32, 64))


def plain(mask_logits, sizes):
    """The three steps written out, for all masks at once."""
    padded = functional.interpolate(
        mask_logits[None], size=sizes.padded, mode="bilinear", align_corners=False
    )
    cropped = padded[..., : sizes.resized[0], : sizes.resized[1]]
    return functional.interpolate(
        cropped, size=sizes.original, mode="bilinear", align_corners=False
    )[0]


def test_it_equals_the_plain_order_of_steps(rng):
    mask_logits = torch.randn(5, 8, 16, generator=rng)
    torch.testing.assert_close(upsample_logits(mask_logits, SIZES), plain(mask_logits, SIZES))


@pytest.mark.parametrize(
    "sizes",
    [
        ImageSizes(original=(8, 16), resized=(8, 16), padded=(8, 16)),
        ImageSizes(original=(30, 41), resized=(30, 41), padded=(32, 64)),
        ImageSizes(original=(1, 1), resized=(3, 2), padded=(32, 64)),
    ],
)
def test_steps_that_change_nothing_are_left_out_without_a_difference(sizes, rng):
    mask_logits = torch.randn(3, 8, 16, generator=rng)
    torch.testing.assert_close(upsample_logits(mask_logits, sizes), plain(mask_logits, sizes))


def test_padding_does_not_reach_the_result():
    mask_logits = torch.zeros(1, 8, 16)
    mask_logits[..., 12:] = 100.0  # cells that cover padding only: the image ends at column 41
    assert upsample_logits(mask_logits, SIZES).abs().max() == 0


def test_a_constant_mask_stays_constant():
    result = upsample_logits(torch.full((2, 8, 16), -1.5), SIZES)
    torch.testing.assert_close(result, torch.full((2, 45, 61), -1.5))


@pytest.mark.parametrize("max_pixels", [1, 45 * 61, 45 * 61 * 2, 10**9])
def test_chunks_together_are_all_masks_in_the_order_asked_for(max_pixels, rng):
    masks = FactoredMasks(
        mask_embeddings=torch.randn(6, 4, generator=rng),
        mask_features=torch.randn(4, 8, 16, generator=rng),
        sizes=SIZES,
        max_pixels=max_pixels,
    )
    queries = torch.tensor([4, 0, 5, 5, 1])
    chunks = list(masks.chunks(queries))
    assert max(len(c) for c in chunks) == min(5, max(1, max_pixels // (45 * 61)))
    mask_logits = torch.einsum("nc,chw->nhw", masks.mask_embeddings, masks.mask_features)
    expected = plain(mask_logits[queries], SIZES)
    torch.testing.assert_close(torch.cat(chunks), expected, atol=1e-5, rtol=1e-5)


def test_no_queries_give_no_chunks_and_no_masks_stay_no_masks():
    masks = FactoredMasks(
        mask_embeddings=torch.zeros(6, 4), mask_features=torch.zeros(4, 8, 16), sizes=SIZES
    )
    assert list(masks.chunks(torch.zeros(0, dtype=torch.int64))) == []
    assert upsample_logits(torch.zeros(0, 8, 16), SIZES).shape == (0, 45, 61)


def test_padding_that_cuts_is_refused():
    with pytest.raises(ValueError, match=r"padding only adds, got self.resized=\(9, 8\)"):
        ImageSizes(original=(9, 8), resized=(9, 8), padded=(8, 8))


STRIP_SIZES = [
    SIZES,
    ImageSizes(original=(30, 41), resized=(30, 41), padded=(32, 64)),  # nothing after the crop
    ImageSizes(original=(9, 120), resized=(30, 41), padded=(32, 64)),  # lower and wider
    ImageSizes(original=(200, 13), resized=(31, 63), padded=(32, 64)),  # higher and narrower
    ImageSizes(original=(1, 1), resized=(3, 2), padded=(32, 64)),
]


@pytest.mark.parametrize("sizes", STRIP_SIZES, ids=lambda s: str(s.original))
@pytest.mark.parametrize("max_pixels", [1, 3000, 20_000, 10**9])
def test_strips_together_are_all_masks(sizes, max_pixels, rng):
    masks = FactoredMasks(
        mask_embeddings=torch.randn(6, 4, generator=rng),
        mask_features=torch.randn(4, 8, 16, generator=rng),
        sizes=sizes,
        max_pixels=max_pixels,
    )
    strips = list(masks.strips())
    height, width = sizes.original
    assert max_pixels > 1 or len(strips) == height
    assert all(s.numel() <= max_pixels or s.shape[1] == 1 for s in strips)
    mask_logits = torch.einsum("nc,chw->nhw", masks.mask_embeddings, masks.mask_features)
    expected = plain(mask_logits, sizes)
    torch.testing.assert_close(torch.cat(strips, dim=1), expected, atol=1e-5, rtol=1e-5)


def test_strips_of_any_height_are_the_same_masks(rng):
    sizes = ImageSizes(original=(23, 31), resized=(40, 50), padded=(64, 64))
    masks = FactoredMasks(
        mask_embeddings=torch.randn(5, 3, generator=rng),
        mask_features=torch.randn(3, 16, 16, generator=rng),
        sizes=sizes,
        max_pixels=1000,
    )
    assert masks.rows_per_strip == 1000 // (5 * int(64 * 40 / 23))
    usual = torch.cat(list(masks.strips()), dim=1)
    for rows in (1, 10, 23, 40):
        strips = list(masks.strips(rows))
        assert [strip.shape[1] for strip in strips[:-1]] == [rows] * (22 // rows)
        torch.testing.assert_close(torch.cat(strips, dim=1), usual, atol=1e-5, rtol=1e-5)


def test_strips_without_queries_are_empty():
    masks = FactoredMasks(
        mask_embeddings=torch.zeros(0, 4), mask_features=torch.zeros(4, 8, 16), sizes=SIZES
    )
    assert torch.cat(list(masks.strips()), dim=1).shape == (0, 45, 61)
