"""Tokenizer: published ids, a quadratic oracle, round trips.

Mutants that must fail here: highest rank first; merging only the first occurrence of a pair that
occurs twice and stopping; no end-of-word mark; padding with the end token; truncation without an
end; start and end swapped.
"""

import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.text.tokenizer import BPETokenizer
from minioneformer.text.words import BASE_TOKENS, END, START, clean_text, spell_word, split_words

CORPUS = ["the task is panoptic", "a photo with a tree", "trees, three trees!", "naïve café 42"]
TEXTS = st.text(
    alphabet=st.one_of(st.sampled_from("aehrst éß'1!東<&\n"), st.characters(codec="utf-8"))
)


@pytest.fixture(scope="module")
def small():
    return BPETokenizer.train(CORPUS, 540)


@pytest.fixture(scope="module")
def clip(shared_data):
    return BPETokenizer.from_merges_file(shared_data / "clip_bpe" / "bpe_simple_vocab_16e6.txt.gz")


def quadratic_bpe(word, merges):
    """Join the first pair of the lowest rank, look at everything again, until nothing joins."""
    symbols = list(spell_word(word))
    while True:
        found = [
            (merges.index(pair), i)
            for i, pair in enumerate(zip(symbols, symbols[1:], strict=False))
            if pair in merges
        ]
        if not found:
            return symbols
        i = min(found)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


# ------------------------------------------------------------------ CLIP's vocabulary


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("the task is semantic", [49406, 518, 10549, 533, 29119, 1550, 49407]),
        ("The task is instance", [49406, 518, 10549, 533, 34572, 49407]),
        ("the task is panoptic", [49406, 518, 10549, 533, 1072, 24755, 49407]),
        ("a semantic photo", [49406, 320, 29119, 1550, 1125, 49407]),
        ("an instance photo", [49406, 550, 34572, 1125, 49407]),
        ("a panoptic photo", [49406, 320, 1072, 24755, 1125, 49407]),
        ("a photo with a wall", [49406, 320, 1125, 593, 320, 2569, 49407]),
        ("a photo with a wall ", [49406, 320, 1125, 593, 320, 2569, 49407]),
    ],
)
def test_the_published_encodings(clip, text, ids):
    assert clip.tokenize(text) == [ids + [0] * (77 - len(ids))]


def test_clip_has_its_49408_ids(clip):
    assert (clip.vocab_size, clip.start_id, clip.end_id) == (49408, 49406, 49407)
    assert clip.encode(f"{START} {END}") == [49406, 49407]
    assert clip.encode("!") == [256]  # id 0 is "!" inside a word, and the padding
    assert clip.decode([0]) == "!"


@pytest.mark.parity
def test_ids_equal_those_of_transformers_on_a_folder_that_we_wrote(clip, tmp_path):
    transformers = pytest.importorskip("transformers")
    clip.save(tmp_path)
    theirs = transformers.CLIPTokenizer.from_pretrained(str(tmp_path))
    texts = [
        *(f"a photo with a {name}" for name in ("Lane Marking - Crosswalk", "wall-other-merged")),
        "a photo with a conveyer belt, conveyor belt, conveyer, conveyor, transporter",
        "It's 1.5 km; we'll see...",
        "naïve façade 東京 № 3½",
        f"one {END} two",
        "long " * 100,
        "",
    ]
    encoded = theirs(texts, padding="max_length", max_length=77, truncation=True)
    rows = zip(encoded["input_ids"], encoded["attention_mask"], strict=True)
    expected = [[i * m for i, m in zip(ids, mask, strict=True)] for ids, mask in rows]
    assert BPETokenizer.from_folder(tmp_path).tokenize(texts) == expected


@pytest.mark.parity
def test_a_folder_written_by_transformers_is_read(small, tmp_path):
    transformers = pytest.importorskip("transformers")
    small.save(tmp_path / "ours")
    theirs = transformers.CLIPTokenizer.from_pretrained(str(tmp_path / "ours"))
    theirs.save_pretrained(str(tmp_path / "theirs"))
    again = BPETokenizer.from_folder(tmp_path / "theirs")
    assert again.token_to_id == small.token_to_id
    assert again.merges == small.merges


# ------------------------------------------------------------------ encode and decode


@settings(max_examples=25, deadline=None)
@given(TEXTS)
def test_encoding_equals_the_quadratic_oracle(text):
    tokenizer = BPETokenizer.train(CORPUS, 560)
    symbols = [
        symbol
        for word in split_words(
            clean_text(text)
        )  # once: cleaning what is clean may change it again
        for symbol in ([word] if word in (START, END) else quadratic_bpe(word, tokenizer.merges))
    ]
    assert tokenizer.encode(text) == [tokenizer.token_to_id[symbol] for symbol in symbols]


