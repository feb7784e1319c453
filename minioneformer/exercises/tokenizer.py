"""Exercises of notebook 01, a tokenizer from bytes.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), box "Tokenize".

Not here: their statements and solutions (`notebooks/01_tokenizer.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minioneformer.exercises.checking import Case, check_cases

Pair = tuple[str, str]


def check_encode_word(function: Callable[[Sequence[str], Sequence[Pair]], list[str]]) -> None:
    """Apply learnt merges to a new word.

    Args:
        function: Takes the symbols of a word and merges in the order in which they were learnt;
            returns the symbols that are left.

    Raises:
        ExerciseError: If a case is not right.
    """
    merges = [("a", "t"), ("c", "at"), ("t", "o")]
    cases = [
        Case(
            name="a word that no merge knows",
            arguments=(["d", "o", "g"], merges),
            expected=["d", "o", "g"],
            hint="stop when none of the neighbours is in the list.",
        ),
        Case(
            name="a merge that needs another one first",
            arguments=(["c", "a", "t"], merges),
            expected=["cat"],
            hint="look at the neighbours again after each merge: 'at' was not there before.",
        ),
        Case(
            name="two merges that want the same letter",
            arguments=(["c", "a", "t", "o"], merges),
            expected=["cat", "o"],
            hint="the merge that was learnt first comes first, wherever it is in the word.",
        ),
        Case(
            name="two merges that want the same letter, the right one learnt first",
            arguments=(["c", "a", "t", "o"], [("t", "o"), ("a", "t")]),
            expected=["c", "a", "to"],
            hint="'t', 'o' was learnt first and is joined first, although 'a', 't' stands further "
            "left.",
        ),
        Case(
            name="a pair that overlaps itself",
            arguments=(["a", "a", "a"], [("a", "a")]),
            expected=["aa", "a"],
            hint="join from left to right, and join no symbol twice.",
        ),
        Case(name="no merges at all", arguments=(["o", "x"], []), expected=["o", "x"]),
    ]
    hint = "again and again: find the neighbours that stand first in the list, and join them."
    check_cases("encode_word", function, cases, hint=hint)


def check_make_row(function: Callable[[Sequence[int], int, int, int], list[int]]) -> None:
    """Put ids into a row of fixed length, as the model wants it.

    Args:
        function: Takes the ids of a text, the id of the start, the id of the end and the length
            of a row; returns start, ids, end, then zeros. Of a text that is too long, the first
            ids stay, and the row still ends with the end.

    Raises:
        ExerciseError: If a case is not right.
    """
    start, end = 98, 99
    cases = [
        Case(
            name="a short text",
            arguments=([7, 8], start, end, 6),
            expected=[98, 7, 8, 99, 0, 0],
        ),
        Case(
            name="an empty text",
            arguments=([], start, end, 3),
            expected=[98, 99, 0],
            hint="start and end are there even if nothing stands between them.",
        ),
        Case(
            name="a text that fits without a gap",
            arguments=([7, 8], start, end, 4),
            expected=[98, 7, 8, 99],
        ),
        Case(
            name="a text that is too long",
            arguments=([5, 6, 7, 8], start, end, 4),
            expected=[98, 5, 6, 99],
            hint="cut the row to its length, then write the end over the last id.",
        ),
    ]
    hint = "build [start, ids, end] first; then it is too short, right, or too long."
    check_cases("make_row", function, cases, hint=hint)
