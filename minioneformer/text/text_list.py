r"""What is in the image, one text per mask.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1 and Figure 3; Figure 2(b), boxes "Panoptic Text",
"Instance Text", "Semantic Text".

Not here: the masks of a task (`data/targets.py`), token ids (`text/tokenizer.py`), how texts
become queries (`text/text_mapper.py`).
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence

from minioneformer.text.task_prompt import check_task

TEMPLATE = "a photo with a {name}"
PAD_TEXTS = {
    "semantic": "a semantic photo",
    "instance": "an instance photo",
    "panoptic": "a panoptic photo",
}


def class_texts(
    class_names: Sequence[str], is_thing: Sequence[bool], template: str = TEMPLATE
) -> list[str]:
    """Write the text of each class.

    Args:
        class_names: Name of each label, used verbatim.
        is_thing: True for countable objects, False for stuff; one per name.
        template: {name} stands for the name, {type} for "thing" or "stuff".

    Returns:
        One text per label.

    Raises:
        ValueError: If the template lacks {name} or holds another placeholder, or the two lists
            are of different lengths.

    Example:
        "a photo with a {name} {type}" for ("sky", "ring") of (False, True) gives
        "a photo with a sky stuff", "a photo with a ring thing": the first variant of the paper's
        Table 6; the second one is "{name}".
    """
    check_template(template)
    if len(class_names) != len(is_thing):
        raise ValueError(f"one type per name, got {len(class_names)=}, {len(is_thing)=}.")
    return [
        template.format(name=name, type="thing" if thing else "stuff")
        for name, thing in zip(class_names, is_thing, strict=True)
    ]


def check_template(template: str) -> None:
    """Refuse a template that does not tell classes apart.

    Args:
        template: See `class_texts`.

    Raises:
        ValueError: If it lacks {name}, or holds another placeholder or half of one.
    """
    try:
        parts = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError:  # a brace without its partner
        parts = []
    if ("name", "", None) not in parts or {*parts} - {("name", "", None), ("type", "", None)}:
        raise ValueError(
            f"a text template holds {{name}}, may hold {{type}} and nothing else in braces, got "
            f"{template=}."
        )


def text_list(
    labels: Sequence[int], class_names: Sequence[str], texts: Sequence[str] | None = None
) -> list[str]:
    r"""Write $T_\text{list}$: one text per mask, classes in the order of the catalogue.

    Args:
        labels: Class of each mask of the sampled task, in any order; may be empty.
        class_names: Name of each label, used verbatim.
        texts: Text of each label, as `class_texts` gives them; None is "a photo with a {name}".

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
    if texts is None:
        texts = [TEMPLATE.format(name=name) for name in class_names]
    counts = Counter(texts[label] for label in labels)
    # Counted by text, so that a name listed twice is written once per mask, not twice.
    return [text for text in dict.fromkeys(texts) for _ in range(counts[text])]


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
