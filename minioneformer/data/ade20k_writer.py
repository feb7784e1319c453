"""Write samples in the on-disk layout of ADE20K, so that its reader runs on miniatures.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (ADE20K); not drawn in Figure 2.

Images become JPEG files, as in the original, and lose a little; the maps lose nothing.

Not here: the layout in words and its reader (`data/ade20k.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from minioneformer.data.ade20k import SPLITS
from minioneformer.data.ade20k_segments import CATEGORIES, INSTANCE_LABELS
from minioneformer.structures import PanopticSample, Segment

# sky, grass and water as themselves; circle, square, triangle, ring and cross as
# ball, box, flag, plate and signboard
TOY_LABELS = (2, 9, 21, 119, 41, 149, 142, 43)
RED_VALUES = {label: value for value, label in INSTANCE_LABELS.items()}
MOST_OBJECTS = 255  # numbers that fit in a byte


def write_ade20k(
    samples: Iterable[PanopticSample],
    folder: str | Path,
    *,
    split: str = "train",
    labels: Sequence[int] | None = None,
    instances: bool = True,
) -> Path:
    """Write images, maps of classes and maps of objects.

    Args:
        samples: Read once, in order; they may come from a generator. A number as image id
            becomes a name like those of ADE20K; a text is the name.
        folder: Becomes what `ADEChallengeData2016` is; created if missing.
        split: "train" or "val".
        labels: Label in the catalogue "ade20k" of each label of the samples, `TOY_LABELS` for
            the toy data set; None if they have those labels already.
        instances: False leaves out the maps of objects, a download of its own for ADE20K.

    Returns:
        The folder.

    Raises:
        FileExistsError: If an image of that name is there already.
        ValueError: If `split` is unknown; if an image id is no plain file name; if a label is
            not in the catalogue; if a class of stuff has two segments, there is a crowd, or there
            are more than 255 objects, which ADE20K has no form for.
    """
    if split not in SPLITS:
        raise ValueError(f"the splits of ADE20K are {' and '.join(SPLITS)}, got {split=}.")
    root = Path(folder)
    kinds = ("images", "annotations", "annotations_instance")[: 3 if instances else 2]
    image_dir, *map_dirs = (root / kind / SPLITS[split] for kind in kinds)
    for needed in (image_dir, *map_dirs):
        needed.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        stem = _stem(sample.image_id, split)
        image_path = image_dir / f"{stem}.jpg"
        if image_path.exists():
            raise FileExistsError(f"there is an image already, got {str(image_path)!r}.")
        semantic, objects = _maps(sample, labels)
        _picture(sample.image).save(image_path, quality=95)
        Image.fromarray(semantic.numpy()).save(map_dirs[0] / f"{stem}.png")
        if instances:
            _picture(objects).save(map_dirs[1] / f"{stem}.png")
    return root


def _stem(image_id: int | str, split: str) -> str:
    stem = f"ADE_{split}_{image_id:08d}" if isinstance(image_id, int) else image_id
    # subtle: an id such as "../x" would write outside the folder
    if not stem or Path(stem).name != stem:
        raise ValueError(f"an image id must be a plain file name, got {image_id=}.")
    return stem


def _maps(
    sample: PanopticSample, labels: Sequence[int] | None
) -> tuple[UInt8[Tensor, "H W"], UInt8[Tensor, "3 H W"]]:
    semantic = torch.zeros(sample.segment_map.shape, dtype=torch.uint8)
    objects = torch.zeros(3, *sample.segment_map.shape, dtype=torch.uint8)
    number, painted = 0, set()
    for segment in sample.segments:
        label = _label(segment, labels, sample.image_id)
        mask = sample.segment_map == segment.id
        semantic[mask] = label + 1
        if CATEGORIES[label].is_thing:
            number += 1
            if number > MOST_OBJECTS:
                raise ValueError(
                    f"an image can have {MOST_OBJECTS} objects, got more, {sample.image_id=}."
                )
            objects[0][mask], objects[1][mask] = RED_VALUES[label], number
        elif label in painted:
            raise ValueError(
                f"a class of stuff is one segment, got two of {CATEGORIES[label].name!r}, "
                f"{sample.image_id=}."
            )
        painted.add(label)
    return semantic, objects


def _label(segment: Segment, labels: Sequence[int] | None, image_id: int | str) -> int:
    if segment.is_crowd:
        raise ValueError(f"ADE20K has no crowds, got segment {segment.id}, {image_id=}.")
    known = range(len(CATEGORIES) if labels is None else len(labels))
    if segment.label not in known:
        raise ValueError(
            f"a label must be in 0 .. {len(known) - 1}, got {segment.label=}, {image_id=}."
        )
    return segment.label if labels is None else labels[segment.label]


def _picture(image: UInt8[Tensor, "3 H W"]) -> Image.Image:
    return Image.fromarray(rearrange(image, "C H W -> H W C").contiguous().numpy())