@settings(max_examples=25, deadline=None)
@given(TEXTS)
def test_decoding_gives_the_cleaned_words_back(text):
    tokenizer = BPETokenizer.train(CORPUS, 540)
    assert tokenizer.decode(tokenizer.encode(text)) == " ".join(split_words(clean_text(text)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["tree", "trees!", "café", "it's", "42", START, "東"]), max_size=6))
def test_encoding_in_chunks_changes_no_id(chunks):
    tokenizer = BPETokenizer.train(CORPUS, 540)
    assert tokenizer.encode(" ".join(chunks)) == [i for c in chunks for i in tokenizer.encode(c)]


def test_the_same_tokenizer_encodes_a_word_the_same_twice(small):
    first = small.encode("tree trees")
    first.append(99)  # what we return is the caller's own
    assert small.encode("tree trees") == first[:-1]


def test_the_lowest_rank_is_merged_first(small):
    ids = {token: i for i, token in enumerate(BASE_TOKENS)}
    for token in ("bc</w>", "ab", START, END):
        ids[token] = len(ids)
    tokenizer = BPETokenizer(merges=[("b", "c</w>"), ("a", "b")], token_to_id=ids)
    assert tokenizer.encode("abc") == [ids["a"], ids["bc</w>"]]
    assert tokenizer.encode("abab") == [ids["ab"], ids["a"], ids["b</w>"]]


def test_special_tokens_in_a_text_become_their_ids(small):
    row = small.encode(f"{START}a tree{END}")
    assert (row[0], row[-1]) == (small.start_id, small.end_id)
    assert small.decode(row) == f"{START} a tree {END}"


def test_an_empty_text_has_no_ids(small):
    assert small.encode("") == small.encode(" \n") == []
    assert small.decode([]) == ""


def test_bytes_that_are_no_text_are_replaced(small):
    assert small.decode(small.encode("é")[:1]) == "\ufffd"


@pytest.mark.parametrize("wrong", [-1, 540])
def test_an_unknown_id_is_refused(small, wrong):
    with pytest.raises(ValueError, match=rf"ids are 0 to 539, got id {wrong}"):
        small.decode([0, wrong])


# ------------------------------------------------------------------ tokenize


def test_rows_are_start_ids_end_zeros(small):
    ids = small.encode("a tree")
    row = [small.start_id, *ids, small.end_id]
    assert small.tokenize("a tree", context_length=9) == [row + [0] * (9 - len(row))]
    assert small.tokenize("", context_length=4) == [[small.start_id, small.end_id, 0, 0]]
    assert small.tokenize([]) == []


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_long_text_keeps_its_beginning_and_gets_an_end(small, extra):
    ids = small.encode("q w x z y")  # one id each
    assert len(ids) == 5
    (row,) = small.tokenize("q w x z y", context_length=7 + extra)
    whole = [small.start_id, *ids, small.end_id, 0]
    expected = whole[: 7 + extra]
    if extra < 0:
        expected[-1] = small.end_id
    assert row == expected


def test_rows_come_in_the_order_of_the_texts_and_are_independent(small):
    rows = small.tokenize(["b", "a", "b"], context_length=3)
    assert rows == [small.tokenize(text, context_length=3)[0] for text in ("b", "a", "b")]
    rows[0][1] = -7
    assert rows[2][1] != -7


def test_a_row_must_hold_start_and_end(small):
    assert small.tokenize("tree", context_length=2) == [[small.start_id, small.end_id]]
    with pytest.raises(ValueError, match="context_length >= 2, got context_length=1"):
        small.tokenize("tree", context_length=1)


# ------------------------------------------------------------------ train


def test_training_counts_bytes_merges_and_specials():
    tokenizer = BPETokenizer.train(["aab aab aab ab ab"], 516)
    assert tokenizer.merges == [("a", "b</w>"), ("a", "ab</w>")]
    assert list(tokenizer.token_to_id)[512:] == ["ab</w>", "aab</w>", START, END]
    assert (tokenizer.start_id, tokenizer.end_id, tokenizer.vocab_size) == (514, 515, 516)
    assert tokenizer.encode("aab b ab") == [513, tokenizer.token_to_id["b</w>"], 512]


