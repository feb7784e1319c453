"""Images and annotation files that belong together because their names do.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Not here: what an annotation says (`data/label_folder.py`, `data/mapillary.py`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Int64, UInt8
from torch import Tensor

from minioneformer.data.annotation_checks import brief_list, inside
from minioneformer.label_png import read_label_png
from minioneformer.pixels import read_image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePairs:
    """Images with one annotation PNG each, in the order of their names.

    Args:
        image_dir: Folder of the images, searched with all folders in it.
        png_dir: Folder of the PNGs.
        png_suffix: What follows the stem in the name of a PNG.
        stems: Path of each image below its folder, without its ending.
        image_suffixes: The ending of each image.
        unannotated: How many images were left out for want of a PNG.
    """

    image_dir: Path
    png_dir: Path
    png_suffix: str
    stems: tuple[str, ...]
    image_suffixes: tuple[str, ...]
    unannotated: int

    @classmethod
    def find(
        cls, image_dir: str | Path, png_dir: str | Path, *, png_suffix: str = ".png"
    ) -> ImagePairs:
        """List two folders and match their names; nothing is opened.

        Args:
            image_dir: Folder of the images. It may be the folder of the PNGs too.
            png_dir: Folder of the PNGs, with the same folders in it.
            png_suffix: What follows the stem, "_mask.png" if a.jpg goes with a_mask.png.

        Returns:
            The pairs.

        Raises:
            FileNotFoundError: If a folder is missing.
            ValueError: If two images have one stem, a PNG has no image, or there is no pair.
        """
        image_dir, png_dir = Path(image_dir), Path(png_dir)
        pngs = {n.removesuffix(png_suffix) for n in _files(png_dir) if n.endswith(png_suffix)}
        # in a shared folder, what ends like an annotation is no image
        shared = image_dir.resolve() == png_dir.resolve()
        found: dict[str, str] = {}
        for name in _files(image_dir):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() not in IMAGE_SUFFIXES or (shared and name.endswith(png_suffix)):
                continue
            if stem in found:
                raise ValueError(
                    f"{image_dir}: two images would share the annotation {stem + png_suffix!r}, "
                    f"got {stem + found[stem]!r} and {name!r}."
                )
            found[stem] = suffix
        orphans = sorted(pngs - found.keys())
        if orphans:
            raise ValueError(
                f"{png_dir}: every PNG must have an image of its name in {image_dir}, got stems "
                f"without one {brief_list(orphans)}."
            )
        stems = tuple(stem for stem in found if stem in pngs)
        if not stems:
            raise ValueError(
                f"no image has an annotation: names must agree but for the ending {png_suffix!r}, "
                f"got {len(found)} images in {image_dir}, {len(pngs)} such PNGs in {png_dir}."
            )
        return cls(
            image_dir=image_dir,
            png_dir=png_dir,
            png_suffix=png_suffix,
            stems=stems,
            image_suffixes=tuple(found[stem] for stem in stems),
            unannotated=len(found) - len(stems),
        )

    def image_name(self, index: int) -> str:
        """Path of an image below its folder."""
        return self.stems[index] + self.image_suffixes[index]

    def png_path(self, index: int) -> Path:
        """Where the annotation of an image is."""
        return self.png_dir / (self.stems[index] + self.png_suffix)

    def read(self, index: int) -> tuple[UInt8[Tensor, "3 H W"], Int64[Tensor, "H W"]]:
        """Read an image and the numbers of its PNG.

        Args:
            index: Position among the pairs.

        Returns:
            RGB, 0 to 255; numbers, 0 to 65535.

        Raises:
            IndexError: If there is no such position.
            FileNotFoundError: If a file has gone.
            ValueError: If a link leaves its folder, a file cannot be read, or sizes differ.
        """
        png = self.png_path(index)
        image = read_image(inside(self.image_dir, self.image_name(index), str(png)))
        inside(self.png_dir, png.relative_to(self.png_dir).as_posix(), str(png))
        values = read_label_png(png)
        if image.shape[1:] != values.shape:
            raise ValueError(
                f"{png}: annotation and image must have one size, "
                f"got PNG (H, W) = {tuple(values.shape)}, image {tuple(image.shape[1:])}."
            )
        return image, values


def _files(folder: Path) -> list[str]:
    """Files below a folder by name, in sorted order; linked folders are not entered."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no such folder, got {str(folder)!r}.")
    return sorted(
        (Path(parent) / name).relative_to(folder).as_posix()
        for parent, _, names in os.walk(folder)
        for name in names
    )
