r"""What is said when a loss is not finite: which images, which term, at which step.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: when it is checked (`trainer.py`), the matcher's own check of its costs (`losses/`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

REPORT_NAME = "failure.json"
# Image ids, and what is not finite by name.
Failure: TypeAlias = tuple[tuple[int | str, ...], dict[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureReport:
    """The state of a run when it met a number that is not finite.

    Args:
        step: The update that was not done; the weights are those of the step before.
        image_ids: Of the batches whose terms are not finite; of all of the step's batches if only
            the gradient is not.
        terms: What is not finite, by name, written out: "nan", "inf", or the words of the error
            that stopped the computation of the losses.
        lr: Learning rate of the step.
        previous_grad_norm: Of the update before, None at the first one of this process.
    """

    step: int
    image_ids: tuple[int | str, ...]
    terms: Mapping[str, str]
    lr: float
    previous_grad_norm: float | None

    def write(self, folder: Path) -> None:
        """Write the report as JSON beside the log.

        Args:
            folder: Of the run.
        """
        text = json.dumps(asdict(self), indent=2) + "\n"
        (folder / REPORT_NAME).write_text(text, encoding="utf-8")


class NonFiniteLossError(RuntimeError):
    """Training met a loss or a gradient that is not finite, and stopped before the update.

    Args:
        report: What is known.
        folder: Of the run, where the report lies.

    Fidelity:
        Official code: replaces NaN in costs and gradients by numbers and goes on, which hides
        that a run diverges.
    """

    def __init__(self, report: FailureReport, folder: Path) -> None:
        self.report = report
        terms = ", ".join(f"{name}={value}" for name, value in report.terms.items())
        before = report.previous_grad_norm
        super().__init__(
            f"not finite at step {report.step}: {terms}; images {list(report.image_ids)}; "
            f"lr {report.lr:.3g}; gradient norm of the step before "
            f"{'unknown' if before is None else format(before, '.3g')}. The weights are those of "
            f"step {report.step - 1}; look at these images, lower the learning rate or clip the "
            f"gradient. Report: {folder / REPORT_NAME}"
        )


def find_failure(
    batches: Sequence[tuple[tuple[int | str, ...], Mapping[str, float]]], grad_norm: float
) -> Failure | None:
    """Look for numbers that are not finite in one step.

    Args:
        batches: Image ids and loss terms of each batch of the step.
        grad_norm: Of the step.

    Returns:
        Image ids and terms to report, None if all is well. A gradient is blamed only if every
        loss is finite: it always follows a loss.
    """
    guilty = [(ids, bad) for ids, losses in batches if (bad := _nonfinite(losses))]
    if guilty:
        ids = tuple(one for batch_ids, _ in guilty for one in batch_ids)
        return ids, {name: value for _, bad in guilty for name, value in bad.items()}
    if not math.isfinite(grad_norm):
        ids = tuple(one for batch_ids, _ in batches for one in batch_ids)
        return ids, {"grad_norm": str(grad_norm)}
    return None


def join_failures(failures: Sequence[Failure | None]) -> Failure:
    """Put the findings of all processes together.

    Args:
        failures: Of each process, as `find_failure` gave it; at least one is not None.

    Returns:
        Image ids and terms. Gradients are shared, so one process's bad loss spoils the gradient of
        all: if any names a loss, those that only name the gradient are left out.
    """
    found = [failure for failure in failures if failure is not None]
    by_loss = [failure for failure in found if "grad_norm" not in failure[1]] or found
    ids = tuple(one for image_ids, _ in by_loss for one in image_ids)
    return ids, {name: value for _, terms in by_loss for name, value in terms.items()}


def _nonfinite(losses: Mapping[str, float]) -> dict[str, str]:
    return {name: str(value) for name, value in losses.items() if not math.isfinite(value)}
