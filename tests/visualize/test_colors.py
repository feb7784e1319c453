import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.data.categories import CATALOGS, load_catalog
from minioneformer.structures import Category
from minioneformer.visualize.colors import class_colors, instance_colors

BYTE = st.integers(0, 255)


def test_classes_have_the_colors_of_their_catalogue():
    categories = [
        Category(name="sky", is_thing=False, color=(1, 2, 3), dataset_id=5),
        Category(name="kite", is_thing=True, color=(255, 0, 128), dataset_id=4),
    ]
    assert class_colors(categories).tolist() == [[1, 2, 3], [255, 0, 128]]
    assert class_colors([]).shape == (0, 3)


def test_the_second_instance_is_the_one_of_the_example():
    assert instance_colors((230, 58, 34), 2).tolist() == [[230, 58, 34], [220, 154, 116]]


@settings(max_examples=25, deadline=None)
@given(st.tuples(BYTE, BYTE, BYTE), st.integers(0, 30))
def test_instances_begin_with_the_color_of_the_class_and_are_always_the_same(color, count):
    colors = instance_colors(color, count)
    assert colors.shape == (count, 3)
    assert torch.equal(colors, instance_colors(color, 40)[:count])
    if count:
        assert colors[0].tolist() == list(color)


@settings(max_examples=25, deadline=None)
@given(st.tuples(BYTE, BYTE, BYTE))
def test_eight_instances_of_any_class_can_be_told_apart(color):
    colors = instance_colors(color, 8).to(torch.float32)
    distances = torch.cdist(colors, colors) + 1000 * torch.eye(8)
    assert distances.min() > 15


@pytest.mark.parametrize("catalog", CATALOGS)
def test_instances_stay_nearer_to_their_hue_than_to_the_opposite_one(catalog):
    for category in load_catalog(catalog):
        color = torch.tensor(category.color, dtype=torch.float32)
        if color.max() - color.min() < 30:
            continue  # grey has no hue
        tint = color - color.mean()
        colors = instance_colors(category.color, 12).to(torch.float32)
        tints = colors - colors.mean(dim=1, keepdim=True)
        assert (torch.cosine_similarity(tints, tint[None]) > 0.7).all()


def test_more_instances_than_variations_repeat_them():
    colors = instance_colors((10, 200, 90), 500)
    assert colors.shape == (500, 3)
    assert len(colors.unique(dim=0)) < 100
