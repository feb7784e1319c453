"""The shipped vocabulary: it is what the committed command makes, and it fits its use."""

import numpy as np
import pytest

from minioneformer.structures import TASKS
from minioneformer.text.task_prompt import task_prompt
from minioneformer.text.tokenizer import SHIPPED_FOLDER, BPETokenizer
from minioneformer.text.train_vocabulary import VOCAB_SIZE, corpus, train_vocabulary


def test_training_again_gives_the_shipped_bytes(tmp_path):
    train_vocabulary(tmp_path)
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / name).read_bytes() == (SHIPPED_FOLDER / name).read_bytes(), (
            "run python -m minioneformer.text.train_vocabulary"
        )


def test_the_shipped_vocabulary_loads():
    tokenizer = BPETokenizer.shipped()
    assert tokenizer.vocab_size == VOCAB_SIZE
    assert tokenizer.end_id == max(tokenizer.token_to_id.values()) == VOCAB_SIZE - 1
    assert tokenizer.start_id == VOCAB_SIZE - 2


def test_the_corpus_has_every_catalogue():
    texts = corpus()
    assert texts[:3] == [task_prompt(task) for task in TASKS]
    for name in ("cross", "wall", "wall-other-merged", "Lane Marking - Crosswalk"):
        assert f"a photo with a {name}" in texts
    assert len(texts) == 3 + 3 + 8 + 19 + 65 + 133 + 150


def test_every_text_fits_and_comes_back():
    tokenizer = BPETokenizer.shipped()
    for text in corpus():
        (row,) = tokenizer.tokenize(text)
        assert len(tokenizer.encode(text)) <= 77 - 2
        assert row.count(tokenizer.end_id) == 1


def test_the_three_prompts_are_far_apart_as_numbers():
    """The task MLP reads ids as numbers, so nearly equal rows would hide the task."""
    rows = np.array(BPETokenizer.shipped().tokenize([task_prompt(t) for t in TASKS]), dtype=float)
    length = np.linalg.norm(rows.mean(axis=0))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(rows[i] - rows[j]) / length > 0.5


@pytest.mark.parity
def test_transformers_reads_the_shipped_vocabulary_alike():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.CLIPTokenizer.from_pretrained(str(SHIPPED_FOLDER))
    ours = BPETokenizer.shipped()
    texts = corpus()
    expected = theirs(texts, add_special_tokens=False)["input_ids"]
    assert [ours.encode(text) for text in texts] == expected
