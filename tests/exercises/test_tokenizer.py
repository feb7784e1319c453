"""Wrong answers that learners give, and the hint that each gets."""

from itertools import pairwise

import pytest

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.tokenizer import check_encode_word, check_make_row
from minioneformer.text.bpe_training import merge_pair


def encode(symbols, merges):
    while known := [pair for pair in pairwise(symbols) if pair in merges]:
        symbols = merge_pair(symbols, min(known, key=merges.index))
    return symbols


def test_right_answers_pass(capsys):
    check_encode_word(encode)
    check_make_row(lambda ids, start, end, n: ([start, *ids][: n - 1] + [end] + [0] * n)[:n])
    assert capsys.readouterr().out.count("right in all") == 2


def test_one_pass_from_left_to_right_is_not_enough():
    def wrong(symbols, merges):
        for pair in list(pairwise(symbols)):
            symbols = merge_pair(symbols, pair) if pair in merges else symbols
        return symbols

    with pytest.raises(ExerciseError, match="look at the neighbours again after each merge"):
        check_encode_word(wrong)


def test_the_leftmost_merge_is_not_the_first_that_was_learnt():
    def wrong(symbols, merges):
        while known := [pair for pair in pairwise(symbols) if pair in merges]:
            symbols = merge_pair(symbols, known[-1])
        return symbols

    with pytest.raises(ExerciseError, match="learnt first comes first"):
        check_encode_word(wrong)

    def leftmost(symbols, merges):
        while known := [pair for pair in pairwise(symbols) if pair in merges]:
            symbols = merge_pair(symbols, known[0])
        return symbols

    with pytest.raises(ExerciseError, match="although 'a', 't' stands further left"):
        check_encode_word(leftmost)


def test_a_row_without_an_end_is_noticed():
    with pytest.raises(ExerciseError, match="then write the end over the last id"):
        check_make_row(lambda ids, start, end, n: ([start, *ids, end] + [0] * n)[:n])
