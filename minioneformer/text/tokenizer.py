"""Byte-level BPE tokenizer with CLIP's rules: train, encode, decode, save, load.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), box "Tokenize".
After: CLIP (arXiv 2103.00020), Sec. 2.4; byte-level BPE is from GPT-2.

A text becomes words spelled in bytes (`text/words.py`); within a word, neighbours are merged in
the order in which the merges were learnt. Ids count: the 256 characters that stand for bytes,
the same 256 at the end of a word, one id per merge, then start and end of text. With CLIP's
merges the ids are CLIP's, 49408 of them.

Not here: learning merges (`text/bpe_training.py`), files (`text/vocabulary_files.py`), tensors
(`data/collate.py`); no torch.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from minioneformer.text.bpe_training import Pair, learn_merges, merge_pair
from minioneformer.text.vocabulary_files import (
    read_clip_merges,
    read_vocabulary_folder,
    write_vocabulary_folder,
)
from minioneformer.text.words import (
    BASE_TOKENS,
    BYTE,
    END,
    END_OF_WORD,
    START,
    clean_text,
    spell_word,
    split_words,
)

SHIPPED_FOLDER = Path(__file__).resolve().parents[1] / "assets" / "vocabulary"

SMALLEST_VOCABULARY = len(BASE_TOKENS) + 2


class BPETokenizer:
    """Text to token ids and back.

    Args:
        merges: In order of rank. Merges after the last one that the ids know are ignored.
        token_to_id: 0 to V - 1; holds the 512 base tokens, every merge, start and end of text,
            and the end has the largest id, because the text encoder finds it by that.

    Raises:
        ValueError: If ids are not 0 to V - 1, a base or special token is missing, the end is not
            the last id, or a merge uses or makes a token without an id.

    Warns:
        UserWarning: If ids are left that no merge makes: the merges end early.

    Example:
        With CLIP's vocabulary `encode("a panoptic photo")` is `[320, 1072, 24755, 1125]`:
        "panoptic" is "pan" + "optic".
    """

    def __init__(self, *, merges: Sequence[Pair], token_to_id: Mapping[str, int]) -> None:
        _check_ids(token_to_id)
        self.merges = _known_merges(merges, token_to_id)
        self.token_to_id = dict(token_to_id)
        self.vocab_size = len(token_to_id)
        self.start_id = token_to_id[START]
        self.end_id = token_to_id[END]
        self._id_to_token = {i: token for token, i in token_to_id.items()}
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self._word_ids = {START: [self.start_id], END: [self.end_id]}  # also a cache

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> BPETokenizer:
        """Learn a vocabulary.

        Args:
            texts: The corpus; a word counts as often as it occurs.
            vocab_size: Ids wanted, at least 514. If every word of the corpus is one token
                before that, the vocabulary is smaller: read `vocab_size` from the result.

        Raises:
            ValueError: If `vocab_size` is below 514, or `texts` is a single string.
        """
        if vocab_size < SMALLEST_VOCABULARY:
            raise ValueError(
                f"256 bytes, 256 word-final bytes and 2 special tokens need vocab_size >= "
                f"{SMALLEST_VOCABULARY}, got {vocab_size=}."
            )
        if isinstance(texts, str):
            raise ValueError(f"texts must be several strings, got {texts=}. Pass [texts].")
        words = Counter(word for text in texts for word in split_words(clean_text(text)))
        spelled = {spell_word(word): n for word, n in words.items() if word not in (START, END)}
        return cls._from_merges(learn_merges(spelled, vocab_size - SMALLEST_VOCABULARY))

    @classmethod
    def from_folder(cls, folder: str | Path) -> BPETokenizer:
        """Read the vocabulary of a published checkpoint, or one written by `save`.

        Args:
            folder: Holds `vocab.json` and `merges.txt`, or else `tokenizer.json`.

        Raises:
            FileNotFoundError: If the files are not there.
            ValueError: If a file is malformed, or merges and ids disagree.
        """
        merges, token_to_id = read_vocabulary_folder(Path(folder))
        return cls(merges=merges, token_to_id=token_to_id)

    @classmethod
    def from_merges_file(cls, path: str | Path) -> BPETokenizer:
        """Read CLIP's own file; the ids are those of the published models.

        Args:
            path: `bpe_simple_vocab_16e6.txt`, plain or gzipped.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If a line is malformed or lines are missing.
        """
        return cls._from_merges(read_clip_merges(Path(path)))

    @classmethod
    def shipped(cls) -> BPETokenizer:
        """Read the package's own small vocabulary, learnt from all prompts and class names.

        Its ids are not CLIP's: weights trained with one vocabulary need that vocabulary.
        """
        return cls.from_folder(SHIPPED_FOLDER)

    @classmethod
    def _from_merges(cls, merges: Sequence[Pair]) -> BPETokenizer:
        tokens = [*BASE_TOKENS, *(left + right for left, right in merges), START, END]
        return cls(merges=merges, token_to_id={token: i for i, token in enumerate(tokens)})

    def save(self, folder: str | Path) -> None:
        """Write `vocab.json` and `merges.txt`.

        Args:
            folder: Made if it is not there.
        """
        write_vocabulary_folder(Path(folder), self.merges, self.token_to_id)

    def encode(self, text: str) -> list[int]:
        """Turn a text into ids, without start, end or padding.

        Args:
            text: Cleaned here. The special tokens written out in it become their ids.

        Returns:
            As many ids as the text needs; none for an empty text.
        """
        return [i for word in split_words(clean_text(text)) for i in self._encode_word(word)]

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text, one blank after each word.

        Blanks of the original text are not stored, so "it's" comes back as "it 's". Bytes that
        are no UTF-8 become U+FFFD. Padding is an ordinary token: cut the ids at the end first.

        Args:
            ids: 0 to `vocab_size` - 1.

        Returns:
            The words, joined by blanks.

        Raises:
            ValueError: If an id is not in the vocabulary.
        """
        spelled = "".join(self._spelling(i) for i in ids).rstrip(" ")
        words = (b"".join(BYTE.get(c, c.encode()) for c in word) for word in spelled.split(" "))
        return " ".join(word.decode("utf-8", errors="replace") for word in words)

    def tokenize(self, texts: str | Sequence[str], context_length: int = 77) -> list[list[int]]:
        """Turn texts into rows of equal length: start, ids, end, then zeros.

        Args:
            texts: One text or several.
            context_length: Length of a row, at least 2. A text that needs more keeps the first
                `context_length` ids, the last of them replaced by the end.

        Returns:
            One row per text.

        Raises:
            ValueError: If `context_length` is below 2.

        Fidelity:
            transformers pads with the end token and multiplies by the attention mask: the
            same zeros.
        """
        if context_length < 2:
            raise ValueError(f"start and end need context_length >= 2, got {context_length=}.")
        texts = [texts] if isinstance(texts, str) else texts
        # A padded text list says the same thing a hundred times: encode it once.
        rows = {text: self._row(text, context_length) for text in dict.fromkeys(texts)}
        return [list(rows[text]) for text in texts]

    def _encode_word(self, word: str) -> list[int]:
        if word not in self._word_ids:
            symbols = list(spell_word(word))
            while len(symbols) > 1:
                best = min(pairwise(symbols), key=lambda pair: self._ranks.get(pair, math.inf))
                # subtle: if no pair has a rank, min returns an arbitrary one.
                if best not in self._ranks:
                    break
                symbols = merge_pair(symbols, best)
            self._word_ids[word] = [self.token_to_id[symbol] for symbol in symbols]
        return self._word_ids[word]

    def _spelling(self, token_id: int) -> str:
        if token_id not in self._id_to_token:
            raise ValueError(f"ids are 0 to {self.vocab_size - 1}, got id {token_id}.")
        token = self._id_to_token[token_id]
        if token in (START, END):
            return token + " "
        return token.removesuffix(END_OF_WORD) + " " * token.endswith(END_OF_WORD)

    def _row(self, text: str, context_length: int) -> list[int]:
        row = [self.start_id, *self.encode(text), self.end_id]
        if len(row) > context_length:
            return [*row[: context_length - 1], self.end_id]
        return row + [0] * (context_length - len(row))


