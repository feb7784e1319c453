"""Classes and masks from queries.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2 (c), boxes "Classes" and "Masks".

Not here: post-processing of the logits (`inference/`).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from minioneformer.layers.mlp import MLP

MASK_HEAD_LAYERS = 3


class PredictionHeads(nn.Module):
    """One classifier and one mask embedder, shared by all decoder layers.

    Args:
        hidden_dim: Channels of the queries.
        num_classes: K, without the no-object class.
        mask_dim: Channels of the mask features.
        layer_norm_eps: Of the normalisation.

    Fidelity:
        Official code: this normalisation is applied to the task token too (`decoder_norm`),
        so `model.OneFormer` reaches for `norm`.
    """

    def __init__(
        self, *, hidden_dim: int, num_classes: int, mask_dim: int, layer_norm_eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_dim, eps=layer_norm_eps)
        self.class_head = nn.Linear(hidden_dim, num_classes + 1)
        self.mask_head = MLP(
            input_dim=hidden_dim,
            hidden_dim=hidden_dim,
            output_dim=mask_dim,
            num_layers=MASK_HEAD_LAYERS,
        )

    def forward(
        self, queries: Float[Tensor, "B N C"]
    ) -> tuple[Float[Tensor, "B N K_plus_1"], Float[Tensor, "B N C_mask"]]:
        """Predict from each query.

        Args:
            queries: As they leave a decoder layer, not normalised.

        Returns:
            Class logits, the last one "no object"; mask embeddings, whose dot product with the
            mask features gives mask logits.
        """
        return self.classify(queries), self.embed_masks(queries)

    def classify(self, queries: Float[Tensor, "B N C"]) -> Float[Tensor, "B N K_plus_1"]:
        """Class logits alone: needed only where a prediction is used or supervised.

        Args:
            queries: As they leave a decoder layer, not normalised.

        Returns:
            Class logits, the last one "no object".
        """
        return self.class_head(self.norm(queries))

    def embed_masks(self, queries: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C_mask"]:
        """Mask embeddings alone: what the next layer's blocked cells follow from.

        Args:
            queries: As they leave a decoder layer, not normalised.

        Returns:
            Mask embeddings.
        """
        return self.mask_head(self.norm(queries))
