"""Text lists: Figure 3 and its edges."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.text.text_list import pad_text_list, text_list

NAMES = ("sky", "tree", "person", "car")


def test_the_example_of_figure_3():
    """A panoptic annotation with stuff once per class and things once per object."""
    texts = text_list([2, 0, 3, 2, 1], NAMES)
    assert texts == [
        "a photo with a sky",
        "a photo with a tree",
        "a photo with a person",
        "a photo with a person",
        "a photo with a car",
    ]
    assert pad_text_list(texts, "panoptic", 7) == [*texts, *["a panoptic photo"] * 2]


def test_names_are_used_verbatim():
    names = ["window ", "wall-other-merged", "Lane Marking - Crosswalk", "bed, cot"]
    assert text_list(range(4), names) == [f"a photo with a {name}" for name in names]


def test_an_image_without_masks_is_all_padding():
    assert text_list([], NAMES) == []
    assert pad_text_list([], "semantic", 2) == ["a semantic photo"] * 2
    assert pad_text_list([], "instance", 1) == ["an instance photo"]


def test_overflow_leaves_out_the_last_classes_of_the_catalogue():
    texts = text_list([3, 0, 3, 1], NAMES)
    assert pad_text_list(texts, "panoptic", 3) == [
        "a photo with a sky",
        "a photo with a tree",
        "a photo with a car",
    ]


def test_a_name_listed_twice_is_written_once_per_mask():
    assert text_list([0, 2], ["sky", "car", "sky"]) == ["a photo with a sky"] * 2


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3)), st.integers(1, 12), st.randoms())
def test_classes_appear_as_often_as_masks_and_the_length_is_fixed(labels, num_text, random):
    texts = text_list(labels, NAMES)
    assert Counter(texts) == Counter(f"a photo with a {NAMES[label]}" for label in labels)
    padded = pad_text_list(texts, "semantic", num_text)
    assert len(padded) == num_text
    assert padded[: len(texts)] == texts[:num_text]
    shuffled = random.sample(labels, len(labels))
    assert text_list(shuffled, NAMES) == texts


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_without_a_name_is_refused(label):
    with pytest.raises(ValueError, match=f"0 to 3 for 4 class names, got label={label}"):
        text_list([0, label], NAMES)


def test_padding_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="got task='panotic'"):
        pad_text_list(["a photo with a sky"], "panotic", 1)


def test_a_list_has_at_least_one_text():
    with pytest.raises(ValueError, match="num_text must be at least 1, got num_text=0"):
        pad_text_list([], "panoptic", 0)
