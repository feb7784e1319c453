"""All three metrics, each asked with its own task token.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

One model answers three ways, so a figure needs two choices: the task token that conditions the
model, and the metric. The published headline figures pair them: PQ from the panoptic token, AP
from the instance token, mIoU from the semantic token. `evaluate` does that; `evaluate_all_tokens`
fills the whole 3 x 3 table, which shows what the token does.

Several processes share the work batch by batch: what one process would predict together stays
together, so the predictions are the same whoever makes them, and the figures are added exactly.

Not here: the model and the decoding of its output (`inference/`), starting processes
(`processes.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from minioneformer.evaluation.average_precision import AveragePrecision
from minioneformer.evaluation.evaluation_result import EvaluationResult
from minioneformer.evaluation.mean_iou import MeanIoU, semantic_labels
from minioneformer.evaluation.panoptic_quality import PanopticQuality
from minioneformer.processes import from_main, gather_objects, is_main, rank, world_size
from minioneformer.structures import (
    TASKS,
    Category,
    InstancePrediction,
    PanopticPrediction,
    PanopticSample,
    SemanticPrediction,
    Task,
)

Prediction: TypeAlias = SemanticPrediction | InstancePrediction | PanopticPrediction
Form = TypeVar("Form", SemanticPrediction, InstancePrediction, PanopticPrediction)


@runtime_checkable
class PredictsForms(Protocol):
    """What is evaluated: `inference.Predictor`, or a baseline with this one method."""

    def predict_forms(
        self,
        images: Sequence[UInt8[Tensor, "3 _ _"]],
        task: Task,
        forms: Sequence[Task],
    ) -> Sequence[Mapping[Task, Prediction]]:
        """Predict each image once and decode the result in several forms.

        Args:
            images: RGB, 0 to 255, of any sizes.
            task: The token that conditions the model.
            forms: The kinds of result wanted.

        Returns:
            For each image, a prediction of each form at the size of the image.
        """
        ...


class Evaluator:
    """The metrics of one token.

    Args:
        categories: The catalogue; labels are positions in it.
        forms: The kinds of result that are measured.

    Raises:
        ValueError: If a form is no task.
    """

    def __init__(self, categories: Sequence[Category], *, forms: Sequence[Task] = TASKS) -> None:
        unknown = [form for form in forms if form not in TASKS]
        if unknown or not forms:
            raise ValueError(f"forms must be some of {TASKS}, got {forms=}.")
        self.panoptic = PanopticQuality(categories) if "panoptic" in forms else None
        self.instance = AveragePrecision(categories) if "instance" in forms else None
        # subtle: -1 and not 255, which is a label in a catalogue of more than 255 classes
        self.semantic = MeanIoU(categories, ignore_label=-1) if "semantic" in forms else None

    @property
    def forms(self) -> tuple[Task, ...]:
        """The kinds of result that are measured."""
        metrics = {
            "semantic": self.semantic,
            "instance": self.instance,
            "panoptic": self.panoptic,
        }
        return tuple(task for task in TASKS if metrics[task] is not None)

    def update(self, prediction: Mapping[Task, Prediction], sample: PanopticSample) -> None:
        """Add one image.

        Args:
            prediction: Of each form, at the size of the sample.
            sample: With its annotation; void and crowds do not count against the prediction.

        Raises:
            ValueError: If prediction and annotation do not fit together; see the metrics.
            TypeError: If a prediction is of another form than it claims.
        """
        truth = (sample.segment_map, sample.segments)
        if self.panoptic is not None:
            panoptic = _checked(prediction["panoptic"], PanopticPrediction)
            self.panoptic.update(panoptic.segment_map, panoptic.segments, *truth)
        if self.instance is not None:
            instance = _checked(prediction["instance"], InstancePrediction)
            self.instance.update(instance, *truth, image_id=sample.image_id)
        if self.semantic is not None:
            semantic = _checked(prediction["semantic"], SemanticPrediction)
            self.semantic.update(semantic.label_map, semantic_labels(*truth, ignore_label=-1))

    def merge(self, other: Evaluator) -> None:
        """Add what another instance measured, e.g. that of another process.

        Args:
            other: Made with the same arguments, fed with other images.

        Raises:
            ValueError: If catalogue or forms differ.
        """
        if self.forms != other.forms:
            raise ValueError(f"forms must agree, got {self.forms=}, {other.forms=}.")
        if self.panoptic is not None and other.panoptic is not None:
            self.panoptic.merge(other.panoptic)
        if self.instance is not None and other.instance is not None:
            self.instance.merge(other.instance)
        if self.semantic is not None and other.semantic is not None:
            self.semantic.merge(other.semantic)

    def compute(self) -> EvaluationResult:
        """The result so far; measuring may go on."""
        return EvaluationResult(
            panoptic=None if self.panoptic is None else self.panoptic.compute(),
            instance=None if self.instance is None else self.instance.compute(),
            semantic=None if self.semantic is None else self.semantic.compute(),
        )


def _checked(prediction: Prediction, form: type[Form]) -> Form:
    if not isinstance(prediction, form):
        raise TypeError(
            f"the predictor must give a {form.__name__}, got {type(prediction).__name__}."
        )
    return prediction


def run_evaluators(
    predictor: PredictsForms,
    dataset: Dataset[PanopticSample] | Sequence[PanopticSample],
    evaluators: Mapping[Task, Evaluator],
    *,
    batch_size: int = 8,
    num_workers: int = 0,
    progress: bool = False,
) -> None:
    """Feed each sample to the evaluator of each token; samples are read once.

    In a group of processes each one must call it, and takes its share of the batches. In the end
    the evaluators of process 0 hold what all have measured, those of the others their own part.

    Args:
        predictor: Is given `batch_size` images at a time.
        dataset: Samples, in any sizes.
        evaluators: By the token that is to condition the model.
        batch_size: Images held in memory at once.
        num_workers: Processes that read samples ahead; 0 reads in this one.
        progress: Whether to draw a progress bar on the standard error (process 0 does).

    Raises:
        ValueError: If a prediction and its annotation do not fit together, or `batch_size` is
            below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size=}.")
    positions = range(len(dataset))  # type: ignore[arg-type]  # a map-style data set has a length
    together = [list(positions[i : i + batch_size]) for i in positions[::batch_size]]
    batches = DataLoader(
        dataset,  # type: ignore[arg-type]  # a sequence will do
        batch_sampler=together[rank() :: world_size()],
        num_workers=num_workers,
        collate_fn=list,
    )
    disable = not (progress and is_main())
    for samples in tqdm(batches, desc="evaluate", unit="batch", disable=disable):
        images = [sample.image for sample in samples]
        for token, evaluator in evaluators.items():
            _measure(predictor, images, samples, token, evaluator)
    _merge_into_main(evaluators)


