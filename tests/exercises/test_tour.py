"""Wrong answers that learners give, and the hint that each gets."""

import pytest
import torch

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.tour import check_kept_queries, check_multiply_masks


def multiply(embeddings, features):
    return torch.einsum("nc,chw->nhw", embeddings, features)


def keep(class_logits, threshold):
    probs, labels = class_logits.softmax(-1).max(-1)
    return ((labels < class_logits.shape[-1] - 1) & (probs > threshold)).nonzero().flatten()


def test_right_answers_pass(capsys):
    check_multiply_masks(multiply)
    check_kept_queries(keep)
    assert capsys.readouterr().out.count("right in all") == 2


def test_a_transposed_map_is_noticed():
    with pytest.raises(ExerciseError, match=r"shape \(1, 2, 1\) is not \(1, 1, 2\)"):
        check_multiply_masks(lambda e, f: multiply(e, f).transpose(1, 2))


def test_no_object_that_counts_as_an_object_is_noticed():
    def wrong(class_logits, threshold):
        return (class_logits.softmax(-1).amax(-1) > threshold).nonzero().flatten()

    with pytest.raises(ExerciseError, match="there is no object: such a query is left out"):
        check_kept_queries(wrong)


def test_logits_taken_for_probabilities_are_noticed():
    def wrong(class_logits, threshold):
        best, labels = class_logits.max(-1)
        return ((labels < class_logits.shape[-1] - 1) & (best > threshold)).nonzero().flatten()

    with pytest.raises(ExerciseError, match="compare the probability"):
        check_kept_queries(wrong)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (  # a sigmoid for each class
            lambda logits, t: (
                ((logits.argmax(-1) < logits.shape[-1] - 1) & (logits.sigmoid().amax(-1) > t))
                .nonzero()
                .flatten()
            ),
            "not a sigmoid for each",
        ),
        (  # 'no object' is left out after the softmax
            lambda logits, t: (logits.softmax(-1)[:, :-1].amax(-1) > t).nonzero().flatten(),
            r"The best of all K \+ 1 decides first",
        ),
        (  # and before it
            lambda logits, t: (logits[:, :-1].softmax(-1).amax(-1) > t).nonzero().flatten(),
            r"The best of all K \+ 1 decides first",
        ),
        (
            lambda logits, t: keep(logits, torch.nextafter(torch.tensor(t), torch.tensor(0.0))),
            "> and not >=",
        ),
        (
            lambda logits, t: logits.softmax(-1)[:, :-1].amax(-1) > t,
            "of integers was expected, not of booleans",
        ),
    ],
    ids=["sigmoid", "left out after", "left out before", "equal is enough", "booleans"],
)
def test_other_wrong_choices_are_noticed(wrong, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_kept_queries(wrong)
