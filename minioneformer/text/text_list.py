r"""What is in the image, one text per mask.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1 and Figure 3; Figure 2(b), boxes "Panoptic Text",
"Instance Text", "Semantic Text".

Not here: the masks of a task (`data/targets.py`), token ids (`text/tokenizer.py`), how texts
become queries (`text/text_mapper.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from minioneformer.text.task_prompt import check_task

PAD_TEXTS = {
    "semantic": "a semantic photo",
    "instance": "an instance photo",
    "panoptic": "a panoptic photo",
}


def text_list(labels: Sequence[int], class_names: Sequence[str]) -> list[str]:
    r"""Write $T_\text{list}$: one text per mask, classes in the order of the catalogue.

    Args:
        labels: Class of each mask of the sampled task, in any order; may be empty.
        class_names: Name of each label, used verbatim.

    Returns:
        As many texts as masks.

    Raises:
        ValueError: If a label has no name.

    Example:
        Labels [2, 0, 2] with names ("sky", "grass", "ring") give "a photo with a sky",
        "a photo with a ring", "a photo with a ring".
    """
    for label in labels:
        if not 0 <= label < len(class_names):
            raise ValueError(
                f"labels must be 0 to {len(class_names) - 1} for {len(class_names)} class names, "
                f"got {label=}. Labels are positions in the catalogue, not dataset ids."
            )
    counts = Counter(class_names[label] for label in labels)
    # Counted by name, so that a name listed twice is written once per mask, not twice.
    names = dict.fromkeys(class_names)
    return [f"a photo with a {name}" for name in names for _ in range(counts[name])]


def pad_text_list(texts: Sequence[str], task: str, num_text: int) -> list[str]:
    r"""Make $T_\text{pad}$: fill with the task's own text.

    Args:
        texts: From `text_list`.
        task: The task they were written for.
        num_text: Texts wanted, at least 1. If there are more, those of the last classes in the
            catalogue are left out.

    Returns:
        `num_text` texts.

    Raises:
        ValueError: If there is no such task, or `num_text` is below 1.

    Example:
        One text, "a photo with a sky", task "semantic" and 3 texts wanted: that text, then
        "a semantic photo" twice.

    Fidelity:
        Official code: the same, overflow included. transformers pads panoptic lists with
        "an panoptic photo", and carries texts over between the images of a batch.
    """
    if num_text < 1:
        raise ValueError(f"num_text must be at least 1, got {num_text=}.")
    kept = list(texts[:num_text])
    return kept + [PAD_TEXTS[check_task(task)]] * (num_text - len(kept))