def _measure(
    predictor: PredictsForms,
    images: Sequence[UInt8[Tensor, "3 _ _"]],
    samples: Sequence[PanopticSample],
    token: Task,
    evaluator: Evaluator,
) -> None:
    """One batch with one token; its predictions are gone before those of the next are made."""
    predictions = predictor.predict_forms(images, token, evaluator.forms)
    for prediction, sample in zip(predictions, samples, strict=True):
        evaluator.update(prediction, sample)


def _merge_into_main(evaluators: Mapping[Task, Evaluator]) -> None:
    others = gather_objects(dict(evaluators))[1:]
    for parts in others if is_main() else []:
        for token, evaluator in evaluators.items():
            evaluator.merge(parts[token])


def _results(evaluators: Mapping[Task, Evaluator]) -> dict[Task, EvaluationResult]:
    """Computed by process 0, known to every one."""
    own = {token: evaluator.compute() for token, evaluator in evaluators.items() if is_main()}
    return from_main(own)


def evaluate(
    predictor: PredictsForms,
    dataset: Dataset[PanopticSample] | Sequence[PanopticSample],
    *,
    categories: Sequence[Category],
    tasks: Sequence[Task] = TASKS,
    batch_size: int = 8,
    num_workers: int = 0,
    progress: bool = False,
) -> EvaluationResult:
    """Measure PQ, AP and mIoU, each with its own token.

    In a group of processes (`processes.py`) each one must call it; they share the work, and each
    gets the result, which is that of one process to the last bit.

    Args:
        predictor: What is evaluated.
        dataset: Samples, in any sizes; memory does not grow with their number, run lengths of
            instances excepted.
        categories: The catalogue of the data set and of the predictor.
        tasks: Which of the three to measure.
        batch_size: Images predicted at once.
        num_workers: Processes that read samples ahead; 0 reads in this one.
        progress: Whether to draw a progress bar on the standard error.

    Returns:
        The figures of the tasks asked for.

    Raises:
        ValueError: If a prediction and its annotation do not fit together, or a task is unknown.
    """
    evaluators = {task: Evaluator(categories, forms=(task,)) for task in tasks}
    run_evaluators(
        predictor,
        dataset,
        evaluators,
        batch_size=batch_size,
        num_workers=num_workers,
        progress=progress,
    )
    results = _results(evaluators)
    nothing = EvaluationResult()
    return EvaluationResult(
        panoptic=results.get("panoptic", nothing).panoptic,
        instance=results.get("instance", nothing).instance,
        semantic=results.get("semantic", nothing).semantic,
    )


def evaluate_all_tokens(
    predictor: PredictsForms,
    dataset: Dataset[PanopticSample] | Sequence[PanopticSample],
    *,
    categories: Sequence[Category],
    batch_size: int = 8,
    num_workers: int = 0,
    progress: bool = False,
) -> dict[Task, EvaluationResult]:
    """Measure PQ, AP and mIoU with each of the three tokens.

    In a group of processes as `evaluate`.

    Args:
        predictor: What is evaluated.
        dataset: As for `evaluate`.
        categories: The catalogue of the data set and of the predictor.
        batch_size: Images predicted at once.
        num_workers: Processes that read samples ahead; 0 reads in this one.
        progress: Whether to draw a progress bar on the standard error.

    Returns:
        By token, all three metrics. `token_table` prints them.

    Raises:
        ValueError: If a prediction and its annotation do not fit together.
    """
    evaluators = {task: Evaluator(categories) for task in TASKS}
    run_evaluators(
        predictor,
        dataset,
        evaluators,
        batch_size=batch_size,
        num_workers=num_workers,
        progress=progress,
    )
    return _results(evaluators)
