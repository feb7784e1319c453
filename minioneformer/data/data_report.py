"""What is in a data set, and what is wrong with it, as figures, as a table and as JSON.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: reading the data set (`data/check.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minioneformer.structures import Category, Task

SHOWN_PROBLEMS = 20
SHOWN_SIZES = 5
LONGEST_NAME = 40  # letters of a class name in the table


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that must be put right before training.

    Args:
        index: Position in the data set.
        message: One line that names the file.
    """

    index: int
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassCount:
    """What there is of one class, crowds left out.

    Args:
        segments: How many segments with at least one pixel.
        images: How many images have one.
        pixels: Of all images together.
    """

    segments: int = 0
    images: int = 0
    pixels: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class DataReport:
    """The figures of a data set that was read once.

    Args:
        images: How many there are; all other figures are of those without an error.
        categories: The catalogue; position = label.
        tasks: What the labels can teach.
        classes: In the order of the catalogue.
        sizes: How many images have each size (H, W).
        pixels: Of all images together.
        void_pixels: Of these, how many no segment covers.
        crowds: Segments of many objects that nobody separated.
        without_objects: Images without any thing that is no crowd.
        all_void: Images without any segment.
        most_targets: Of the image with the most, for the task with the most.
        overlap_pixels: That an object lost to another; None where the form has no overlaps.
        warnings: What training can do with, one line each.
        errors: What training would stop at.
    """

    images: int
    categories: tuple[Category, ...]
    tasks: tuple[Task, ...]
    classes: tuple[ClassCount, ...]
    sizes: Mapping[tuple[int, int], int]
    pixels: int
    void_pixels: int
    crowds: int
    without_objects: int
    all_void: int
    most_targets: int
    overlap_pixels: int | None
    warnings: tuple[str, ...]
    errors: tuple[Problem, ...]

    @property
    def void_share(self) -> float:
        """Of all pixels, 0 to 1; nan if there are none."""
        return self.void_pixels / self.pixels if self.pixels else float("nan")

    @property
    def broken_images(self) -> int:
        """How many images have at least one error."""
        return len({problem.index for problem in self.errors})

    def examples(self, count: int) -> tuple[int, ...]:
        """Some images without an error, spread over the data set.

        Args:
            count: How many are wanted, at least 1.

        Returns:
            Positions, ascending; fewer if there are not so many.

        Example:
            Of 10 images without an error, 3 examples are 0, 4, 9.
        """
        broken = {problem.index for problem in self.errors}
        fine = [i for i in range(self.images) if i not in broken]
        if len(fine) <= count:
            return tuple(fine)
        last = len(fine) - 1
        return tuple(fine[round(i * last / max(1, count - 1))] for i in range(count))

    def table(self) -> str:
        """The report as text, errors last; long lists are cut and say so."""
        lines = [*self._summary(), "", *self._class_rows()]
        if self.warnings:
            lines += ["", "Warnings", *(f"  {warning}" for warning in self.warnings)]
        if self.errors:
            shown = [f"  {problem.message}" for problem in self.errors[:SHOWN_PROBLEMS]]
            lines += ["", f"Errors ({len(self.errors)} in {self.broken_images} images)", *shown]
            if len(self.errors) > SHOWN_PROBLEMS:
                lines.append(f"  ... and {len(self.errors) - SHOWN_PROBLEMS} more")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, nothing cut."""
        return {
            "images": self.images,
            "broken_images": self.broken_images,
            "tasks": list(self.tasks),
            "sizes": [[height, width, count] for (height, width), count in self._by_number()],
            "pixels": self.pixels,
            "void_share": self.void_share,
            "crowds": self.crowds,
            "without_objects": self.without_objects,
            "all_void": self.all_void,
            "most_targets": self.most_targets,
            "overlap_pixels": self.overlap_pixels,
            "classes": [
                {
                    "name": category.name,
                    "is_thing": category.is_thing,
                    "dataset_id": category.dataset_id,
                    "segments": count.segments,
                    "images": count.images,
                    "pixels": count.pixels,
                }
                for category, count in zip(self.categories, self.classes, strict=True)
            ],
            "warnings": list(self.warnings),
            "errors": [{"index": p.index, "message": p.message} for p in self.errors],
        }

    def _by_number(self) -> list[tuple[tuple[int, int], int]]:
        """Sizes, the most frequent first."""
        return sorted(self.sizes.items(), key=lambda entry: (-entry[1], entry[0]))

    def _summary(self) -> list[str]:
        lines = [
            f"images           {self.images}, of them with errors {self.broken_images}",
            f"tasks            {', '.join(self.tasks)}",
            f"without objects  {self.without_objects}, all void {self.all_void}",
            f"void             {100 * self.void_share:.1f} % of the pixels",
            f"crowds           {self.crowds}",
            f"most targets     {self.most_targets} in one image",
        ]
        if self.overlap_pixels is not None:
            lines.append(f"overlaps         {self.overlap_pixels} pixels lost to other objects")
        shown = [f"{h} x {w} ({count})" for (h, w), count in self._by_number()[:SHOWN_SIZES]]
        more = len(self.sizes) - len(shown)
        rest = [f"{more} more"] if more else []
        lines.append(f"sizes (H x W)    {', '.join([*shown, *rest]) or '-'}")
        return lines

    def _class_rows(self) -> list[str]:
        names = [shorten(category.name) for category in self.categories]
        width = max(len("class"), *(len(name) for name in names)) if names else len("class")
        rows = [f"{'class':{width}}  {'kind':5}  {'segments':>9}  {'images':>9}  {'pixels':>7}"]
        for name, category, count in zip(names, self.categories, self.classes, strict=True):
            kind = "thing" if category.is_thing else "stuff"
            share = 100 * count.pixels / self.pixels if self.pixels else 0.0
            rows.append(
                f"{name:{width}}  {kind}  {count.segments:9}  {count.images:9}  {share:5.1f} %"
            )
        return rows


def shorten(name: str) -> str:
    """A class name that fits into a table.

    Args:
        name: Of any length.

    Returns:
        The name, or its beginning with an ellipsis.

    Example:
        Of a name of 100 letters the first 37 are left, and three dots.
    """
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."
