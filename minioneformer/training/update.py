r"""The losses of one update, whose images may lie in several parts and several processes.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.5 and 4.1; not drawn in Figure 2.

The gradient is that of all the images in one batch, however they are cut:

* sums are divided by what all parts of all processes hold (`losses/totals.py`);
* the contrastive loss compares all images. Processes exchange their queries inside the graph
  (`losses/contrastive.py`). Parts follow each other, so that the memory of one is enough: the
  queries of all are computed first, without a graph; the gradient of the loss with respect to
  them is then carried into the graph of each part (as in GradCache, arXiv 2101.06983).

Not here: the backward pass and what follows (`training/trainer.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.losses.totals import LossTotals
from minioneformer.processes import in_group
from minioneformer.structures import Batch
from minioneformer.training.randomness import random_state, restore_random_state

CONTRASTIVE = "loss_contrastive"


class PartLosses(NamedTuple):
    """What one part of an update gives.

    Attributes:
        losses: Weighted terms by name; the part's loss is their sum.
        hits: Matched queries with the right class, and matched queries; None if not counted.
    """

    losses: Mapping[str, Tensor]
    hits: Tensor | None = None


class Contrast(NamedTuple):
    """The contrastive loss of an update, and its slope for one part.

    Attributes:
        value: The loss.
        object_slope: Gradient with respect to the object queries of the part.
        text_slope: With respect to its text queries.
        temperature_slope: With respect to the logarithm of the inverse temperature.
        random_state: Before the queries of the part were computed: its dropout must be the same.
    """

    value: Tensor
    object_slope: Tensor
    text_slope: Tensor
    temperature_slope: Tensor
    random_state: dict[str, Tensor]


class PartOfUpdate(nn.Module):
    """Forward pass and losses of one part: what `DistributedDataParallel` wraps.

    Args:
        modules: Model and criterion.
        deep: Whether the decoder's earlier predictions are supervised too.
    """

    def __init__(self, *, modules: TrainedModules, deep: bool) -> None:
        super().__init__()
        self.modules_in_training = modules
        self.deep = deep

    def forward(self, batch: Batch, totals: LossTotals, contrast: Contrast | None) -> PartLosses:
        """Compute the losses of one part.

        Args:
            batch: On the device of the modules.
            totals: Divisors of the losses.
            contrast: Of the update; None compares the images of this part and of the same part
                in the other processes.

        Returns:
            Losses and hits.
        """
        model, criterion = self.modules_in_training.model, self.modules_in_training.criterion
        output = model(batch.images, batch.task_tokens, batch.text_tokens, auxiliary=self.deep)
        predictions = [*output.auxiliary, output.predictions]
        losses, hits = criterion.supervise(predictions, batch.targets, totals)
        if output.text_queries is not None and criterion.contrastive_weight:
            own, text = output.object_queries, output.text_queries
            if contrast is None:
                losses[CONTRASTIVE] = criterion.contrast(own, text)
            else:
                temperature = criterion.log_inverse_temperature
                losses[CONTRASTIVE] = _with_slope(contrast, own, text, temperature)
        return PartLosses(losses, hits)


class UpdateLosses:
    """Computes the losses of an update, part by part.

    Args:
        modules: Model and criterion, on their device. With several processes, every one must hold
            the same weights.
        deep: Whether the decoder's earlier predictions are supervised too.
    """

    def __init__(self, modules: TrainedModules, *, deep: bool = True) -> None:
        self.modules = modules
        self.device = next(modules.parameters()).device
        self.part: nn.Module = PartOfUpdate(modules=modules, deep=deep)
        if in_group():
            self.part = DistributedDataParallel(
                self.part,
                # Without that loss nothing trains the text branch, nor the temperature.
                find_unused_parameters=not modules.criterion.contrastive_weight,
            )

    def __call__(self, parts: Sequence[Batch]) -> Iterator[PartLosses]:
        """Compute losses; the caller goes backwards through each before the next is computed.

        Args:
            parts: What this process holds of the batch, cut into parts of one size.

        Yields:
            For each part its losses. The mean of their gradients over parts and processes is that
            of the update; with several processes it lies in `.grad` after the last backward pass.
        """
        num_queries = self.modules.model.query_positions.num_embeddings
        totals = self.modules.criterion.count([part.targets for part in parts], num_queries)
        contrasts = self._contrasts(parts)
        for number, (batch, contrast) in enumerate(zip(parts, contrasts, strict=True), start=1):
            if contrast is not None:
                restore_random_state(contrast.random_state, self.device)
            with self._gradients_stay_here(number < len(parts)):
                yield self.part(batch, totals, contrast)

    def _gradients_stay_here(self, wanted: bool) -> contextlib.AbstractContextManager[None]:
        """Processes exchange their gradients once per update, at its last part."""
        if wanted and isinstance(self.part, DistributedDataParallel):
            return self.part.no_sync()
        return contextlib.nullcontext()

    def _contrasts(self, parts: Sequence[Batch]) -> list[Contrast] | list[None]:
        """The contrastive loss over several parts; for a single one it needs no preparation."""
        criterion = self.modules.criterion
        if len(parts) == 1 or not criterion.contrastive_weight or parts[0].text_tokens is None:
            return [None] * len(parts)
        own_parts, text_parts, states = zip(*self._queries_without_graph(parts), strict=True)
        own, text = (torch.cat(rows).float().requires_grad_() for rows in (own_parts, text_parts))
        loss = criterion.contrast(own, text)
        own_slope, text_slope, temperature_slope = torch.autograd.grad(
            loss, [own, text, criterion.log_inverse_temperature]
        )
        # A part's gradient is averaged with those of the other parts: the slope of rows that only
        # one part has is multiplied by their number. Every part has the temperature.
        sizes = [len(part.images) for part in parts]
        own_slopes, text_slopes = (
            (len(parts) * slope).split(sizes) for slope in (own_slope, text_slope)
        )
        return [
            Contrast(loss.detach(), one, other, temperature_slope, state)
            for one, other, state in zip(own_slopes, text_slopes, states, strict=True)
        ]

    @torch.no_grad()
    def _queries_without_graph(
        self, parts: Sequence[Batch]
    ) -> Iterator[tuple[Tensor, Tensor | None, dict[str, Tensor]]]:
        """Object queries, text queries and random state before, of each part."""
        model = self.modules.model
        statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
        for part in parts:
            before = random_state(self.device)
            own, text = model.formulate_queries(part.images, part.task_tokens, part.text_tokens)
            yield own, text, before
        for name, buffer in model.named_buffers():  # batch norms have counted these images
            buffer.copy_(statistics[name])
        # subtle: under autocast, torch before 2.11 keeps the weights that were cast here, without
        # their graph, and the first part would train none of them
        torch.clear_autocast_cache()


def _with_slope(contrast: Contrast, own: Tensor, text: Tensor, temperature: Tensor) -> Tensor:
    """A number with the value and, for these queries, the gradient of the contrastive loss."""
    with torch.autocast(own.device.type, enabled=False):
        line = (
            (contrast.object_slope * own.float()).sum()
            + (contrast.text_slope * text.float()).sum()
            + contrast.temperature_slope * temperature
        )
        return contrast.value + line - line.detach()
