"""Make the vocabulary that the package ships: `python -m minioneformer.text.train_vocabulary`.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1 and Figure 3 say which texts there are; not drawn.

The corpus is every text that training can write for the catalogues in `data/catalog`. Run
it again after a catalogue or the algorithm has changed; the same input gives the same bytes.

Not here: the algorithm (`text/bpe_training.py`).
"""

from __future__ import annotations

import json
from pathlib import Path

from minioneformer.structures import TASKS
from minioneformer.text.task_prompt import task_prompt
from minioneformer.text.text_list import PAD_TEXTS, text_list
from minioneformer.text.tokenizer import SHIPPED_FOLDER, BPETokenizer

CATALOG_FOLDER = Path(__file__).resolve().parents[1] / "data" / "catalog"

# subtle: the task MLP reads ids as numbers. From 903 ids on each task's name is one token, and
# the three prompts differ in a single id, by 3% of their length at most: nearly the same input.
# With 849 to 865 the names are 3, 1 and 2 tokens and the prompts differ by 55% and more, as
# CLIP's do (53%).
VOCAB_SIZE = 856


def corpus() -> list[str]:
    """Write every text of every catalogue.

    Returns:
        The task prompts, the pad texts, and one text per class; catalogues in order of name.
    """
    texts = [task_prompt(task) for task in TASKS] + list(PAD_TEXTS.values())
    for path in sorted(CATALOG_FOLDER.glob("*.json")):
        categories = json.loads(path.read_text(encoding="utf-8"))["categories"]
        names = [category["name"] for category in categories]
        texts += text_list(range(len(names)), names)
    return texts


def train_vocabulary(folder: Path) -> BPETokenizer:
    """Learn the vocabulary and write it.

    Args:
        folder: Gets `vocab.json` and `merges.txt`.

    Returns:
        What was written.
    """
    tokenizer = BPETokenizer.train(corpus(), VOCAB_SIZE)
    tokenizer.save(folder)
    return tokenizer


if __name__ == "__main__":
    train_vocabulary(SHIPPED_FOLDER)
