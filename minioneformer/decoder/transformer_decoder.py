"""The masked transformer decoder.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2 (c), box "Transformer Decoder".

Layer i reads level i mod 3 of the multi-scale features: strides 32, 16, 8, and again. A
prediction is made from the first queries and after every layer; each one decides where the
next layer may look.

Not here: losses on the predictions (`losses/criterion.py`).
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from minioneformer.decoder.decoder_layer import DecoderLayer
from minioneformer.decoder.masked_attention import blocked_outside_mask, resize_mask_features
from minioneformer.decoder.prediction_heads import PredictionHeads
from minioneformer.layers.position_encoding import sine_position_encoding
from minioneformer.structures import MaskPrediction

NUM_LEVELS = 3


class TransformerDecoder(nn.Module):
    """L masked-attention layers over three levels in turn.

    Args:
        hidden_dim: Channels C of queries and image tokens.
        num_heads: Of every attention.
        feed_forward_dim: Hidden channels of the feed-forwards.
        num_layers: L; 0 leaves only the prediction from the first queries.
        num_classes: K, without the no-object class.
        mask_dim: Channels of the mask features.
        layer_norm_eps: Of every LayerNorm.
    """

    def __init__(
        self,
        *,
        hidden_dim: int,
        num_heads: int,
        feed_forward_dim: int,
        num_layers: int,
        num_classes: int,
        mask_dim: int,
        layer_norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.level_embedding = nn.Embedding(NUM_LEVELS, hidden_dim)
        self.layers = nn.ModuleList(
            DecoderLayer(
                dim=hidden_dim,
                num_heads=num_heads,
                feed_forward_dim=feed_forward_dim,
                layer_norm_eps=layer_norm_eps,
            )
            for _ in range(num_layers)
        )
        self.heads = PredictionHeads(
            hidden_dim=hidden_dim,
            num_classes=num_classes,
            mask_dim=mask_dim,
            layer_norm_eps=layer_norm_eps,
        )

    def forward(
        self,
        object_queries: Float[Tensor, "B N C"],
        query_positions: Float[Tensor, "N C"],
        multi_scale_features: list[Float[Tensor, "B C _h _w"]],
        mask_features: Float[Tensor, "B C_mask h w"],
        auxiliary: bool = True,
    ) -> tuple[list[MaskPrediction], Float[Tensor, "B N C"]]:
        """Refine the queries and predict.

        Args:
            object_queries: One per prediction.
            query_positions: Learned position of each query.
            multi_scale_features: Coarse to fine, strides 32, 16, 8.
            mask_features: At stride 4.
            auxiliary: Whether the predictions before the last are returned too.

        Returns:
            Predictions from the first queries and from each layer, in order (only the last one
            without `auxiliary`); the queries as they leave the last layer.
        """
        keys, values = self._image_tokens(multi_scale_features)
        sizes = [(level.shape[-2], level.shape[-1]) for level in multi_scale_features]
        resized = resize_mask_features(mask_features, sizes)

        queries, per_layer = object_queries, [object_queries]
        embeddings = [self.heads.embed_masks(queries)]
        for index, layer in enumerate(self.layers):
            level = index % NUM_LEVELS
            blocked = blocked_outside_mask(embeddings[-1], resized[level])
            queries = layer(queries, query_positions, keys[level], values[level], blocked)
            per_layer.append(queries)
            embeddings.append(self.heads.embed_masks(queries))

        first = 0 if auxiliary else len(self.layers)
        # The class head is shared, so all layers go through it as one batch.
        classes = self.heads.classify(torch.cat(per_layer[first:]))
        classes = classes.unflatten(0, (len(per_layer) - first, -1))
        predictions = [
            MaskPrediction(class_logits=c, mask_embeddings=e, mask_features=mask_features)
            for c, e in zip(classes, embeddings[first:], strict=True)
        ]
        return predictions, queries

    def _image_tokens(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        keys, values = [], []
        for level, feature in enumerate(features):
            size = (feature.shape[-2], feature.shape[-1])
            position = sine_position_encoding(size, feature.shape[1], feature.device, feature.dtype)
            value = rearrange(feature, "b c h w -> b (h w) c") + self.level_embedding.weight[level]
            values.append(value)
            key = value + rearrange(position, "1 c h w -> 1 (h w) c")
            keys.append(key.to(value.dtype))
        return keys, values
