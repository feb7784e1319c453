r"""Which query answers for which target.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.5; not drawn in Figure 2.
After: Mask2Former (arXiv 2112.01527), Sec. 3.3 (costs on points).

The cost of query n for target m is
$-\lambda_\text{cls}\, p_n(c_m) + \lambda_\text{bce}\, \text{BCE}_{nm}
+ \lambda_\text{dice}\, \text{Dice}_{nm}$, the mask terms on points drawn evenly.

Not here: the losses of the matched pairs (`losses/criterion.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minioneformer.losses.assignment import assign
from minioneformer.losses.mask_losses import pairwise_dice, pairwise_mask_cross_entropy
from minioneformer.losses.point_sampling import sample_at_points
from minioneformer.structures import MaskPrediction, TaskTarget

UNMATCHED = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class PaddedTargets:
    """Targets of a batch, filled up to the same number M of masks.

    Args:
        labels: Class of each mask; 0 where there is none.
        masks: True where the mask is.
        valid: True where there is a target.
    """

    labels: Int[Tensor, "B M"]
    masks: Bool[Tensor, "B M H W"]
    valid: Bool[Tensor, "B M"]


def pad_targets(targets: Sequence[TaskTarget]) -> PaddedTargets:
    """Stack the targets of a batch.

    Args:
        targets: One per image, all of the same (H, W).

    Returns:
        Padded stack; M is the largest number of masks, possibly 0.

    Raises:
        ValueError: If there is no target at all, or the sizes differ.
    """
    sizes = {tuple(target.masks.shape[-2:]) for target in targets}
    if len(sizes) != 1:
        raise ValueError(
            f"targets of a batch need one common size, got {len(targets)} of {sorted(sizes)}. "
            "Pad them as the images are padded (`data/collate.py`)."
        )
    counts = [len(target.labels) for target in targets]
    height, width = sizes.pop()
    device = targets[0].masks.device
    labels = torch.zeros(len(targets), max(counts), dtype=torch.long, device=device)
    masks = torch.zeros(len(targets), max(counts), height, width, dtype=torch.bool, device=device)
    for image, (target, count) in enumerate(zip(targets, counts, strict=True)):
        labels[image, :count] = target.labels
        masks[image, :count] = target.masks
    slots = torch.arange(max(counts), device=device)
    valid = slots < torch.tensor(counts, device=device)[:, None]
    return PaddedTargets(labels=labels, masks=masks, valid=valid)


class HungarianMatcher(nn.Module):
    """Cheapest one-to-one pairing of queries and targets, for each image and prediction.

    Args:
        class_weight: Of the class probability in the cost.
        mask_weight: Of the mask cross-entropy.
        dice_weight: Of dice.
        num_points: P, points on which masks are compared.
        method: Of the assignment, see `losses/assignment.py`.

    Raises:
        ValueError: If `num_points` is below 1.

    Fidelity:
        Official code: draws new points for each decoder layer; here all predictions of an
        image share one set, so the mask features are sampled once. It writes 100 over costs
        that are NaN; here they raise.
    """

    def __init__(
        self,
        *,
        class_weight: float = 2.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        num_points: int = 12544,
        method: str = "scipy",
    ) -> None:
        super().__init__()
        if num_points < 1:
            raise ValueError(f"num_points must be at least 1, got {num_points=}.")
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.num_points = num_points
        self.method = method

    @torch.no_grad()
    def forward(
        self, predictions: Sequence[MaskPrediction], targets: PaddedTargets
    ) -> list[Int[Tensor, "B M"]]:
        """Match every prediction with the targets.

        Args:
            predictions: All of one forward pass: they share their mask features.
            targets: Of the batch.

        Returns:
            For each prediction the query of each target, `UNMATCHED` (-1) where the target is
            padding or there are more targets than queries.

        Raises:
            ValueError: If a cost is not finite.
        """
        batch, num_targets = targets.labels.shape
        if num_targets == 0:
            return [targets.labels.new_zeros(batch, 0) for _ in predictions]
        features = predictions[0].mask_features.float()
        points = torch.rand(batch, self.num_points, 2, device=features.device)
        sampled_features = sample_at_points(features, points)  # (B, C, P)
        sampled_targets = sample_at_points(targets.masks.float(), points)  # (B, M, P)
        costs = torch.stack(
            [self.cost(p, sampled_features, targets.labels, sampled_targets) for p in predictions]
        )
        # One transfer for all layers: the assignment itself runs on the CPU.
        matches = self._assign(costs.cpu(), targets.valid.sum(1).tolist())
        return list(matches.to(targets.labels.device))

    def cost(
        self,
        prediction: MaskPrediction,
        sampled_features: Float[Tensor, "B C P"],
        labels: Int[Tensor, "B M"],
        sampled_targets: Float[Tensor, "B M P"],
    ) -> Float[Tensor, "B N M"]:
        """Cost of every pair, in float32.

        Args:
            prediction: Classes and mask embeddings.
            sampled_features: Mask features at the points.
            labels: Class of each target.
            sampled_targets: Target masks at the points, in [0, 1].

        Returns:
            One cost per query and target; columns of padding are meaningless.
        """
        # Bilinear sampling and the product with an embedding commute: N masks are never drawn.
        mask_logits = prediction.mask_embeddings.float() @ sampled_features  # (B, N, P)
        probs = prediction.class_logits.float().softmax(-1)  # (B, N, K + 1)
        num_queries = probs.shape[1]
        class_probs = probs.gather(2, labels[:, None].expand(-1, num_queries, -1))  # (B, N, M)
        return (
            -self.class_weight * class_probs
            + self.mask_weight * pairwise_mask_cross_entropy(mask_logits, sampled_targets)
            + self.dice_weight * pairwise_dice(mask_logits, sampled_targets)
        )

    def _assign(self, costs: Tensor, counts: list[int]) -> Tensor:
        num_predictions, batch, _, num_targets = costs.shape
        matches = torch.full((num_predictions, batch, num_targets), UNMATCHED)
        for layer in range(num_predictions):
            for image, count in enumerate(counts):
                cost = costs[layer, image, :, :count].numpy()
                queries, columns = assign(cost, self.method)
                matches[layer, image, torch.from_numpy(columns)] = torch.from_numpy(queries)
        return matches
