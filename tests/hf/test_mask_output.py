"""Which part of the mask logits is the image.

Mutants that must fail: padding stretched into the result; the canvas taken for what the cells
cover; sizes of one image used for all.
"""

from types import SimpleNamespace

import pytest
import torch

from minioneformer.hf.mask_output import split_batch


def output(batch=1, cells=(2, 3)):
    return SimpleNamespace(
        class_queries_logits=torch.zeros(batch, 1, 3),
        masks_queries_logits=torch.arange(float(cells[0] * cells[1]))
        .reshape(1, 1, *cells)
        .repeat(batch, 1, 1, 1),
    )


def pixel_mask(canvas, *sizes):
    masks = torch.zeros(len(sizes), *canvas, dtype=torch.int64)
    for mask, (height, width) in zip(masks, sizes, strict=True):
        mask[:height, :width] = 1
    return masks


def only_chunk(image):
    (chunk,) = image.chunks(torch.tensor([0]))
    return chunk[0]


def test_without_sizes_the_logits_stay_as_they_are():
    (image,) = split_batch(output())
    assert only_chunk(image).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_example_of_the_docstring():
    (image,) = split_batch(output(), pixel_mask=pixel_mask((8, 12), (8, 4)))
    assert only_chunk(image).tolist() == [[0], [3]]


def test_each_image_is_cut_to_its_own_size_and_brought_to_its_own():
    cells = torch.zeros(2, 1, 4, 6)
    cells[1, :, :, :3] = 5.0  # all of the second image, whose real width is 12 of 24
    outputs = SimpleNamespace(class_queries_logits=torch.zeros(2, 1, 3), masks_queries_logits=cells)
    masks = pixel_mask((16, 24), (16, 24), (8, 10))
    first, second = split_batch(outputs, [(5, 7), (3, 9)], masks)
    assert only_chunk(first).shape == (5, 7)
    assert torch.equal(only_chunk(second)[:, :8], torch.full((3, 8), 5.0))
    (_, stretched) = split_batch(outputs, [(5, 7), (3, 9)])
    assert only_chunk(stretched)[0, -1] == 0.0  # the padding, which the mask would have cut off


def test_the_last_cell_may_reach_beyond_the_canvas():
    """A width of 9 has 3 cells of 4: the middle of cell 1 is at 6, wherever the canvas ends."""
    ramp = SimpleNamespace(
        class_queries_logits=torch.zeros(1, 1, 3),
        masks_queries_logits=torch.tensor([[[[2.0, 6.0, 10.0]]]]),
    )
    (image,) = split_batch(ramp, [(4, 9)], pixel_mask((4, 9), (4, 9)))
    # a pixel's middle is its value, between the middles of the first and the last cell
    assert only_chunk(image)[0, 2:].tolist() == pytest.approx([2.5 + i for i in range(7)])
    (image,) = split_batch(ramp, None, pixel_mask((4, 9), (4, 5)))
    assert only_chunk(image).tolist() == [[2.0, 6.0]]


def test_logits_of_another_stride_cover_the_canvas():
    """Cells of 2 x 2 pixels: the middle of the first is at 1, of the second at 3."""
    (image,) = split_batch(output(cells=(1, 2)), [(2, 4)], pixel_mask((2, 4), (2, 4)))
    assert only_chunk(image).tolist() == [[0.0, 0.25, 0.75, 1.0]] * 2


def test_sizes_can_be_a_tensor():
    (image,) = split_batch(output(), torch.tensor([[4, 5]]))
    assert only_chunk(image).shape == (4, 5)


def test_numbers_must_fit_the_batch():
    with pytest.raises(ValueError, match="target_sizes must have one entry per image.*got 1 for 2"):
        split_batch(output(2), [(4, 5)])
    with pytest.raises(ValueError, match="pixel_mask must have one entry per image.*got 1 for 2"):
        split_batch(output(2), None, pixel_mask((8, 12), (8, 12)))


@pytest.mark.parametrize("size", [(4, 0), (4, 5, 3)])
def test_sizes_must_be_pairs_of_at_least_one(size):
    with pytest.raises(ValueError, match=r"pairs \(height, width\) of at least 1, got size="):
        split_batch(output(), [size])


def test_a_pixel_mask_must_be_a_rectangle_at_the_top_left():
    mask = pixel_mask((8, 12), (8, 12))
    mask[0, 0, 0] = 0
    with pytest.raises(ValueError, match="rectangle at the top left .* height=8, width=12 and 95"):
        split_batch(output(), None, mask)
    with pytest.raises(ValueError, match="height=0, width=0 and 0 ones"):
        split_batch(output(), None, torch.zeros_like(mask))
