"""A trained model as a file for other programs, with what they need to know beside it.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Two files: the graph (`NAME.onnx` or `NAME.pt2`) and `NAME.onnx.json`: token ids of the three tasks,
mean and deviation of the colours, classes, thresholds, sizes.

Not here: the graph (`export/graph.py`), our own format of a model (`checkpoints/pretrained.py`).
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from minioneformer.atomic import write_text_atomically
from minioneformer.checkpoints.pretrained import Pretrained
from minioneformer.export.graph import (
    INPUTS,
    OUTPUTS,
    SIZE_DIVISOR,
    SMALLEST_SIDE,
    Agreement,
    check_against_model,
    check_sizes,
    record_program,
)
from minioneformer.export.onnx_file import export_onnx
from minioneformer.pixels import IMAGE_MEAN, IMAGE_STD
from minioneformer.structures import TASKS
from minioneformer.text.task_prompt import task_prompt

ExportFormat = Literal["torch", "onnx"]
FORMATS: tuple[ExportFormat, ...] = ("torch", "onnx")


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written, and how well it agrees with the model.

    Args:
        path: Of the graph.
        description: Of the JSON beside it.
        format: Of the graph.
        image_size: (H, W) in pixels.
        dynamic: Whether other sizes work too.
        agreement: With the model; None if there was nothing to run the file with.
    """

    path: Path
    description: Path
    format: ExportFormat
    image_size: tuple[int, int]
    dynamic: bool
    agreement: Agreement | None


def export_model(
    pretrained: Pretrained,
    path: str | Path,
    *,
    format: ExportFormat,
    image_size: tuple[int, int] = (512, 512),
    dynamic: bool = True,
    optimize: bool = True,
) -> ExportReport:
    """Write a trained model for other programs, and check what was written.

    Args:
        pretrained: Its model is in evaluation mode, on the CPU.
        path: Of the graph, usually `.onnx` or `.pt2`; its folder exists.
        format: "torch" for `torch.export.load`, "onnx" for onnxruntime and others.
        image_size: (H, W) in pixels, multiples of 32.
        dynamic: Whether any batch, and any sides that are multiples of 32 from 64 on, are
            accepted too.
        optimize: Whether an ONNX graph is simplified before it is written; takes most of the
            time.

    Returns:
        The report.

    Raises:
        ValueError: If there is no such format, or as `export_program`.
        ImportError, RuntimeError, OSError: As `export_onnx`.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format=}.")
    path = Path(path)
    tokens = torch.tensor(_task_tokens(pretrained)[TASKS[-1]])[None]
    model = pretrained.modules.model
    agreement: Agreement | None
    if format == "onnx":
        agreement = export_onnx(
            model,
            path,
            image_size=image_size,
            dynamic=dynamic,
            optimize=optimize,
            task_tokens=tokens,
        )
    else:
        agreement = _save_program(pretrained, path, image_size, dynamic, tokens)
    report = ExportReport(
        path=path,
        description=path.with_name(path.name + ".json"),
        format=format,
        image_size=image_size,
        dynamic=dynamic,
        agreement=agreement,
    )
    description = describe_export(pretrained, report)
    write_text_atomically(report.description, json.dumps(description, indent=1) + "\n")
    return report


def describe_export(pretrained: Pretrained, report: ExportReport) -> dict[str, Any]:
    """What a program needs to know to use the graph.

    Args:
        pretrained: What was exported.
        report: About it.

    Returns:
        JSON values. `image_mean` and `image_std` are for RGB from 0 to 255; sizes are (H, W).
    """
    return {
        "file": report.path.name,
        "format": report.format,
        "inputs": list(INPUTS),
        "outputs": list(OUTPUTS),
        "image_size": list(report.image_size),
        "dynamic": report.dynamic,
        "size_divisor": SIZE_DIVISOR,
        "smallest_side": SMALLEST_SIDE,
        "image_mean": list(IMAGE_MEAN),
        "image_std": list(IMAGE_STD),
        "task_tokens": _task_tokens(pretrained),
        "classes": [
            {"label": label, "name": category.name, "is_thing": category.is_thing}
            for label, category in enumerate(pretrained.categories)
        ],
        **dataclasses.asdict(pretrained.settings),
        "agreement": None if report.agreement is None else dataclasses.asdict(report.agreement),
    }


def _task_tokens(pretrained: Pretrained) -> dict[str, list[int]]:
    length = pretrained.config.task_seq_len
    rows = pretrained.tokenizer.tokenize([task_prompt(task) for task in TASKS], length)
    return dict(zip(TASKS, rows, strict=True))


def _save_program(
    pretrained: Pretrained,
    path: Path,
    image_size: tuple[int, int],
    dynamic: bool,
    tokens: torch.Tensor,
) -> Agreement:
    """Write, read back, compare, and only then give the file its name."""
    model = pretrained.modules.model
    program = record_program(model, image_size=image_size, dynamic=dynamic)
    unfinished = path.with_name(path.name + ".part.pt2")
    try:
        torch.export.save(program, unfinished)
        run = torch.export.load(unfinished).module()
        agreement = check_against_model(
            run, model, check_sizes(image_size, dynamic=dynamic), tokens
        )
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return agreement
