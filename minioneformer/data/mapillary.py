"""Mapillary Vistas v1.2 and v2.0 as they lie on disk after the download.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

    training/images/x.jpg                      the images of both versions
    training/panoptic/panoptic_2018.json       v1.2: segments; the PNGs lie beside it
    training/instances/x.png                   v1.2: 16 bits, 256 * label + number of the object
    training/v2.0/panoptic/panoptic_2020.json  v2.0, and so on (v1.2 may lie in v1.2/ likewise)
    config.json, config_v1.2.json, config_v2.0.json    the labels in their order

Read through the panoptic files where they are, else from `instances`. `validation` likewise.

Not here: writing the layout (`data/mapillary_writer.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset

from minioneformer.data.annotation_checks import KeyTypes, brief_list, check_entries, load_json
from minioneformer.data.categories import load_catalog
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.image_pairs import ImagePairs
from minioneformer.label_png import read_png_kind
from minioneformer.structures import TASKS, Category, PanopticSample, Segment, Task

JSON_NAMES = {"v1.2": "panoptic_2018.json", "v2.0": "panoptic_2020.json"}
CONFIG_NAMES = {"v1.2": ("config_v1.2.json", "config.json"), "v2.0": ("config_v2.0.json",)}
SPLITS = {"training": "train", "validation": "val"}
OBJECTS_PER_LABEL = 256
UNLABELED = 65  # the value of pixels without a class in v1.2
CONFIG_KEYS: KeyTypes = {"readable": (str,), "instances": (bool, int), "color": (list,)}


class Mapillary(Dataset[PanopticSample]):
    """Street scenes with panoptic annotations.

    Args:
        data_root: Folder of the download.
        split: "training" or "validation"; "train" and "val" mean the same.
        version: "v1.2" or "v2.0".
        form: "panoptic" or "instances"; None takes the panoptic files if they are there.
        categories: The catalogue whose positions are the labels, matched by `dataset_id` (label
            value + 1). None means the 65 classes of v1.2; for v2.0 those that the panoptic file
            or else the config names.

    Attributes:
        categories: The catalogue; position = label.
        tasks: All.
        form: Which files are read.
        unannotated: How many images were left out for want of an annotation.

    Raises:
        FileNotFoundError: If a part is missing; its places are named.
        ValueError: If version, split or form is unknown; if the files name classes that the
            catalogue lacks, or call a thing what it calls stuff. When a sample is read: see
            `__getitem__`.
    """

    def __init__(
        self,
        data_root: str | Path,
        split: str = "training",
        *,
        version: str = "v1.2",
        form: str | None = None,
        categories: Sequence[Category] | None = None,
    ) -> None:
        if version not in JSON_NAMES:
            raise ValueError(f"version must be one of {', '.join(JSON_NAMES)}, got {version=}.")
        split_dir, folder = _find(Path(data_root), split, version)
        json_path = folder / "panoptic" / JSON_NAMES[version]
        self.form = form or ("panoptic" if json_path.is_file() else "instances")
        if self.form not in ("panoptic", "instances"):
            raise ValueError(f"form must be panoptic, instances or None, got {form=}.")
        known = load_catalog("mapillary_vistas") if version == "v1.2" else None
        chosen = known if categories is None else tuple(categories)
        self.tasks: tuple[Task, ...] = TASKS
        self._source: CocoPanoptic | _Instances
        if self.form == "panoptic":
            self._source = _open_panoptic(json_path, split_dir / "images", chosen)
        else:
            pairs = ImagePairs.find(split_dir / "images", folder / "instances")
            self._source = _Instances(pairs, chosen, Path(data_root), version)
        self.categories = self._source.categories
        self.unannotated = self._source.unannotated

    def __len__(self) -> int:
        """How many images have an annotation."""
        return len(self._source)

    def __getitem__(self, index: int) -> PanopticSample:
        """Read one image and its annotation.

        Args:
            index: Position among the annotated images.

        Returns:
            The sample. From `instances`: the id of an object is its value + 1, all pixels of a
            stuff class are one segment, ids ascend.

        Raises:
            IndexError: If there is no such position.
            FileNotFoundError: If a file is missing.
            ValueError: If a path leaves its folder, a file cannot be read, sizes differ, or an
                annotation names an unknown class.
        """
        return self._source[index]


class _Instances:
    """The form of 16-bit PNGs."""

    def __init__(
        self,
        pairs: ImagePairs,
        categories: tuple[Category, ...] | None,
        data_root: Path,
        version: str,
    ) -> None:
        declared, void = _read_config(data_root, version)
        if categories is None and not declared:
            raise FileNotFoundError(
                f"{data_root}: the classes are unknown without {CONFIG_NAMES[version][0]}. "
                f"Pass categories=."
            )
        self.pairs = pairs
        self.categories = declared if categories is None else categories
        self.unannotated = pairs.unannotated
        self._labels = {category.dataset_id - 1: i for i, category in enumerate(self.categories)}
        self._void = void - self._labels.keys()

    def __len__(self) -> int:
        return len(self.pairs.stems)

    def __getitem__(self, index: int) -> PanopticSample:
        path = self.pairs.png_path(index)
        image, values = self.pairs.read(index)
        _refuse_eight_bits(path)
        ids = torch.zeros(2**16, dtype=torch.int64)
        labels: dict[int, int] = {}  # label of each segment id
        present, counts = values.unique(return_counts=True)
        for value, count in zip(present.tolist(), counts.tolist(), strict=True):
            kind = value // OBJECTS_PER_LABEL
            if kind in self._void:
                continue
            if kind not in self._labels:
                raise ValueError(f"{path}: unknown label, got {kind} in {count} pixels ({value=}).")
            label = self._labels[kind]
            own = value if self.categories[label].is_thing else kind * OBJECTS_PER_LABEL
            ids[value] = own + 1  # the first object of the first class has value 0
            labels[own + 1] = label
        return PanopticSample(
            image=image,
            segment_map=ids[values],
            segments=tuple(Segment(id=i, label=labels[i]) for i in sorted(labels)),
            image_id=self.pairs.stems[index],
            file_name=self.pairs.image_name(index),
        )


def _find(root: Path, split: str, version: str) -> tuple[Path, Path]:
    """The folder of a split, and the one of its annotations."""
    names = {**SPLITS, **{short: name for name, short in SPLITS.items()}}
    if split not in names:
        raise ValueError(f"split must be one of {', '.join(names)}, got {split=}.")
    splits = [root / split, root / names[split]]
    folders = [(base, base / version) for base in splits]
    if version == "v1.2":
        folders += [(base, base) for base in splits]
    for base, folder in folders:
        if (folder / "panoptic" / JSON_NAMES[version]).is_file() or (folder / "instances").is_dir():
            return base, folder
    tried = ", ".join(str(folder) for _, folder in folders)
    raise FileNotFoundError(
        f"no annotations of {version}: needs panoptic/{JSON_NAMES[version]} or instances/ "
        f"in one of: {tried}."
    )


def _open_panoptic(
    json_path: Path, image_dir: Path, categories: tuple[Category, ...] | None
) -> CocoPanoptic:
    png_dir = json_path.parent
    declared = CocoPanoptic(json_path, image_dir=image_dir, png_dir=png_dir)
    if categories is None:
        return declared
    is_thing = {category.dataset_id: category.is_thing for category in categories}
    other = [c for c in declared.categories if is_thing.get(c.dataset_id) is not c.is_thing]
    if other:
        named = brief_list([(c.dataset_id, c.name) for c in other], limit=4)
        raise ValueError(
            f"{json_path}: its classes are not those of the catalogue, got (id, name) {named}, "
            f"unknown or of the other kind (things, stuff). Pass categories=."
        )
    if [c.dataset_id for c in declared.categories] != [c.dataset_id for c in categories]:
        return CocoPanoptic(json_path, image_dir=image_dir, png_dir=png_dir, categories=categories)
    declared.categories = categories  # the same classes in the same order, by our names
    return declared


def _read_config(root: Path, version: str) -> tuple[tuple[Category, ...], set[int]]:
    """Classes of the config of a version, and the label values that are no class."""
    paths = [root / name for name in CONFIG_NAMES[version] if (root / name).is_file()]
    if not paths:
        return (), {UNLABELED} if version == "v1.2" else set()
    content = load_json(paths[0])
    rows = content.get("labels") if isinstance(content, dict) else None
    check_entries(rows, CONFIG_KEYS, "label", paths[0], {"evaluate": (bool, int)})
    categories = []
    void = set()
    for value, row in enumerate(rows or []):
        color = row["color"]
        if len(color) != 3 or not all(isinstance(c, int) and 0 <= c <= 255 for c in color):
            raise ValueError(f"{paths[0]}: the color of label {value} must be RGB, got {color=}.")
        if not row.get("evaluate", True):
            void.add(value)
            continue
        categories.append(
            Category(
                name=row["readable"],
                is_thing=bool(row["instances"]),
                color=(color[0], color[1], color[2]),
                dataset_id=value + 1,
            )
        )
    return tuple(categories), void


def _refuse_eight_bits(path: Path) -> None:
    """Refuse a map of labels in place of one of objects: it would be read as so many birds."""
    bits, _ = read_png_kind(path)
    if bits != 16:
        raise ValueError(f"{path}: needs 16 bits per pixel (256 * label + number), got {bits=}.")
