"""From a text to words spelled in bytes: what happens before any merge.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), box "Tokenize".
After: CLIP (arXiv 2103.00020), Sec. 2.4; the byte alphabet is GPT-2's.

Not here: merging symbols into tokens (`text/tokenizer.py`).
"""

from __future__ import annotations

import html

import ftfy
import regex

START = "<|startoftext|>"
END = "<|endoftext|>"
END_OF_WORD = "</w>"

# The special tokens, a contraction, letters, one digit, or anything else that is no blank.
WORD = regex.compile(
    rf"{regex.escape(START)}|{regex.escape(END)}"
    r"|'(?:s|t|re|ve|m|ll|d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)

# Printable bytes stand for themselves; the others, in order, for code points from 256 on, so
# that no character is a blank, a line end or invisible.
PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
UNPRINTABLE = [byte for byte in range(256) if byte not in PRINTABLE]
CHARACTER = {byte: chr(byte) for byte in PRINTABLE} | {
    byte: chr(256 + i) for i, byte in enumerate(UNPRINTABLE)
}
BYTE = {character: bytes([byte]) for byte, character in CHARACTER.items()}
BASE_TOKENS = [*CHARACTER.values(), *(c + END_OF_WORD for c in CHARACTER.values())]


def clean_text(text: str) -> str:
    """Repair encoding damage, resolve HTML entities, squeeze blanks, lower the case.

    Args:
        text: Anything.

    Returns:
        The text that is tokenized.

    Example:
        `clean_text(" A  Photo &amp;amp; more ")` is `"a photo & more"`.
    """
    # Twice, because text scraped from the web is often escaped twice.
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return regex.sub(r"\s+", " ", text.strip()).strip().lower()


def split_words(text: str) -> list[str]:
    """Cut cleaned text where no merge may cross.

    Args:
        text: From `clean_text`.

    Returns:
        Words without blanks; together they are the text without its blanks.

    Example:
        `split_words("it's 42 cross-walks!")` is
        `["it", "'s", "4", "2", "cross", "-", "walks", "!"]`.
    """
    return WORD.findall(text)


def spell_word(word: str) -> tuple[str, ...]:
    """Spell a word in the byte alphabet, its last symbol marked as the end of a word.

    Args:
        word: From `split_words`, not empty.

    Returns:
        One symbol per UTF-8 byte.

    Example:
        `spell_word("caf\u00e9")` is `("c", "a", "f", "\u00c3", "\u00a9</w>")`: the accented
        letter is two bytes.
    """
    characters = [CHARACTER[byte] for byte in word.encode("utf-8")]
    return (*characters[:-1], characters[-1] + END_OF_WORD)
