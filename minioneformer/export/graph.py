"""The logits of a model as one graph: `torch.export`, checked against the model itself.

Paper: OneFormer (arXiv 2211.06220), Sec. 3; Figure 2 from "Image" and "Task" to "Classes" and
"Masks", without the text branch.

Images and task tokens in, class logits and mask logits at stride 4 out. What follows has shapes
that depend on the answer and stays outside of the graph (`export/numpy_post_process.py`).

Not here: ONNX (`export/onnx_file.py`), the file for other programs (`export/export_model.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from jaxtyping import config as shape_checks
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic_shapes_config

from minioneformer.backbone.dinat import DiNAT
from minioneformer.model import OneFormer

SIZE_DIVISOR = 32  # the coarsest stride: sides of the images are multiples of it
SMALLEST_SIDE = 64  # of images of a dynamic graph
MAX_RELATIVE_ERROR = 1e-3
MAX_IMAGES = 3  # of one size, until one agrees
INPUTS = ("images", "task_tokens")
OUTPUTS = ("class_logits", "mask_logits")

# A dynamic graph is recorded with this batch, at this size: no two axes alike, no side special.
RECORDED_BATCH, RECORDED_SIZE = 2, (192, 224)

LogitsFunction = Callable[[Tensor, Tensor], Sequence[Tensor]]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far exported logits are from those of the model, as measured.

    Args:
        image_sizes: Where it was measured, (H, W) in pixels.
        class_error: Largest difference of a class logit over the largest class logit, the worst
            of all sizes.
        mask_error: The same of the mask logits.
        set_aside: Images that did not count, because another one of their size agreed.
    """

    image_sizes: tuple[tuple[int, int], ...]
    class_error: float
    mask_error: float
    set_aside: int

    @property
    def max_relative_error(self) -> float:
        """The larger of the two."""
        return max(self.class_error, self.mask_error)


@dataclass(frozen=True, kw_only=True)
class CheckedProgram:
    """An exported program with the proof that it is the model.

    Args:
        program: Called as `program.module()(images, task_tokens)`.
        agreement: With the model.
    """

    program: ExportedProgram
    agreement: Agreement