def _check_ids(token_to_id: Mapping[str, int]) -> None:
    if sorted(token_to_id.values()) != list(range(len(token_to_id))):
        raise ValueError(
            f"token ids must be 0 to {len(token_to_id) - 1}, each once, got gaps or repeats."
        )
    missing = [t for t in (*BASE_TOKENS, START, END) if t not in token_to_id]
    if missing:
        raise ValueError(
            f"a byte-level vocabulary needs all {len(BASE_TOKENS)} base tokens, {START} and "
            f"{END}, got none for {missing[:5]} ({len(missing)} in all)."
        )
    if token_to_id[END] != len(token_to_id) - 1:
        raise ValueError(
            f"{END} must have the largest id, {len(token_to_id) - 1}, because the text encoder "
            f"finds the end by it, got {token_to_id[END]}."
        )


def _known_merges(merges: Sequence[Pair], token_to_id: Mapping[str, int]) -> list[Pair]:
    """Return the merges that have ids; refuse a list that belongs to another vocabulary."""
    num_tokens = len(token_to_id) - SMALLEST_VOCABULARY
    made: set[str] = set()
    for number, pair in enumerate(merges):
        if "".join(pair) not in token_to_id and len(made) == num_tokens:
            return list(merges[:number])  # CLIP's file goes on far beyond its vocabulary
        unknown = [token for token in (*pair, "".join(pair)) if token not in token_to_id]
        if unknown:
            raise ValueError(
                f"merges and vocabulary do not belong together: merge {number + 1}, {pair}, "
                f"needs {unknown[0]!r}, which has no id. Take both files from one folder."
            )
        made.add("".join(pair))
    if len(made) < num_tokens:
        warnings.warn(
            f"the merges end early: they make {len(made)} of {num_tokens} tokens. Texts that "
            f"need the others are split finer than their authors meant.",
            stacklevel=3,
        )
    return list(merges)
