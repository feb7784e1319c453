"""`minioneformer score` on files with published figures: ours beside theirs.

Run: python benchmarks/score_published.py FOLDER
FOLDER holds `deeplab_eval`, `panopticapi_sample`, `cocoapi_fake100`, `sceneparsing_sample` and
`dsb2018_nuclei`: test files of the projects of those names, with their figures. Saves nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from minioneformer.evaluation.score_instance import score_instance_files
from minioneformer.evaluation.score_panoptic import score_panoptic_files
from minioneformer.evaluation.score_semantic import score_semantic_files

ROWS: list[tuple[str, str, Any, float]] = []


def panoptic(folder: Path, truth: str, found: str, published: dict[str, float]) -> None:
    """PQ of each group."""
    paths = [folder / f"{truth}.json", folder / truth, folder / f"{found}.json", folder / found]
    figures = score_panoptic_files(*paths)
    for name, value in published.items():
        group, key = name.split()
        ROWS.append((folder.name, f"{group} {key}", figures[group][key], value))


def instance(folder: Path, truth: str, found: str, published: dict[str, float], **kind) -> None:
    """COCO figures."""
    figures = score_instance_files(folder / truth, folder / found, **kind)
    label = kind.get("iou_type", "segm")
    ROWS.extend((folder.name, f"{label} {name}", figures[name], v) for name, v in published.items())


def main(folder: str) -> None:
    """Score everything; print the table."""
    root = Path(folder)
    panoptic(
        root / "deeplab_eval",
        "coco_gt",
        "coco_pred",
        {"All pq": 0.674049, "All sq": 0.683439, "All rq": 0.820513, "Things pq": 0.576968}
        | {"Stuff pq": 0.868211},
    )
    panoptic(
        root / "panopticapi_sample",
        "sample_data/panoptic_examples",
        "derived_pred/panoptic_pred",
        {"All pq": 0.360039, "All sq": 0.425947, "All rq": 0.490956, "Things pq": 0.196169}
        | {"Stuff pq": 0.605844},
    )
    nuclei = root / "dsb2018_nuclei"
    panoptic(
        nuclei,
        "annotations/panoptic_val",
        "otsu_pred/panoptic_val",
        {"All pq": 0.752526, "All sq": 0.882155, "All rq": 0.839172},
    )
    names = ("instances_val.json", "instances_val_dets.json")
    instance(
        nuclei, f"annotations/{names[0]}", f"otsu_pred/{names[1]}", {"AP": 0.2684, "AP50": 0.5112}
    )
    semantic = score_semantic_files(
        nuclei / "annotations/panoptic_val", nuclei / "otsu_pred/panoptic_val", num_classes=2
    )
    ROWS.append((nuclei.name, "miou", semantic["miou"], 0.887166))
    coco = root / "cocoapi_fake100"
    truth, found = "instances_val2014_100.json", "instances_val2014_fake{}100_results.json"
    instance(coco, truth, found.format("segm"), {"AP": 0.31954528, "AP50": 0.56228840})
    instance(coco, truth, found.format("bbox"), {"AP": 0.50458070}, iou_type="bbox")
    instance(
        root / "deeplab_eval",
        "team_ap_gt.json",
        "team_ap_dt.json",
        {"AP": 0.2549, "AP50": 0.9356, "AP75": 0.1215},
    )
    scenes = root / "sceneparsing_sample"
    semantic = score_semantic_files(
        scenes / "annotations", scenes / "predictions", num_classes=150, reduce_zero_label=True
    )
    ROWS.append((scenes.name, "miou", semantic["miou"], 0.1))
    ROWS.append((scenes.name, "pacc", semantic["pacc"], 1.0))
    print(f"{'files':<22}{'figure':<14}{'ours':>12}{'published':>12}{'difference':>12}")
    for where, name, ours, theirs in ROWS:
        print(f"{where:<22}{name:<14}{ours:>12.8f}{theirs:>12.8f}{ours - theirs:>12.1e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