class LogitsGraph(nn.Module):
    """The part of the model that is exported: images and task tokens in, two tensors out.

    Args:
        model: In evaluation mode.

    Raises:
        ValueError: If the model is in training mode.
    """

    def __init__(self, model: OneFormer) -> None:
        super().__init__()
        if model.training:
            raise ValueError(f"export needs evaluation mode, got {model.training=}. Call eval().")
        self.model = model

    def forward(
        self, images: Float[Tensor, "B 3 H W"], task_tokens: Int[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B N K_plus_1"], Float[Tensor, "B N h w"]]:
        """Compute the logits.

        Args:
            images: Normalised; sides are multiples of 32, the caller pads.
            task_tokens: Token ids of the task prompts.

        Returns:
            Class logits, the last one "no object"; mask logits at stride 4, before sigmoid.
        """
        batch, channels, height, width = images.shape
        # subtle: changes nothing, but tells the export that 32 divides the sides, without which
        # every size in the graph would be a formula with a remainder.
        rows, columns = height // SIZE_DIVISOR, width // SIZE_DIVISOR
        images = images.reshape(batch, channels, rows * SIZE_DIVISOR, columns * SIZE_DIVISOR)
        prediction = self.model(images, task_tokens, auxiliary=False).predictions
        return prediction.class_logits, prediction.mask_logits


def export_program(
    model: OneFormer,
    *,
    image_size: tuple[int, int],
    dynamic: bool = False,
    task_tokens: Int[Tensor, "1 T"] | None = None,
) -> CheckedProgram:
    """Record the logits as a `torch.export` program and compare it with the model.

    Args:
        model: In evaluation mode, float32.
        image_size: (H, W) in pixels, multiples of 32. A fixed program takes one image of this
            size; a dynamic one is checked at it.
        dynamic: Whether the program takes any batch, and sides of 64 and more that are multiples
            of 32.
        task_tokens: Of a real prompt, for the check; None takes some numbers.

    Returns:
        The program and how well it agrees.

    Raises:
        ValueError: If the model is in training mode, a side is no multiple of 32 (dynamic: or
            below 64), or the backbone is a DiNAT and `dynamic` is set.
        RuntimeError: As `check_against_model`.
    """
    program = record_program(model, image_size=image_size, dynamic=dynamic)
    agreement = check_against_model(
        program.module(), model, check_sizes(image_size, dynamic=dynamic), task_tokens
    )
    return CheckedProgram(program=program, agreement=agreement)


def record_program(
    model: OneFormer, *, image_size: tuple[int, int], dynamic: bool = False
) -> ExportedProgram:
    """Record the logits as a `torch.export` program, without a check.

    Args:
        model: In evaluation mode, float32.
        image_size: (H, W) in pixels, multiples of 32.
        dynamic: Whether batch and size stay free.

    Returns:
        The program.

    Raises:
        ValueError: As `export_program`.
    """
    graph = LogitsGraph(model)
    smallest = SMALLEST_SIDE if dynamic else SIZE_DIVISOR
    if any(side % SIZE_DIVISOR or side < smallest for side in image_size):
        raise ValueError(
            f"sides must be multiples of {SIZE_DIVISOR}, at least {smallest}, got {image_size=}. "
            f"Pad images to the next multiple."
        )
    if dynamic and isinstance(model.backbone, DiNAT):
        raise ValueError(
            f"a DiNAT backbone can be exported for a fixed size only, got {dynamic=}: its "
            f"neighbourhoods are laid out for the size of the map."
        )
    if not dynamic:
        with torch.no_grad(), _without_shape_checks():
            return torch.export.export(graph, example_inputs(model, image_size), strict=False)
    batch = Dim("batch", min=1)
    rows, columns = (Dim(name, min=SMALLEST_SIDE // SIZE_DIVISOR) for name in ("rows", "columns"))
    sizes = {0: batch, 2: SIZE_DIVISOR * rows, 3: SIZE_DIVISOR * columns}
    example = example_inputs(model, RECORDED_SIZE, batch=RECORDED_BATCH)
    # subtle: without it sizes of 1 (one image, one window) would be other programs. PyTorch's own
    # ONNX export records in the same way.
    oblivious = symbolic_shapes_config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    with torch.no_grad(), _without_shape_checks(), oblivious:
        return torch.export.export(
            graph,
            example,
            dynamic_shapes={"images": sizes, "task_tokens": {0: batch}},
            strict=False,
        )


def check_against_model(
    run: LogitsFunction,
    model: OneFormer,
    image_sizes: Sequence[tuple[int, int]],
    task_tokens: Int[Tensor, "1 T"] | None = None,
) -> Agreement:
    """Compare exported logits with the model's, on noise.

    Args:
        run: Images and task tokens to class logits and mask logits.
        model: What it was exported from.
        image_sizes: (H, W) in pixels; one image each. Where it does not agree, others are tried,
            three in all: a rounding error can turn a decision of the masked attention (is a mask
            logit negative?) and with it a whole query; but not at every image, as a wrong graph
            would.
        task_tokens: Of a real prompt; None takes some numbers.

    Returns:
        The worst differences.

    Raises:
        RuntimeError: If at some size no image agrees within 1e-3 of the largest logit.
    """
    errors, images = [], 0
    for size in image_sizes:
        for seed in range(MAX_IMAGES):
            inputs = example_inputs(model, size, seed=seed, task_tokens=task_tokens)
            of_outputs = compare_logits(run, model, inputs)
            images += 1
            if max(of_outputs) <= MAX_RELATIVE_ERROR:
                break
        errors.append(of_outputs)
    class_error, mask_error = (max(of_output) for of_output in zip(*errors, strict=True))
    agreement = Agreement(
        image_sizes=tuple(image_sizes),
        class_error=class_error,
        mask_error=mask_error,
        set_aside=images - len(errors),
    )
    if not agreement.max_relative_error <= MAX_RELATIVE_ERROR:  # nan is no agreement
        raise RuntimeError(
            f"the exported logits are not the model's, got {agreement}; the limit is "
            f"{MAX_RELATIVE_ERROR}."
        )
    return agreement


def compare_logits(
    run: LogitsFunction,
    model: OneFormer,
    inputs: tuple[Float[Tensor, "B 3 H W"], Int[Tensor, "B T"]],
) -> tuple[float, float]:
    """Relative errors of exported logits for the same input.

    Args:
        run: Images and task tokens to class logits and mask logits.
        model: What it was exported from.
        inputs: Images and task tokens.

    Returns:
        Of the class logits and of the mask logits.
    """
    with torch.no_grad():
        (classes, masks), (wanted_classes, wanted_masks) = run(*inputs), LogitsGraph(model)(*inputs)
    return relative_error(classes, wanted_classes), relative_error(masks, wanted_masks)


def check_sizes(image_size: tuple[int, int], *, dynamic: bool) -> tuple[tuple[int, int], ...]:
    """Sizes at which an export is compared with its model.

    Args:
        image_size: That was asked for, (H, W) in pixels.
        dynamic: Whether others must hold too: the smallest, where every stage of the backbone
            has a single window, and one larger than asked for.

    Returns:
        One size, or three.
    """
    if not dynamic:
        return (image_size,)
    height, width = image_size
    larger = (height + SIZE_DIVISOR, width + 2 * SIZE_DIVISOR)
    return image_size, (SMALLEST_SIDE, SMALLEST_SIDE + SIZE_DIVISOR), larger


def example_inputs(
    model: OneFormer,
    image_size: tuple[int, int],
    *,
    batch: int = 1,
    seed: int = 0,
    task_tokens: Int[Tensor, "1 T"] | None = None,
) -> tuple[Float[Tensor, "B 3 H W"], Int[Tensor, "B T"]]:
    """Noise as images, the same for the same seed.

    Args:
        model: Whose device and prompt length they have.
        image_size: (H, W) in pixels.
        batch: Images.
        seed: Of the noise.
        task_tokens: Of a prompt; None takes 0, 1, 2, ...

    Returns:
        Images and task tokens.
    """
    device = next(model.parameters()).device
    noise = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, 3, *image_size, generator=noise).to(device)
    if task_tokens is None:
        task_tokens = torch.arange(model.task_mlp.context_length)[None]
    return images, task_tokens.repeat(batch, 1).to(device)


def relative_error(got: Float[Tensor, "*shape"], wanted: Float[Tensor, "*shape"]) -> float:
    """Largest difference over the largest value.

    Args:
        got: To be judged.
        wanted: The reference.

    Returns:
        0 if they are equal; nan or infinite if one of them is.

    Example:
        (1.0, 4.1) for (1.0, 4.0) is 0.1 / 4 = 0.025.
    """
    difference = (got.to(wanted.device) - wanted).abs().max()
    return 0.0 if difference == 0 else float(difference / wanted.abs().max())


@contextmanager
def _without_shape_checks() -> Iterator[None]:
    """Let sizes be symbols where annotations are checked, as in tests."""
    before = shape_checks.jaxtyping_disable
    shape_checks.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        shape_checks.update("jaxtyping_disable", before)
