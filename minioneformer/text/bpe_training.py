"""Byte pair encoding, the learning half: from counted words to an ordered list of merges.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), box "Tokenize" (its training is not
drawn: the published models take CLIP's merges as they are).
After: Neural Machine Translation of Rare Words with Subword Units (arXiv 1508.07909), Sec. 3.2.

Not here: how a text becomes words and words become symbols, and how learnt merges are applied
to new text (`text/tokenizer.py`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

Pair = tuple[str, str]


def merge_pair(symbols: Sequence[str], pair: Pair) -> list[str]:
    """Join each occurrence of `pair`, left to right, without overlap.

    Args:
        symbols: A word in pieces.
        pair: Two adjacent pieces.

    Returns:
        The word in as many or fewer pieces.

    Example:
        `merge_pair(["a", "a", "a"], ("a", "a"))` is `["aa", "a"]`.
    """
    merged: list[str] = []
    for symbol in symbols:
        # A joined piece is longer than pair[0], so it is never joined twice in one pass.
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def learn_merges(word_counts: Mapping[tuple[str, ...], int], num_merges: int) -> list[Pair]:
    """Merge the most frequent adjacent pair, again and again.

    Ties go to the pair that sorts first, so the answer does not depend on the order of the
    words. Pairs are counted once; after a merge only the words that contain it are recounted.

    Args:
        word_counts: Each distinct word as symbols, with the number of times it occurs.
        num_merges: Merges wanted. Fewer come back if every word is one symbol before that.

    Returns:
        Merges in order of learning; no two of them spell the same token.

    Example:
        "aab" three times and "ab" twice: (a, b) occurs 5 times and (a, a) 3 times, so (a, b)
        comes first and (a, ab) second.
    """
    words = [list(word) for word in word_counts]
    counts = list(word_counts.values())
    pair_counts: Counter[Pair] = Counter()
    words_with: defaultdict[Pair, set[int]] = defaultdict(set)

    def count_pairs(index: int, sign: int) -> None:
        for pair in pairwise(words[index]):
            pair_counts[pair] += sign * counts[index]
            words_with[pair].add(index)
            if not pair_counts[pair]:
                del pair_counts[pair]

    for index in range(len(words)):
        count_pairs(index, 1)

    merges: list[Pair] = []
    while len(merges) < num_merges and pair_counts:
        best = min(pair_counts, key=lambda pair: (-pair_counts[pair], pair))
        merges.append(best)
        # A word that lost the pair to an earlier merge is still listed; merging leaves it as is.
        for index in words_with.pop(best):
            count_pairs(index, -1)
            words[index] = merge_pair(words[index], best)
            count_pairs(index, 1)
    return merges
