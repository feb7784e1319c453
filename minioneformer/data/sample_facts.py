"""What a check remembers of one sample: a few numbers, or what is wrong with it.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: adding up (`data/check.py`), what a form may look like (its reader checks that).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Protocol, runtime_checkable

from torch.utils.data import Dataset

from minioneformer.data.annotation_checks import brief_list
from minioneformer.data.background import WithBackground
from minioneformer.data.coco_instance import MaskOverlap
from minioneformer.structures import VOID_ID, Category, PanopticSample, Task


@runtime_checkable
class Annotated(Protocol):
    """What is needed of a data set: every reader has it.

    Attributes:
        categories: The catalogue.
        tasks: What its labels can teach.
    """

    categories: tuple[Category, ...]
    tasks: tuple[Task, ...]

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def __getitem__(self, index: int) -> PanopticSample:
        """One image with its annotation."""
        ...


@runtime_checkable
class Overlapping(Protocol):
    """A form whose masks may overlap, and whose reader can say by how much."""

    def overlap(self, index: int) -> MaskOverlap:
        """What the objects of one image lost to each other."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SampleFacts:
    """What is remembered of one sample once it was read.

    Args:
        index: Position in the data set.
        errors: What is wrong with it; if anything is, the other fields mean nothing.
        name: Of its file, or else its id.
        image_id: As in the data set.
        size: (H, W) in pixels.
        classes: Label and pixels of each segment that is no crowd.
        void_pixels: That no segment covers.
        crowds: Segments that are crowds.
        overlap: What objects lost to each other; None where the form has no overlaps.
    """

    index: int
    errors: tuple[str, ...] = ()
    name: str = ""
    image_id: int | str = ""
    size: tuple[int, int] = (0, 0)
    classes: tuple[tuple[int, int], ...] = ()
    void_pixels: int = 0
    crowds: int = 0
    overlap: MaskOverlap | None = None


def sample_errors(sample: PanopticSample, num_classes: int) -> list[str]:
    """What contradicts itself in a sample.

    Args:
        sample: As a data set gives it.
        num_classes: Of its catalogue.

    Returns:
        One line for each contradiction, each naming the image.
    """
    where = sample.file_name or f"image {sample.image_id!r}"
    ids = [segment.id for segment in sample.segments]
    painted = set(sample.segment_map.unique_consecutive().tolist()) - {VOID_ID}
    wrong_labels = sorted({s.label for s in sample.segments if not 0 <= s.label < num_classes})
    found = {
        "segment ids that occur twice": [i for i, count in Counter(ids).items() if count > 1],
        "segment ids that mean void": [i for i in ids if i == VOID_ID],
        "segment ids without a pixel": sorted(set(ids) - painted - {VOID_ID}),
        "pixels of segment ids that are not listed": sorted(painted - set(ids)),
        "labels that are not in the catalogue": wrong_labels,
    }
    errors = [f"{where}: {what}, {brief_list(which)}." for what, which in found.items() if which]
    if sample.image.shape[1:] != sample.segment_map.shape:
        errors.append(
            f"{where}: image and segment map differ in size, "
            f"{tuple(sample.image.shape[1:])} and {tuple(sample.segment_map.shape)}."
        )
    return errors


class FactsOfSamples(Dataset[SampleFacts]):
    """The facts of each sample of a data set; made in the workers, so that no pixels travel.

    Args:
        dataset: Any data set of samples with `categories` and `tasks`.
    """

    def __init__(self, dataset: Annotated) -> None:
        self.dataset = dataset
        inner = dataset.dataset if isinstance(dataset, WithBackground) else dataset
        self.overlapping = inner if isinstance(inner, Overlapping) else None

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> SampleFacts:
        """Read one sample.

        Args:
            index: Position in the data set.

        Returns:
            Its facts, or what is wrong with it; no error of the data set is raised.

        Raises:
            IndexError: If there is no such position. A loop over the facts ends by it.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"index must be in 0 .. {len(self) - 1}, got {index=}.")
        try:
            sample = self.dataset[index]
            overlap = None if self.overlapping is None else self.overlapping.overlap(index)
        except (OSError, ValueError) as error:
            return SampleFacts(index=index, errors=(_one_line(error),))
        except Exception as error:  # whatever it is, the rest of the data set is to be read too
            message = f"sample {index}: {type(error).__name__}: {_one_line(error)}"
            return SampleFacts(index=index, errors=(message,))
        errors = sample_errors(sample, len(self.dataset.categories))
        return (
            SampleFacts(index=index, errors=tuple(errors))
            if errors
            else _facts(index, sample, overlap)
        )


def _facts(index: int, sample: PanopticSample, overlap: MaskOverlap | None) -> SampleFacts:
    """Of a sample without errors."""
    ids, counts = (values.tolist() for values in sample.segment_map.unique(return_counts=True))
    pixels = dict(zip(ids, counts, strict=True))
    kept = [segment for segment in sample.segments if not segment.is_crowd]
    return SampleFacts(
        index=index,
        name=sample.file_name or str(sample.image_id),
        image_id=sample.image_id,
        size=(sample.segment_map.shape[0], sample.segment_map.shape[1]),
        classes=tuple((segment.label, pixels[segment.id]) for segment in kept),
        void_pixels=pixels.get(VOID_ID, 0),
        crowds=len(sample.segments) - len(kept),
        overlap=overlap,
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