def test_training_stops_when_nothing_is_left_to_merge():
    assert BPETokenizer.train(["ab"], 9999).vocab_size == 515
    assert BPETokenizer.train([], 9999).vocab_size == 514
    assert BPETokenizer.train([START, END], 9999).vocab_size == 514


def test_the_order_of_the_corpus_does_not_matter():
    assert BPETokenizer.train(CORPUS, 560).merges == BPETokenizer.train(CORPUS[::-1], 560).merges


def test_no_merge_crosses_a_word():
    tokenizer = BPETokenizer.train(["to be or not 2 be!!"] * 3, 9999)
    words = set(split_words("to be or not 2 be!!"))
    for left, right in tokenizer.merges:
        piece = (left + right).removesuffix("</w>")
        assert any(piece in word for word in words)
    assert tokenizer.vocab_size == 514 + len({left + right for left, right in tokenizer.merges})


@pytest.mark.parametrize("vocab_size", [-1, 0, 513])
def test_a_vocabulary_without_room_for_bytes_is_refused(vocab_size):
    with pytest.raises(ValueError, match=f"vocab_size >= 514, got vocab_size={vocab_size}"):
        BPETokenizer.train(CORPUS, vocab_size)
    assert BPETokenizer.train(CORPUS, 514).merges == []


def test_a_single_string_is_no_corpus():
    with pytest.raises(ValueError, match="texts must be several strings, got texts='tree'"):
        BPETokenizer.train("tree", 600)


# ------------------------------------------------------------------ save and load


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXTS, max_size=4), st.integers(514, 600), TEXTS)
def test_a_saved_tokenizer_encodes_as_before(corpus, vocab_size, text):
    tokenizer = BPETokenizer.train(corpus, vocab_size)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        loaded = BPETokenizer.from_folder(folder)
    assert loaded.encode(text) == tokenizer.encode(text)
    assert loaded.encode(" ".join(corpus)) == tokenizer.encode(" ".join(corpus))
    assert (loaded.vocab_size, loaded.start_id, loaded.end_id) == (
        tokenizer.vocab_size,
        tokenizer.start_id,
        tokenizer.end_id,
    )


def test_ids_come_from_the_vocabulary_file(small, tmp_path):
    ids = dict(small.token_to_id)
    ids["!"], ids['"'] = ids['"'], ids["!"]
    BPETokenizer(merges=small.merges, token_to_id=ids).save(tmp_path)
    assert BPETokenizer.from_folder(tmp_path).encode("!!") == [1, ids["!</w>"]]


def test_merges_beyond_the_vocabulary_are_ignored(small):
    tail = [("tree</w>", "q"), ("q", "q")]
    tokenizer = BPETokenizer(merges=[*small.merges, *tail], token_to_id=small.token_to_id)
    assert tokenizer.merges == small.merges


def test_merges_that_end_early_are_reported(small):
    with pytest.warns(UserWarning, match="the merges end early: they make 25 of 26 tokens"):
        tokenizer = BPETokenizer(merges=small.merges[:-1], token_to_id=small.token_to_id)
    assert tokenizer.vocab_size == small.vocab_size


def test_merges_of_another_vocabulary_are_refused(small):
    merges = [small.merges[0], ("q", "q"), *small.merges[1:]]
    with pytest.raises(ValueError, match=r"merge 2, \('q', 'q'\), needs 'qq', which has no id"):
        BPETokenizer(merges=merges, token_to_id=small.token_to_id)
    merges = [("zz", "y"), *small.merges]
    with pytest.raises(ValueError, match=r"merge 1, \('zz', 'y'\), needs 'zz'"):
        BPETokenizer(merges=merges, token_to_id=small.token_to_id)


def test_ids_with_gaps_are_refused(small):
    ids = small.token_to_id | {"!": 9999}
    with pytest.raises(ValueError, match="token ids must be 0 to 539, each once"):
        BPETokenizer(merges=small.merges, token_to_id=ids)


def test_a_vocabulary_without_all_bytes_is_refused():
    with pytest.raises(ValueError, match=r"got none for \['!', .* \(513 in all\)"):
        BPETokenizer(merges=[], token_to_id={END: 0})


def test_the_end_must_have_the_largest_id(small):
    ids = small.token_to_id | {START: small.end_id, END: small.start_id}
    with pytest.raises(ValueError, match="must have the largest id, 539, .* got 538"):
        BPETokenizer(merges=small.merges, token_to_id=ids)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.*shipped"):
        BPETokenizer.from_folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        BPETokenizer.from_merges_file(tmp_path / "nowhere")
