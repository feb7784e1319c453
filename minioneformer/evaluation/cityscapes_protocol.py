"""AP, IoU and iIoU as Cityscapes defines them, by its own tool (extra `cityscapes`).

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (Cityscapes); Figure 2 box: not drawn.

AP is the mean over eight classes and ten IoU thresholds, of objects of 100 pixels or more. iIoU
weighs each pixel by how much smaller its object is than the average of its class. Results are
written as the official server takes them, and the tool compares them with the folder `gtFine`.

Not here: COCO's AP (`average_precision.py`), the files (`cityscapes_files.py`), the process that
the tool runs in (`cityscapes_tool.py`).
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch.utils.data import Dataset

from minioneformer.evaluation.cityscapes_files import (
    core_name,
    write_cityscapes_instances,
    write_cityscapes_labels,
)
from minioneformer.evaluation.evaluator import PredictsForms
from minioneformer.processes import from_main, gather_objects, is_main, rank, world_size
from minioneformer.structures import Category, PanopticSample, Task

INSTALL = "Install it: pip install 'minioneformer[cityscapes]'."
TOOL = Path(__file__).with_name("cityscapes_tool.py")
IMAGES = {"instance": "_gtFine_instanceIds.png", "semantic": "_gtFine_labelIds.png"}
ENDINGS = {"instance": ".txt", "semantic": ".png"}
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class CityscapesInstanceResult:
    """Fractions; nan where nothing was annotated.

    Args:
        ap: Mean over the classes and ten IoU thresholds.
        ap50: Mean over the classes at IoU 0.5.
        ap_per_class: By class name.
        ap50_per_class: By class name.
    """

    ap: float
    ap50: float
    ap_per_class: Mapping[str, float]
    ap50_per_class: Mapping[str, float]

    def to_dict(self) -> dict[str, float]:
        """The averages."""
        return {"cityscapes_ap": self.ap, "cityscapes_ap50": self.ap50}


@dataclass(frozen=True, kw_only=True, slots=True)
class CityscapesSemanticResult:
    """Fractions; nan where nothing was annotated.

    Args:
        iou: Mean over the classes.
        iiou: The same, weighted by the size of objects; of classes that have objects.
        iou_sup: Mean over the categories, such as "vehicle".
        iiou_sup: The same, weighted by the size of objects.
        iou_per_class: By class name.
        iiou_per_class: By class name.
    """

    iou: float
    iiou: float
    iou_sup: float
    iiou_sup: float
    iou_per_class: Mapping[str, float]
    iiou_per_class: Mapping[str, float]

    def to_dict(self) -> dict[str, float]:
        """The averages."""
        return {
            "cityscapes_iou": self.iou,
            "cityscapes_iiou": self.iiou,
            "cityscapes_iou_sup": self.iou_sup,
            "cityscapes_iiou_sup": self.iiou_sup,
        }


def evaluate_cityscapes(
    predictor: PredictsForms,
    dataset: Dataset[PanopticSample] | Sequence[PanopticSample],
    *,
    categories: Sequence[Category],
    annotation_dir: str | Path,
    folder: str | Path,
    tasks: Sequence[Literal["instance", "semantic"]] = ("instance", "semantic"),
) -> tuple[CityscapesInstanceResult | None, CityscapesSemanticResult | None]:
    """Predict, write and score, each task with its own token.

    In a group of processes each one must call it; they share the images, and each gets the
    figures.

    Args:
        predictor: What is evaluated.
        dataset: Samples with the `file_name` of their image; read once per task.
        categories: The catalogue; `dataset_id` is the label id of Cityscapes.
        annotation_dir: The part of `gtFine` that holds exactly these images.
        folder: For the results, which stay there; created if missing; the same for all processes.
        tasks: Which of the two to measure.

    Returns:
        AP and IoU; None for what was not asked for.

    Raises:
        ImportError: If `cityscapesscripts` is not installed.
        FileExistsError: If there are results in the folder.
        ValueError: As the functions below.
    """
    check_installed()
    instance, semantic = None, None
    if "instance" in tasks:
        written = write_cityscapes_instances(
            folder, _predictions(predictor, dataset, "instance"), categories
        )
        instance = _once(score_cityscapes_instances, written, annotation_dir)
    if "semantic" in tasks:
        written = write_cityscapes_labels(
            folder, _predictions(predictor, dataset, "semantic"), categories
        )
        semantic = _once(score_cityscapes_labels, written, annotation_dir)
    return instance, semantic


def score_cityscapes_instances(
    prediction_dir: str | Path, annotation_dir: str | Path
) -> CityscapesInstanceResult:
    """AP of result files, by the official tool.

    Args:
        prediction_dir: Holds one text file per image, and the masks that it names.
        annotation_dir: `gtFine/val` or a part of it.

    Returns:
        The figures over all annotated images.

    Raises:
        ImportError: If `cityscapesscripts` is not installed.
        FileNotFoundError: If there are no annotations, or no result for one.
        ValueError: If there are two results for an image, or the tool fails.
    """
    averages = _run_tool("instance", prediction_dir, annotation_dir)
    classes = averages["classes"]
    return CityscapesInstanceResult(
        ap=averages["allAp"],
        ap50=averages["allAp50%"],
        ap_per_class={name: figures["ap"] for name, figures in classes.items()},
        ap50_per_class={name: figures["ap50%"] for name, figures in classes.items()},
    )


def score_cityscapes_labels(
    prediction_dir: str | Path, annotation_dir: str | Path
) -> CityscapesSemanticResult:
    """IoU and iIoU of result files, by the official tool.

    Args:
        prediction_dir: Holds one PNG of label ids per image.
        annotation_dir: `gtFine/val` or a part of it; the instance PNGs lie beside the label PNGs.

    Returns:
        The figures over all annotated images.

    Raises:
        ImportError: If `cityscapesscripts` is not installed.
        FileNotFoundError: If there are no annotations, or no result for one.
        ValueError: If there are two results for an image, or the tool fails.
    """
    scores = _run_tool("semantic", prediction_dir, annotation_dir)
    return CityscapesSemanticResult(
        iou=scores["averageScoreClasses"],
        iiou=scores["averageScoreInstClasses"],
        iou_sup=scores["averageScoreCategories"],
        iiou_sup=scores["averageScoreInstCategories"],
        iou_per_class=scores["classScores"],
        iiou_per_class=scores["classInstScores"],
    )


def check_installed() -> None:
    """Ask for the official tool.

    Raises:
        ImportError: If it is not installed.
    """
    if importlib.util.find_spec("cityscapesscripts") is None:
        raise ImportError(f"cityscapesscripts is not installed. {INSTALL}")


def _predictions(
    predictor: PredictsForms,
    dataset: Dataset[PanopticSample] | Sequence[PanopticSample],
    task: Task,
) -> Iterable[tuple[str, Any]]:
    images = range(len(dataset))  # type: ignore[arg-type]  # a map-style data set has a length
    for i in images[rank() :: world_size()]:
        sample = dataset[i]
        (forms,) = predictor.predict_forms([sample.image], task, (task,))
        yield sample.file_name, forms[task]


def _once(
    score: Callable[[str | Path, str | Path], Result], written: Path, annotation_dir: str | Path
) -> Result:
    """Score in process 0, when all have written."""
    gather_objects(None)
    result = score(written, annotation_dir) if is_main() else None
    return from_main(result)  # type: ignore[return-value]  # process 0 has one


def _run_tool(
    kind: Literal["instance", "semantic"], prediction_dir: str | Path, annotation_dir: str | Path
) -> dict[str, Any]:
    check_installed()
    root = Path(prediction_dir).resolve()
    annotations = sorted(Path(annotation_dir).resolve().rglob("*" + IMAGES[kind]))
    if not annotations:
        raise FileNotFoundError(f"no *{IMAGES[kind]} in the folder, got {str(annotation_dir)!r}.")
    request = {
        "kind": kind,
        "prediction_root": str(root),
        "predictions": [str(_result_for(a, root, ENDINGS[kind])) for a in annotations],
        "annotations": [str(a) for a in annotations],
    }
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "request.json").write_text(json.dumps(request))
        done = subprocess.run(
            [sys.executable, str(TOOL), "request.json", "result.json"],
            cwd=scratch,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines() or ["nothing"]
            raise ValueError(f"the Cityscapes tool stopped, got {said[-1]!r}.")
        return json.loads((Path(scratch) / "result.json").read_text())


def _result_for(annotation: Path, root: Path, ending: str) -> Path:
    found = sorted(root.rglob(f"{core_name(annotation.name)}*{ending}"))
    if not found:
        raise FileNotFoundError(
            f"every annotated image needs a result, got no {core_name(annotation.name)}*{ending} "
            f"in {str(root)!r}."
        )
    if len(found) > 1:
        raise ValueError(
            f"an annotated image needs one result, got {[str(path) for path in found[:2]]}."
        )
    return found[0]
