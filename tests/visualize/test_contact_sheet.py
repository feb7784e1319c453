"""A sheet shows each sample, its annotation and its name.

Mutants that must fail: read all samples before drawing; begin of a long name instead of its end;
a legend of all classes instead of those seen.
"""

import dataclasses

import pytest
import torch

from minioneformer.data.toy import ToyPanoptic
from minioneformer.structures import PanopticSample
from minioneformer.visualize.contact_sheet import GAP, SIDE, draw_contact_sheet
from minioneformer.visualize.figures import MARGIN
from minioneformer.visualize.legend import ROW_HEIGHT
from minioneformer.visualize.panels import save_figure

TOY = ToyPanoptic(split="val", size=(48, 96), length=5)


def texts_of(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def test_each_sample_stands_beside_its_annotation_and_above_its_name(tmp_path):
    samples = [dataclasses.replace(TOY[i], file_name=f"some/{i}.png") for i in range(5)]
    figure = draw_contact_sheet(samples, TOY.categories, columns=2)

    pictures = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert [picture.shape for picture in pictures] == [(SIDE // 2, SIDE, 3)] * 10
    for image, overlay in zip(pictures[::2], pictures[1::2], strict=True):
        assert (image != overlay).any()
    first_pixel = torch.from_numpy(pictures[0][0, 0].copy())
    assert first_pixel.tolist() == samples[0].image[:, 0, 0].tolist()
    texts = texts_of(figure)
    assert texts[:5] == [f"{i}.png" for i in range(5)]
    seen = {TOY.categories[s.label].name for sample in samples for s in sample.segments}
    assert set(texts[5:]) == seen

    width, _ = (figure.get_size_inches() * 100).round()
    assert width == 2 * (2 * SIDE + GAP) + GAP + 2 * MARGIN
    assert save_figure(figure, tmp_path / "sheet.png").stat().st_size > 1000


def test_samples_are_read_one_by_one_and_few_need_few_columns():
    figure = draw_contact_sheet((TOY[i] for i in range(1)), TOY.categories, columns=4)
    width, height = (figure.get_size_inches() * 100).round()
    assert width == 2 * SIDE + GAP + 2 * MARGIN
    assert height >= SIDE // 2 + ROW_HEIGHT + 2 * MARGIN


def test_the_end_of_a_long_name_is_shown():
    sample = dataclasses.replace(TOY[0], file_name="a" * 200 + "_17.png")
    name = texts_of(draw_contact_sheet([sample], TOY.categories))[0]
    assert name.startswith("...a")
    assert name.endswith("_17.png")
    assert len(name) < 100


def test_a_sample_without_annotation_is_shown_too():
    sample = PanopticSample(
        image=torch.full((3, 1, 2), 9, dtype=torch.uint8),
        segment_map=torch.zeros(1, 2, dtype=torch.int64),
        segments=(),
        image_id=4,
    )
    assert texts_of(draw_contact_sheet([sample], TOY.categories)) == ["4", "nothing annotated"]


def test_a_sheet_needs_samples_and_columns():
    with pytest.raises(ValueError, match="at least one sample, got none"):
        draw_contact_sheet([], TOY.categories)
    with pytest.raises(ValueError, match="at least one column, got columns=0"):
        draw_contact_sheet([TOY[0]], TOY.categories, columns=0)
