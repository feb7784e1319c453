"""Text lists: Figure 3 and its edges."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.text.text_list import class_texts, pad_text_list, text_list

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


THINGS = (False, False, True, True)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a photo with a {name}", ["a photo with a sky", "a photo with a car"]),
        ("a photo with a {name} {type}", ["a photo with a sky stuff", "a photo with a car thing"]),
        ("{name}", ["sky", "car"]),
        ("{type}: {name}, {name}", ["stuff: sky, sky", "thing: car, car"]),
    ],
)
def test_the_templates_of_table_6(template, expected):
    texts = class_texts(NAMES, THINGS, template)
    assert [texts[0], texts[3]] == expected
    assert text_list([3, 0, 3], NAMES, texts) == [expected[0], expected[1], expected[1]]


def test_names_with_braces_are_used_verbatim():
    assert class_texts(["{name}"], [True], "a {name}") == ["a {name}"]


def test_the_published_template_is_the_default():
    assert class_texts(NAMES, THINGS) == text_list(range(4), NAMES)


@pytest.mark.parametrize(
    "template", ["", "a photo", "{type}", "{name} {kind}", "{}", "{name", "{name!r}", "{name:>9}"]
)
def test_a_template_without_the_name_or_with_more_is_refused(template):
    with pytest.raises(ValueError, match="a text template holds {name}.* got template="):
        class_texts(NAMES, THINGS, template)


def test_a_type_per_name_is_needed():
    with pytest.raises(ValueError, match=r"got len\(class_names\)=4, len\(is_thing\)=1"):
        class_texts(NAMES, [True])
