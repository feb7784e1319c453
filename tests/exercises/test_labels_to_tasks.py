"""Wrong answers that learners give, and the hint that each gets."""

import pytest
import torch

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.labels_to_tasks import check_instance_masks, check_padded_texts
from minioneformer.text.text_list import pad_text_list, text_list


def masks(segment_map, segments, is_thing):
    chosen = [segment_map == i for i, label in segments if is_thing[label]]
    chosen = [mask for mask in chosen if mask.any()]
    return torch.stack(chosen) if chosen else torch.zeros(0, *segment_map.shape, dtype=torch.bool)


def texts(labels, names, task, number):
    return pad_text_list(text_list(labels, names), task, number)


def test_right_answers_pass(capsys):
    check_instance_masks(masks)
    check_padded_texts(texts)
    assert capsys.readouterr().out.count("right in all") == 2


def test_stuff_in_the_instance_target_is_noticed():
    with pytest.raises(ExerciseError, match="leave out the segments whose label is no thing"):
        check_instance_masks(lambda m, segments, _: torch.stack([m == i for i, _ in segments]))


@pytest.mark.parametrize("is_thing", [lambda label: label == 1, lambda label: label > 0])
def test_things_that_are_not_looked_up_are_noticed(is_thing):
    with pytest.raises(ExerciseError, match=r"ask is_thing\[label\]"):
        check_instance_masks(
            lambda m, segments, _: torch.stack([m == i for i, label in segments if is_thing(label)])
        )


def test_a_mask_without_a_pixel_is_noticed():
    def wrong(segment_map, segments, is_thing):
        return torch.stack([segment_map == i for i, label in segments if is_thing[label]])

    with pytest.raises(ExerciseError, match=r"test with \.any"):
        check_instance_masks(wrong)


def test_a_list_without_order_and_one_without_end_are_noticed():
    def unsorted(labels, names, task, number):
        written = [f"a photo with a {names[label]}" for label in labels]
        return pad_text_list(written, task, number)

    with pytest.raises(ExerciseError, match="sort the labels; a class with two masks"):
        check_padded_texts(unsorted)
    with pytest.raises(ExerciseError, match="cut the finished list"):
        check_padded_texts(
            lambda labels, names, task, n: texts(labels, names, task, max(n, len(labels)))
        )
    with pytest.raises(ExerciseError, match="sort first"):
        check_padded_texts(lambda labels, names, task, n: texts(labels[:n], names, task, n))
