"""Read a data set once, completely, and say what is in it and what is wrong with it.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Readers refuse a broken file when it is read, which in training may be after hours. Here every
sample is read, in parallel, and every refusal is collected instead of raised.

Not here: what is wrong with one sample (`data/sample_facts.py`), the figures and how they are
shown (`data/data_report.py`), pictures (`visualize/contact_sheet.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from minioneformer.data.annotation_checks import brief_list
from minioneformer.data.background import WithBackground
from minioneformer.data.data_report import ClassCount, DataReport, Problem
from minioneformer.data.sample_facts import Annotated, FactsOfSamples, SampleFacts
from minioneformer.structures import Category, Task
from minioneformer.text.text_list import text_list
from minioneformer.text.tokenizer import BPETokenizer


def check_dataset(
    dataset: Annotated,
    *,
    tokenizer: BPETokenizer | None = None,
    num_queries: int | None = None,
    num_texts: int | None = None,
    context_length: int = 77,
    num_workers: int = 2,
    progress: bool = True,
) -> DataReport:
    """Read every sample once and count.

    Args:
        dataset: Any data set of samples with `categories` and `tasks`.
        tokenizer: That training will use; None takes the one that ships.
        num_queries: Of the model, for a warning where an image has more segments; None asks not.
        num_texts: Of the model, likewise; None asks not.
        context_length: Tokens that the text encoder takes.
        num_workers: Processes that read; 0 reads in this one.
        progress: Whether to show a progress bar.

    Returns:
        The report. It is the same for any number of workers. Whatever the reader refuses is among
        its errors, and so are, for readers that check nothing: ids without pixels, pixels of no
        id, ids and image ids that occur twice, labels outside the catalogue, sizes that differ.
    """
    loader = DataLoader(
        FactsOfSamples(dataset),
        batch_size=None,
        num_workers=num_workers,
        collate_fn=_unchanged,
        generator=torch.Generator(),  # or it would draw from the global one
    )
    counter = _Counter(dataset.categories, dataset.tasks)
    for facts in tqdm(loader, desc="checking", unit="image", disable=not progress):
        counter.add(facts)
    tokenizer = BPETokenizer.shipped() if tokenizer is None else tokenizer
    warnings = [
        *_left_out(dataset),
        *_name_warnings(dataset.categories, tokenizer, context_length),
        *counter.warnings(num_queries, num_texts),
    ]
    return counter.report(len(dataset), warnings)


class _Counter:
    """Adds up facts; grows with the number of errors and of image ids only."""

    def __init__(self, categories: Sequence[Category], tasks: Sequence[Task]) -> None:
        self.categories, self.tasks = tuple(categories), tuple(tasks)
        self.segments, self.images, self.pixels = (Counter[int]() for _ in range(3))
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.totals: Counter[str] = Counter()
        self.targets: Counter[int] = Counter()  # images with so many targets
        self.most = (-1, "")  # targets, and in which image
        self.hidden: list[str] = []
        self.overlaps = False
        self.errors: list[Problem] = []
        self.first_with: dict[int | str, str] = {}

    def add(self, facts: SampleFacts) -> None:
        """Count one sample, or keep its errors."""
        errors = list(facts.errors)
        if not errors and facts.image_id in self.first_with:
            other = self.first_with[facts.image_id]
            errors.append(f"{facts.name}: image id {facts.image_id!r} is also that of {other}.")
        if errors:
            self.errors += [Problem(index=facts.index, message=error) for error in errors]
            return
        self.first_with[facts.image_id] = facts.name
        for label, pixels in facts.classes:
            self.segments[label] += 1
            self.pixels[label] += pixels
        labels = [label for label, _ in facts.classes]
        self.images.update(set(labels))
        self.sizes[facts.size] += 1
        self.totals["pixels"] += facts.size[0] * facts.size[1]
        self.totals["void"] += facts.void_pixels
        self.totals["crowds"] += facts.crowds
        self.totals["all void"] += not facts.classes and not facts.crowds
        self._add_objects(facts, labels)

    def _add_objects(self, facts: SampleFacts, labels: Sequence[int]) -> None:
        things = sum(self.categories[label].is_thing for label in labels)
        self.totals["without objects"] += things == 0
        wanted = {"panoptic": len(labels), "instance": things, "semantic": len(set(labels))}
        targets = max((wanted[task] for task in self.tasks), default=0)
        self.targets[targets] += 1
        self.most = max(self.most, (targets, facts.name), key=lambda entry: entry[0])
        if facts.overlap is not None:
            self.overlaps = True
            self.totals["overlap"] += facts.overlap.pixels
            if facts.overlap.hidden:
                self.hidden.append(f"{facts.name} {brief_list(facts.overlap.hidden)}")

    def warnings(self, num_queries: int | None, num_texts: int | None) -> list[str]:
        """What the samples give reason to warn of."""
        found = []
        limits = {"num_queries": num_queries, "num_texts": num_texts}
        for name, limit in limits.items():
            over = 0 if limit is None else sum(n for t, n in self.targets.items() if t > limit)
            if over:
                found.append(
                    f"{over} images have more segments than {name}={limit}, at most "
                    f"{self.most[0]} in {self.most[1]}: those left over are not learned from."
                )
        unseen = [c.name for label, c in enumerate(self.categories) if not self.segments[label]]
        if unseen:
            found.append(f"{len(unseen)} classes without a segment: {brief_list(unseen)}.")
        if self.hidden:
            found.append(
                f"{len(self.hidden)} images with objects that lost every pixel to smaller ones, "
                f"by annotation id: {', '.join(self.hidden[:8])}."
            )
        return found

    def report(self, images: int, warnings: Sequence[str]) -> DataReport:
        """All of it."""
        return DataReport(
            images=images,
            categories=self.categories,
            tasks=self.tasks,
            classes=tuple(
                ClassCount(
                    segments=self.segments[label],
                    images=self.images[label],
                    pixels=self.pixels[label],
                )
                for label in range(len(self.categories))
            ),
            sizes=dict(self.sizes),
            pixels=self.totals["pixels"],
            void_pixels=self.totals["void"],
            crowds=self.totals["crowds"],
            without_objects=self.totals["without objects"],
            all_void=self.totals["all void"],
            most_targets=max(0, self.most[0]),
            overlap_pixels=self.totals["overlap"] if self.overlaps else None,
            warnings=tuple(warnings),
            errors=tuple(self.errors),
        )


@runtime_checkable
class LeavesOut(Protocol):
    """A reader that counts the images it leaves out.

    Attributes:
        unannotated: Those without an annotation.
    """

    unannotated: int


def _left_out(dataset: Annotated) -> list[str]:
    """Images that are not read."""
    inner = dataset.dataset if isinstance(dataset, WithBackground) else dataset
    if not isinstance(inner, LeavesOut) or not inner.unannotated:
        return []
    return [f"{inner.unannotated} images have no annotation: they are left out."]


def _name_warnings(
    categories: Sequence[Category], tokenizer: BPETokenizer, context_length: int
) -> list[str]:
    """Names that are cut by the text encoder, empty, or of two classes."""
    names = [category.name for category in categories]
    found = []
    for name in dict.fromkeys(names):
        tokens = len(tokenizer.encode(text_list([0], [name])[0])) + 2  # start and end
        if tokens > context_length:
            found.append(
                f"the text of class {name!r:.60} has {tokens} tokens, more than "
                f"{context_length=}: its end is not read."
            )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        found.append(f"class names that occur twice have one text: {brief_list(repeated)}.")
    if any(not name.strip() for name in names):
        found.append("a class name is empty: its text says nothing.")
    return found


def _unchanged(facts: Any) -> Any:
    return facts
