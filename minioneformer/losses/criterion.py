r"""All losses of one forward pass, named and weighted.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.5, Eq. (2); not drawn in Figure 2.

$\mathcal{L} = \lambda_\text{cls} \mathcal{L}_\text{cls} + \lambda_\text{bce} \mathcal{L}_\text{bce}
+ \lambda_\text{dice} \mathcal{L}_\text{dice}$ for the final and for every auxiliary prediction
(deep supervision), plus $\lambda_\text{con} \mathcal{L}_{Q \leftrightarrow Q_\text{text}}$ once.

Not here: the single terms (`losses/mask_losses.py`, `losses/contrastive.py`), the matching
(`losses/matcher.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from minioneformer.config import OneFormerConfig
from minioneformer.losses.contrastive import query_text_contrastive_loss
from minioneformer.losses.mask_losses import dice_loss, mask_cross_entropy
from minioneformer.losses.matcher import UNMATCHED, HungarianMatcher, PaddedTargets, pad_targets
from minioneformer.losses.point_sampling import choose_points, sample_at_points
from minioneformer.losses.totals import LossTotals, count_totals
from minioneformer.structures import MaskPrediction, TaskTarget

MAX_INVERSE_TEMPERATURE = 100.0


class Criterion(nn.Module):
    """Match predictions with targets and weigh the losses, once.

    Args:
        num_classes: K, without the no-object class.
        class_weight: Of the classification loss and cost.
        mask_weight: Of the mask cross-entropy loss and cost.
        dice_weight: Of the dice loss and cost.
        contrastive_weight: Of the query-text loss; 0 leaves it out.
        temperature: Initial value of the learned temperature, > 0.
        no_object_weight: Of queries without a target, in the classification.
        num_points: Points per mask in costs and losses.
        oversample_ratio: Candidate points per point.
        importance_ratio: Share of points taken where the prediction is least sure.

    Raises:
        ValueError: If `temperature` or `no_object_weight` is not positive (a batch without
            objects would be 0 / 0), or `num_points` is below 1.
    """

    class_weights: Tensor

    def __init__(
        self,
        *,
        num_classes: int,
        class_weight: float = 2.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        contrastive_weight: float = 0.5,
        temperature: float = 0.07,
        no_object_weight: float = 0.1,
        num_points: int = 12544,
        oversample_ratio: float = 3.0,
        importance_ratio: float = 0.75,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature=}.")
        if no_object_weight <= 0:
            raise ValueError(f"no_object_weight must be positive, got {no_object_weight=}.")
        self.num_classes = num_classes
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.contrastive_weight = contrastive_weight
        self.no_object_weight = no_object_weight
        self.num_points = num_points
        self.oversample_ratio = oversample_ratio
        self.importance_ratio = importance_ratio
        self.matcher = HungarianMatcher(
            class_weight=class_weight,
            mask_weight=mask_weight,
            dice_weight=dice_weight,
            num_points=num_points,
        )
        self.log_inverse_temperature = nn.Parameter(
            torch.tensor(math.log(1 / temperature)), requires_grad=contrastive_weight > 0
        )
        weights = torch.ones(num_classes + 1)
        weights[-1] = no_object_weight
        self.register_buffer("class_weights", weights)

    @classmethod
    def from_config(cls, config: OneFormerConfig) -> Criterion:
        """Build from the published field names.

        Args:
            config: Of the model.

        Returns:
            A criterion with the configuration's weights.
        """
        return cls(
            num_classes=config.num_classes,
            class_weight=config.class_weight,
            mask_weight=config.mask_weight,
            dice_weight=config.dice_weight,
            contrastive_weight=config.contrastive_weight,
            temperature=config.contrastive_temperature,
            no_object_weight=config.no_object_weight,
            num_points=config.train_num_points,
            oversample_ratio=config.oversample_ratio,
            importance_ratio=config.importance_sample_ratio,
        )

    def forward(
        self,
        predictions: Sequence[MaskPrediction],
        targets: Sequence[TaskTarget],
        object_queries: Float[Tensor, "B N C"] | None = None,
        text_queries: Float[Tensor, "B N C"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """All weighted losses by name; their plain sum is the total.

        Args:
            predictions: In the order of the decoder's layers, the final one last.
            targets: One per image.
            object_queries: Before the decoder; needed with `text_queries`.
            text_queries: None leaves out the contrastive loss.

        Returns:
            "loss_class", "loss_mask", "loss_dice" of the final prediction, the same with
            suffix "_0", "_1" ... of the earlier ones, and "loss_contrastive". With several
            processes the mean over them is the loss of all their images in one batch.

        Raises:
            ValueError: If there is not one target per image, their sizes differ, a label is not
                in 0 .. K-1, or a matching cost is not finite.
        """
        losses, _ = self.supervise(predictions, targets)
        if text_queries is not None and object_queries is not None and self.contrastive_weight:
            losses["loss_contrastive"] = self.contrast(object_queries, text_queries)
        return losses

    def supervise(
        self,
        predictions: Sequence[MaskPrediction],
        targets: Sequence[TaskTarget],
        totals: LossTotals | None = None,
    ) -> tuple[dict[str, Float[Tensor, ""]], Int[Tensor, " right_and_all"]]:
        """The losses that need targets, and how many classes were right.

        Args:
            predictions: As for `forward`.
            targets: One per image.
            totals: What sums are divided by; None counts the targets of all processes.

        Returns:
            Weighted losses by name. Matched queries of the final prediction whose most likely
            class is the target's (no object counts as wrong), and matched queries.

        Raises:
            ValueError: As `forward`.
        """
        # Losses are float32 whatever autocast does outside.
        with torch.autocast(predictions[0].class_logits.device.type, enabled=False):
            padded = pad_targets(targets)
            self._check(predictions[0], padded)
            totals = totals or self.count([targets], predictions[0].class_logits.shape[1])
            losses: dict[str, Tensor] = {}
            last = len(predictions) - 1
            matches = self.matcher(predictions, padded)
            for index, match in enumerate(matches):
                suffix = "" if index == last else f"_{index}"
                terms = self._supervise(predictions[index], padded, match, totals)
                losses |= {f"{name}{suffix}": loss for name, loss in terms.items()}
            return losses, _count_hits(predictions[last], padded, matches[last])

    def count(self, parts: Sequence[Sequence[TaskTarget]], num_queries: int) -> LossTotals:
        """Divisors of the losses, see `count_totals`.

        Args:
            parts: Targets of each part of an update.
            num_queries: N.
        """
        return count_totals(parts, num_queries=num_queries, no_object_weight=self.no_object_weight)

    def _check(self, prediction: MaskPrediction, targets: PaddedTargets) -> None:
        images, targets_for = prediction.class_logits.shape[0], targets.labels.shape[0]
        if images != targets_for:
            raise ValueError(f"need one target per image, got {images=}, {targets_for=}.")
        if targets.labels.numel():
            smallest, largest = (int(label) for label in targets.labels.aminmax())
            # subtle: label K would be taken for "no object" without a word.
            if smallest < 0 or largest >= self.num_classes:
                raise ValueError(
                    f"labels must be in 0 .. {self.num_classes - 1}, got {smallest=}, {largest=}. "
                    "Give the model as many classes as the data set has."
                )

    def contrast(
        self, object_queries: Float[Tensor, "B N C"], text_queries: Float[Tensor, "B N C"]
    ) -> Float[Tensor, ""]:
        """Contrastive loss with the learned temperature, weighted.

        Args:
            object_queries: Before the decoder.
            text_queries: From the text mapper.

        Returns:
            Scalar.
        """
        with torch.autocast(object_queries.device.type, enabled=False):
            inverse = self.log_inverse_temperature.exp().clamp(max=MAX_INVERSE_TEMPERATURE)
            loss = query_text_contrastive_loss(
                object_queries.float(), text_queries.float(), 1 / inverse
            )
            return self.contrastive_weight * loss

    def _supervise(
        self,
        prediction: MaskPrediction,
        targets: PaddedTargets,
        match: Tensor,
        totals: LossTotals,
    ) -> dict[str, Tensor]:
        class_loss = self.classify(prediction, targets, match)
        mask_losses = self._mask_losses(prediction, targets, match)
        return {
            "loss_class": self.class_weight * class_loss / totals.class_weight,
            "loss_mask": self.mask_weight * mask_losses[0].sum() / totals.masks,
            "loss_dice": self.dice_weight * mask_losses[1].sum() / totals.masks,
        }

    def classify(
        self, prediction: MaskPrediction, targets: PaddedTargets, match: Int[Tensor, "B M"]
    ) -> Float[Tensor, ""]:
        """Weighted cross-entropy over all queries; those without a target say "no object".

        Args:
            prediction: Class logits.
            targets: Of the batch.
            match: Query of each target, -1 for none.

        Returns:
            Sum of weighted losses.
        """
        logits = prediction.class_logits.float()
        labels = logits.new_full(logits.shape[:2], self.num_classes, dtype=torch.long)  # (B, N)
        image, slot = (match != UNMATCHED).nonzero(as_tuple=True)
        labels[image, match[image, slot]] = targets.labels[image, slot]
        return F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), self.class_weights, reduction="sum"
        )

    def _mask_losses(
        self, prediction: MaskPrediction, targets: PaddedTargets, match: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy and dice of each matched mask."""
        image, slot = (match != UNMATCHED).nonzero(as_tuple=True)  # (R,)
        if len(image) == 0:  # zero, but still a function of the prediction
            nothing = prediction.mask_embeddings.float().sum() * 0
            nothing = nothing + prediction.mask_features.float().sum() * 0
            return nothing[None], nothing[None]
        embeddings = prediction.mask_embeddings.float()[image, match[image, slot]]  # (R, C)
        mask_logits = _matched_masks(embeddings, prediction.mask_features.float(), image)
        points = choose_points(
            mask_logits,
            num_points=self.num_points,
            oversample_ratio=self.oversample_ratio,
            importance_ratio=self.importance_ratio,
        )
        with torch.no_grad():
            masks = targets.masks[image, slot].float()[:, None]  # (R, 1, H, W)
            point_targets = sample_at_points(masks, points)[:, 0]
        point_logits = sample_at_points(mask_logits[:, None], points)[:, 0]  # (R, P)
        return mask_cross_entropy(point_logits, point_targets), dice_loss(
            point_logits, point_targets
        )


def _count_hits(
    prediction: MaskPrediction, targets: PaddedTargets, match: Int[Tensor, "B M"]
) -> Int[Tensor, " right_and_all"]:
    """Matched queries whose most likely class is the target's, and matched queries."""
    image, slot = (match != UNMATCHED).nonzero(as_tuple=True)
    chosen = prediction.class_logits[image, match[image, slot]].argmax(-1)
    right = (chosen == targets.labels[image, slot]).sum()
    return torch.stack([right, torch.full_like(right, len(image))])


def _matched_masks(embeddings: Tensor, features: Tensor, image: Tensor) -> Tensor:
    """Multiply out only the masks that were matched; `image` ascends."""
    counts = torch.bincount(image, minlength=features.shape[0]).tolist()
    return torch.cat(
        [
            torch.einsum("rc,chw->rhw", rows, features[index])
            for index, rows in enumerate(embeddings.split(counts))
        ]
    )
