"""Write the panoptic files that the official preparation of ADE20K and Cityscapes leaves.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

    ADEChallengeData2016/ade20k_panoptic_train.json, ade20k_panoptic_train/*.png
    cityscapes/gtFine/cityscapes_panoptic_train.json, cityscapes_panoptic_train/*.png

and the same for the other splits. Training does not need them, since the readers make the same
annotations on the fly; other programs do. A PNG is whole or absent, the JSON comes last, and what
an earlier run has written right is kept: a run that was stopped is simply started again.

Not here: what is written (`data/prepare_ade20k.py`, `data/prepare_cityscapes.py`).
"""

from __future__ import annotations

import difflib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image
from tqdm import tqdm

from minioneformer.atomic import write_bytes_atomically, write_text_atomically
from minioneformer.data.annotation_checks import brief_list
from minioneformer.data.coco_json import read_entries
from minioneformer.data.prepare_ade20k import ade20k_sources
from minioneformer.data.prepare_cityscapes import cityscapes_sources
from minioneformer.data.prepare_source import PanopticSource, PreparedImage
from minioneformer.panoptic_png import id_to_rgb, read_panoptic_png

SOURCES: dict[str, Callable[[str | Path], list[PanopticSource]]] = {
    "ade20k": ade20k_sources,
    "cityscapes": cityscapes_sources,
}
READY_AS_DOWNLOADED = ("coco", "mapillary_vistas")


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedSplit:
    """What was done for one split.

    Args:
        json_path: The annotation file; its PNGs are in the folder that is called like it.
        written: PNGs that were not there.
        kept: PNGs that were there and right.
        replaced: PNGs that were there and broken or other than they should be.
    """

    json_path: Path
    written: int
    kept: int
    replaced: int


def prepare(
    dataset: str, data_root: str | Path, *, num_workers: int = 0, progress: bool = False
) -> tuple[PreparedSplit, ...]:
    """Write the annotation file and the PNGs of every split that is there.

    Args:
        dataset: "ade20k" or "cityscapes"; "coco" and "mapillary_vistas" need nothing.
        data_root: Folder of the data set, or the one that holds it.
        num_workers: Threads that work beside this one; 0 works in this one.
        progress: True shows a bar per split.

    Returns:
        One entry per split; none for a data set that needs nothing.

    Raises:
        FileNotFoundError: If the data set, or the part that is needed, is not there.
        ValueError: If the name is unknown (a near match is named); if `num_workers` is negative;
            if an annotation is broken, which is named, and what was written before stays; if
            there is an annotation file already that does not list every image, or lacks a PNG.
    """
    known = (*SOURCES, *READY_AS_DOWNLOADED)
    if dataset not in known:
        near = difflib.get_close_matches(dataset, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"dataset must be one of {', '.join(known)}, got {dataset=}.{hint}")
    if num_workers < 0:
        raise ValueError(f"the number of workers must be >= 0, got {num_workers=}.")
    if dataset in READY_AS_DOWNLOADED:
        return ()
    sources = SOURCES[dataset](data_root)
    return tuple(_prepare_split(s, num_workers=num_workers, progress=progress) for s in sources)


def _prepare_split(source: PanopticSource, *, num_workers: int, progress: bool) -> PreparedSplit:
    if source.json_path.exists():
        _check_complete(source)
        return PreparedSplit(
            json_path=source.json_path, written=0, kept=len(source.png_names), replaced=0
        )
    source.png_dir.mkdir(exist_ok=True)

    def one(index: int) -> tuple[str, str, str]:
        made = source.make(index)
        done = _write_png(source.png_dir / source.png_names[index], made)
        # as text, because thousands of rows are small as text and large as dictionaries
        return json.dumps(made.image), json.dumps(made.annotation), done

    bar = tqdm(
        total=len(source.png_names), desc=source.json_path.stem, unit="image", disable=not progress
    )
    images, annotations, counts = [], [], Counter[str]()
    with bar, ThreadPoolExecutor(max(num_workers, 1)) as pool:
        indices = range(len(source.png_names))
        results: Iterable[tuple[str, str, str]] = (
            pool.map(one, indices) if num_workers else map(one, indices)
        )
        for image, annotation, done in results:
            images.append(image)
            annotations.append(annotation)
            counts[done] += 1
            bar.update()
    write_text_atomically(
        source.json_path,
        f'{{"images": [{", ".join(images)}], "annotations": [{", ".join(annotations)}], '
        f'"categories": {json.dumps(source.categories)}}}',
    )
    return PreparedSplit(
        json_path=source.json_path,
        written=counts["written"],
        kept=counts["kept"],
        replaced=counts["replaced"],
    )


def _write_png(path: Path, made: PreparedImage) -> str:
    """Write a PNG unless it is there and right; say what was done."""
    done = "written"
    if path.exists():
        try:
            if torch.equal(read_panoptic_png(path), made.segment_map):
                return "kept"
        except ValueError:
            pass  # broken, to be replaced
        done = "replaced"
    rgb = rearrange(id_to_rgb(made.segment_map), "C H W -> H W C").contiguous()
    content = io.BytesIO()
    Image.fromarray(rgb.numpy()).save(content, format="PNG")
    write_bytes_atomically(path, content.getvalue())
    return done


def _check_complete(source: PanopticSource) -> None:
    """Refuse an annotation file that is of other images than those that are there."""
    pairs, _, _ = read_entries(source.json_path)
    listed = {pairs[index][0]["id"] for index in range(len(pairs))}
    there = {path.name for path in source.png_dir.glob("*.png")}
    lacking = [
        image_id
        for image_id, name in zip(source.image_ids, source.png_names, strict=True)
        if image_id not in listed or name not in there
    ]
    if lacking or len(listed) != len(source.image_ids):
        raise ValueError(
            f"{source.json_path}: is there already, and is not of the images that are there, got "
            f"{len(listed)} images, {len(source.image_ids)} expected, lacking "
            f"{brief_list(lacking)}. Delete it to prepare anew."
        )
