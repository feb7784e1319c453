"""Words: cleaning, cutting, spelling."""

from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.text.words import (
    BASE_TOKENS,
    BYTE,
    CHARACTER,
    END,
    START,
    clean_text,
    spell_word,
    split_words,
)


def test_the_byte_alphabet_has_the_published_order():
    assert list(CHARACTER.values())[:3] == ["!", '"', "#"]
    assert [CHARACTER[0], CHARACTER[32], CHARACTER[127], CHARACTER[173]] == [
        chr(256),
        chr(288),
        chr(289),
        chr(323),
    ]
    assert len(CHARACTER) == len(BYTE) == 256
    assert len(set(BASE_TOKENS)) == 512
    assert BASE_TOKENS[256] == "!</w>"


def test_no_character_of_the_alphabet_is_a_blank_or_invisible():
    assert all(c.isprintable() and not c.isspace() for c in CHARACTER.values())


def test_cleaning_repairs_unescapes_squeezes_and_lowers():
    assert clean_text(" A  Photo &amp;amp; more\n") == "a photo & more"
    # ftfy leaves entities alone where there is a "<"; then two levels are resolved, no third.
    assert clean_text("<&amp;amp;") == "<&"
    assert clean_text("<&amp;amp;amp;") == "<&amp;"
    assert clean_text("schÃ¶n") == "schön"
    assert clean_text("it\u2019s") == "it's"
    assert clean_text("\t \n") == ""


def test_words_are_letters_digits_contractions_and_the_rest():
    words = split_words("it's 42 cross-walks!")
    assert words == ["it", "'s", "4", "2", "cross", "-", "walks", "!"]
    assert split_words("we'll they've i'd") == ["we", "'ll", "they", "'ve", "i", "'d"]
    assert split_words("naïve 東京...") == ["naïve", "東京", "..."]
    assert split_words("") == []


def test_special_tokens_are_words_where_a_word_may_begin():
    assert split_words(f"{START}a{END}") == [START, "a", END]
    # A run of signs swallows the sign that begins the special token.
    assert split_words(f"!{END}") == ["!<|", "endoftext", "|>"]


def test_a_word_is_spelled_in_utf8_bytes():
    assert spell_word("café") == ("c", "a", "f", "Ã", "©</w>")
    assert spell_word("a") == ("a</w>",)


@settings(max_examples=25, deadline=None)
@given(st.text())
def test_words_are_the_cleaned_text_without_its_blanks(text):
    cleaned = clean_text(text)
    rest = cleaned
    for word in split_words(cleaned):
        assert word and not any(c.isspace() for c in word)
        rest = rest.lstrip()
        assert rest.startswith(word)
        rest = rest[len(word) :]
    assert rest.strip() == ""


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1))
def test_spelling_can_be_undone(word):
    symbols = "".join(spell_word(word))
    assert symbols.endswith("</w>")
    assert b"".join(BYTE[c] for c in symbols[: -len("</w>")]).decode() == word
