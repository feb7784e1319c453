"""The figures of an evaluation, as numbers and as text.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1, the columns of its tables; Figure 2 box: not drawn.

Not here: measuring (`evaluator.py` and the metrics).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minioneformer.evaluation.coco_scores import AveragePrecisionResult
from minioneformer.evaluation.mean_iou import MeanIoUResult
from minioneformer.evaluation.panoptic_quality import PanopticQualityResult
from minioneformer.structures import Task

TITLE_WIDTH = 24  # characters; longer class names push their row to the right


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationResult:
    """Up to three metrics.

    Args:
        panoptic: PQ and its parts; None if not measured.
        instance: AP and its parts; None if not measured.
        semantic: mIoU and its parts; None if not measured.
    """

    panoptic: PanopticQualityResult | None = None
    instance: AveragePrecisionResult | None = None
    semantic: MeanIoUResult | None = None

    def to_dict(self) -> dict[str, float]:
        """The averages in percent.

        Returns:
            Of what was measured: `pq`, `sq`, `rq`, these with `_things` and `_stuff`; `ap`,
            `ap50`, `ap75`, `ap_small` ...; `miou`, `fwiou`, `macc`, `pacc`. A figure that
            nothing in the data defines (AP without any object) is nan.
        """
        metrics = (self.panoptic, self.instance, self.semantic)
        return {
            name: 100 * value
            for metric in metrics
            if metric is not None
            for name, value in metric.to_dict().items()
        }

    def table(self) -> str:
        """The main figures and those of each class, in percent, as lines of text.

        A dash stands where there is no figure.
        """
        values = self.to_dict()
        lines: list[str] = []
        if self.panoptic is not None:
            lines.append(_line("panoptic", ("PQ", "SQ", "RQ")))
            for title, suffix in (("all", ""), ("things", "_things"), ("stuff", "_stuff")):
                lines.append(_line(title, [values[q + suffix] for q in ("pq", "sq", "rq")]))
        if self.instance is not None:
            lines.append(_line("instance", ("AP", "AP50", "AP75", "AR100")))
            lines.append(_line("things", [values[k] for k in ("ap", "ap50", "ap75", "ar100")]))
        if self.semantic is not None:
            lines.append(_line("semantic", ("mIoU", "fwIoU", "mAcc", "pAcc")))
            lines.append(_line("all", [values[k] for k in ("miou", "fwiou", "macc", "pacc")]))
        return "\n".join([*lines, *self._class_lines()])

    def _class_lines(self) -> list[str]:
        columns: dict[str, dict[str, float]] = {}
        if self.panoptic is not None:
            columns["PQ"] = {c.name: c.pq for c in self.panoptic.classes if c.counts}
        if self.instance is not None:
            columns["AP"] = dict(zip(self.instance.names, self.instance.ap_per_class, strict=True))
        if self.semantic is not None:
            columns["IoU"] = dict(zip(self.semantic.names, self.semantic.iou, strict=True))
        names = dict.fromkeys(name for column in columns.values() for name in column)
        return [_line("class", list(columns))] + [
            _line(name, [100 * column.get(name, math.nan) for column in columns.values()])
            for name in names
        ]


def token_table(results: Mapping[Task, EvaluationResult]) -> str:
    """The 3 x 3 table: a row per token, a column per metric, in percent.

    Args:
        results: By token, as `evaluate_all_tokens` returns them.

    Returns:
        Lines of text.
    """
    lines = [_line("token", ("PQ", "AP", "mIoU"))]
    for token, result in results.items():
        values = result.to_dict()
        lines.append(_line(token, [values.get(name, math.nan) for name in ("pq", "ap", "miou")]))
    return "\n".join(lines)


def _line(title: str, cells: Sequence[str | float]) -> str:
    """A title and right-aligned cells; numbers with two decimals, nan as a dash."""
    texts = [
        cell if isinstance(cell, str) else "-" if math.isnan(cell) else f"{cell:.2f}"
        for cell in cells
    ]
    return f"{title:<{TITLE_WIDTH}}" + "".join(f"{text:>8}" for text in texts)
