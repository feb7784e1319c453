"""The logits of a model as an ONNX file, checked with onnxruntime.

Paper: OneFormer (arXiv 2211.06220), Sec. 3; Figure 2 as in `export/graph.py`.

`onnx` and `onnxscript` are needed to write the file, `onnxruntime` to check it: the extra `export`.

Not here: what is exported (`export/graph.py`), what the logits mean
(`export/numpy_post_process.py`).
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.export import ExportedProgram

from minioneformer.export.graph import (
    INPUTS,
    OUTPUTS,
    Agreement,
    LogitsFunction,
    check_against_model,
    check_sizes,
    record_program,
)
from minioneformer.model import OneFormer

OPSET = 18
WRITERS = ("onnx", "onnxscript")
RUNTIME = "onnxruntime"
INSTALL = "Install the extra: pip install 'minioneformer[export]'."


def export_onnx(
    model: OneFormer,
    path: str | Path,
    *,
    image_size: tuple[int, int],
    dynamic: bool = False,
    opset: int = OPSET,
    optimize: bool = True,
    task_tokens: Int[Tensor, "1 T"] | None = None,
) -> Agreement | None:
    """Write an ONNX file; it takes its name only after it has been compared with the model.

    Args:
        model: In evaluation mode, float32, on the CPU.
        path: Of the file; its folder exists; an old file is replaced.
        image_size: (H, W) in pixels, multiples of 32. A fixed graph takes one image of this size;
            a dynamic one is checked at it.
        dynamic: Whether the graph takes any batch, and sides of 64 and more that are multiples of
            32.
        opset: Version of the ONNX operators, >= 18.
        optimize: Whether the graph is simplified before it is written; takes most of the time,
            and runtimes do much of it themselves.
        task_tokens: Of a real prompt, for the check; None takes some numbers.

    Returns:
        How well file and model agree in onnxruntime; None if that is not installed.

    Raises:
        ImportError: If a package that writes the file is missing.
        ValueError: As `export_program`; or if the opset is too old.
        RuntimeError: As `check_against_model`.
        OSError: If the file cannot be written.
    """
    check_writers()
    if opset < OPSET:
        raise ValueError(f"the graph needs opset {OPSET} or newer, got {opset=}.")
    path = Path(path)
    program = record_program(model, image_size=image_size, dynamic=dynamic)
    unfinished = path.with_name(path.name + ".part")
    try:
        _write(program, unfinished, opset=opset, optimize=optimize)
        agreement = None
        if is_installed(RUNTIME):
            run = onnx_function(unfinished)
            sizes = check_sizes(image_size, dynamic=dynamic)
            agreement = check_against_model(run, model, sizes, task_tokens)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return agreement


def onnx_function(path: str | Path, *, threads: int = 0) -> LogitsFunction:
    """Load an ONNX file into onnxruntime, on the CPU.

    Args:
        path: Of a file that `export_onnx` wrote.
        threads: Of one operator; 0 leaves it to onnxruntime.

    Returns:
        Images and task tokens to class logits and mask logits.

    Raises:
        ImportError: If onnxruntime is missing.
    """
    if not is_installed(RUNTIME):
        raise ImportError(f"{RUNTIME} is not installed, got path={str(path)!r}. {INSTALL}")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; warnings tell which constants it could not fold
    session: Any = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )

    def run(images: Tensor, task_tokens: Tensor) -> list[Tensor]:
        arrays = (images.cpu().numpy(), task_tokens.cpu().numpy())
        outputs = session.run(list(OUTPUTS), dict(zip(INPUTS, arrays, strict=True)))
        return [torch.from_numpy(output) for output in outputs]

    return run


def check_writers() -> None:
    """Refuse when a package that writes ONNX files is missing.

    Raises:
        ImportError: If one is; it is named.
    """
    missing = [name for name in WRITERS if not is_installed(name)]
    if missing:
        raise ImportError(f"writing ONNX needs other packages, got {missing=}. {INSTALL}")


def is_installed(name: str) -> bool:
    """Whether a package can be imported, without importing it.

    Args:
        name: Of the package.
    """
    return importlib.util.find_spec(name) is not None


def _write(program: ExportedProgram, path: Path, *, opset: int, optimize: bool) -> None:
    # subtle: with gradients attention is taken apart in another way, which has no view for any size
    with torch.no_grad():
        onnx_program = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,  # progress would go to the standard output
            opset_version=opset,
            optimize=optimize,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
        )
    if onnx_program is None:
        raise RuntimeError(f"PyTorch wrote no ONNX program for {str(path)!r}.")
    onnx_program.save(str(path))
