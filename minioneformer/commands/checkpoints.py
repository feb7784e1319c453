"""`minioneformer models`, `minioneformer convert` and `minioneformer export`.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: the table (`presets/models_table.py`), the layouts (`checkpoints/convert.py`), the graph
(`export/`).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from minioneformer.checkpoints.convert import convert as convert_files
from minioneformer.checkpoints.pretrained import load_pretrained
from minioneformer.commands.shared import write_figures
from minioneformer.export.export_model import export_model
from minioneformer.presets.models_table import models_table
from minioneformer.presets.published import published_models


def models(*, dataset: str | None = None, output: Path | None = None) -> None:
    """List the published models: sizes, figures, where to get them.

    Args:
        dataset: Only those of "ade20k", "cityscapes", "coco" or "mapillary_vistas".
        output: JSON file to write the list to as well.
    """
    found = [model for model in published_models() if dataset in (None, model.dataset)]
    if not found:
        known = ", ".join(dict.fromkeys(model.dataset for model in published_models()))
        raise ValueError(f"no published model of this data set, got {dataset!r}. Known: {known}.")
    print(models_table(found))
    if output is not None:
        write_figures(output, {model.name: dataclasses.asdict(model) for model in found})
        print(f"wrote {output}")


def convert(
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SRC")],
    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DST")],
    /,
    *,
    to: Literal["huggingface", "official"],
    model: str | None = None,
    vocabulary: Path | None = None,
) -> None:
    """Write weights in another layout.

    Args:
        source: Folder of a model or of a run, a name on the hub, "toy", or a file of the original
            code (.pth, .pkl).
        target: Folder to make for "huggingface", file to write for "official".
        to: Layout of the target.
        model: Published model that a file is one of, if its name does not tell; see
            `minioneformer models`.
        vocabulary: CLIP's, for a folder made from a file: folder with vocab.json and merges.txt,
            or bpe_simple_vocab_16e6.txt.gz.
    """
    report = convert_files(source, target, to=to, model=model, vocabulary=vocabulary)
    print(report.summary())
    print(f"wrote {target}")


def export(
    weights: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WEIGHTS")],
    /,
    *,
    format: Literal["torch", "onnx"],
    output: Path,
    height: int = 512,
    width: int = 512,
    fixed: bool = False,
) -> None:
    """Write the graph from image and task to logits for other programs, and check it.

    Args:
        weights: Folder of a model or of a run, a name on the hub, or "toy".
        format: "onnx" for onnxruntime and others, "torch" for torch.export.
        output: File to write; a JSON with classes, task tokens and sizes goes beside it.
        height: Of the image in pixels, a multiple of 32.
        width: Of the image in pixels, a multiple of 32.
        fixed: Only images of this size, one at a time; otherwise any multiples of 32.
    """
    if output.exists():
        raise FileExistsError(f"the target is there already, got {str(output)!r}.")
    output.parent.mkdir(parents=True, exist_ok=True)
    report = export_model(
        load_pretrained(weights),
        output,
        format=format,
        image_size=(height, width),
        dynamic=not fixed,
    )
    checked = "not checked: onnxruntime is not installed"
    if report.agreement is not None:
        sizes = ", ".join(f"{h} x {w}" for h, w in report.agreement.image_sizes)
        error = report.agreement.max_relative_error
        checked = f"largest relative error {error:.1e} on {sizes}"
    print(f"wrote {report.path} and {report.description}; {checked}")
