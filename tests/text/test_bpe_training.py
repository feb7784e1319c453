"""Learning merges: a naive recount is the oracle."""

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.text.bpe_training import learn_merges, merge_pair

WORD_COUNTS = st.dictionaries(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=8).map(tuple),
    st.integers(1, 5),
    max_size=8,
)


def naive_merges(word_counts, num_merges):
    """Recount everything before each merge."""
    words = {word: list(word) for word in word_counts}
    merges = []
    while len(merges) < num_merges:
        pairs = Counter()
        for word, symbols in words.items():
            for pair in pairwise(symbols):
                pairs[pair] += word_counts[word]
        if not pairs:
            break
        most = max(pairs.values())
        best = sorted(pair for pair in pairs if pairs[pair] == most)[0]
        merges.append(best)
        for symbols in words.values():
            i = 0
            while i + 1 < len(symbols):
                if (symbols[i], symbols[i + 1]) == best:
                    symbols[i : i + 2] = ["".join(best)]
                i += 1
    return merges


def test_a_pair_is_merged_left_to_right_without_overlap():
    assert merge_pair(["a", "a", "a"], ("a", "a")) == ["aa", "a"]
    assert merge_pair(["a", "a", "a", "a"], ("a", "a")) == ["aa", "aa"]
    assert merge_pair(["b", "a", "b", "a"], ("b", "a")) == ["ba", "ba"]
    assert merge_pair([], ("a", "b")) == []


def test_the_example_of_the_docstring():
    counts = {("a", "a", "b"): 3, ("a", "b"): 2}
    assert learn_merges(counts, 2) == [("a", "b"), ("a", "ab")]


def test_words_weigh_by_their_count():
    assert learn_merges({("x", "y"): 1, ("p", "q"): 2}, 1) == [("p", "q")]


def test_ties_go_to_the_pair_that_sorts_first_in_any_order_of_the_words():
    words = {("x", "y"): 1, ("a", "z"): 1, ("a", "b"): 1}
    backwards = dict(reversed(words.items()))
    assert learn_merges(words, 3) == [("a", "b"), ("a", "z"), ("x", "y")]
    assert learn_merges(backwards, 3) == learn_merges(words, 3)


def test_learning_stops_when_every_word_is_one_symbol():
    assert learn_merges({("a", "b"): 1, ("c",): 9}, 100) == [("a", "b")]
    assert learn_merges({}, 100) == []
    assert learn_merges({("a", "b"): 1}, 0) == []


@settings(max_examples=25, deadline=None)
@given(WORD_COUNTS, st.integers(0, 30))
def test_counting_only_the_changed_words_gives_the_merges_of_a_full_recount(counts, num_merges):
    merges = learn_merges(counts, num_merges)
    assert merges == naive_merges(counts, num_merges)
    assert len({"".join(pair) for pair in merges}) == len(merges)
