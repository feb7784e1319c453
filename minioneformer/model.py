"""OneFormer: its forward is Figure 2, top to bottom.

Paper: OneFormer (arXiv 2211.06220), Sec. 3; Figure 2, all boxes.

Tensors in, named intermediates out.

Not here: tokenizing (`text/`), losses (`losses/`), post-processing (`inference/`).
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from minioneformer.backbone.build import build_backbone
from minioneformer.config import OneFormerConfig
from minioneformer.decoder.transformer_decoder import TransformerDecoder
from minioneformer.pixel_decoder.pixel_decoder import PixelDecoder
from minioneformer.queries.query_formulation import QueryFormulation
from minioneformer.structures import MaskPrediction
from minioneformer.text.task_mlp import TaskMLP
from minioneformer.text.text_encoder import TextEncoder
from minioneformer.text.text_mapper import TextMapper


@dataclass(frozen=True, kw_only=True, slots=True)
class OneFormerOutput:
    """Every arrow of Figure 2 by name.

    Args:
        features: Backbone maps "res2" to "res5", strides 4 to 32.
        multi_scale_features: From the pixel decoder, strides 32, 16, 8.
        mask_features: From the pixel decoder, stride 4.
        task_token: From the task MLP, before any normalisation.
        object_queries: Before the decoder; the last row is the (normalised) task token, unless
            `task_as_query` is off.
        text_queries: From the text mapper; None without text tokens.
        decoder_queries: As they leave the last decoder layer.
        predictions: Of the last decoder layer: the result.
        auxiliary: From the first queries and after each layer before the last; empty if they
            were not asked for.
    """

    features: dict[str, Tensor]
    multi_scale_features: list[Tensor]
    mask_features: Float[Tensor, "B C_mask h w"]
    task_token: Float[Tensor, "B C"]
    object_queries: Float[Tensor, "B N C"]
    text_queries: Float[Tensor, "B N C"] | None
    decoder_queries: Float[Tensor, "B N C"]
    predictions: MaskPrediction
    auxiliary: list[MaskPrediction]


class OneFormer(nn.Module):
    """One model for semantic, instance and panoptic segmentation; a task token says which.

    Args:
        backbone: Image to "res2" ... "res5".
        pixel_decoder: Those to mask features and multi-scale features.
        task_mlp: Task tokens to the task token.
        query_formulation: Task token and mask features to object queries.
        transformer_decoder: Queries to classes and masks.
        num_queries: N, task token included.
        hidden_dim: Channels C of the queries.
        text_mapper: Texts to text queries; None when the model will not be trained.
        use_task_norm: Whether the task token passes the decoder's normalisation before it
            seeds the queries.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        pixel_decoder: PixelDecoder,
        task_mlp: TaskMLP,
        query_formulation: QueryFormulation,
        transformer_decoder: TransformerDecoder,
        num_queries: int,
        hidden_dim: int,
        text_mapper: TextMapper | None = None,
        use_task_norm: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pixel_decoder = pixel_decoder
        self.task_mlp = task_mlp
        self.query_positions = nn.Embedding(num_queries, hidden_dim)
        self.query_formulation = query_formulation
        self.text_mapper = text_mapper
        self.transformer_decoder = transformer_decoder
        self.use_task_norm = use_task_norm
        if not query_formulation.reads_task:
            task_mlp.requires_grad_(False)  # nothing would train it: no gradient to wait for

    def forward(
        self,
        images: Float[Tensor, "B 3 H W"],
        task_tokens: Int[Tensor, "B T"],
        text_tokens: Int[Tensor, "B N_text T_text"] | None = None,
        auxiliary: bool = True,
    ) -> OneFormerOutput:
        """Segment images for their tasks.

        Args:
            images: Normalised RGB; any size (the original pads to multiples of 32).
            task_tokens: Token ids of the task prompts.
            text_tokens: Token ids of the padded text lists, in training only.
            auxiliary: Whether the decoder's earlier predictions are returned too.

        Returns:
            Predictions and every intermediate.

        Raises:
            ValueError: If text tokens are given to a model without a text mapper.
        """
        # (a) Multi-Scale Feature Modeling
        features = self.backbone(images)
        mask_features, multi_scale_features = self.pixel_decoder(features)

        # (b) Unified Task-Conditioned Query Formulation
        task_token, object_queries, text_queries = self._formulate(
            mask_features, task_tokens, text_tokens
        )

        # (c) Task-Dynamic Mask and Class Prediction Formation
        positions = self.query_positions.weight
        predictions, decoder_queries = self.transformer_decoder(
            object_queries, positions, multi_scale_features, mask_features, auxiliary
        )

        return OneFormerOutput(
            features=features,
            multi_scale_features=multi_scale_features,
            mask_features=mask_features,
            task_token=task_token,
            object_queries=object_queries,
            text_queries=text_queries,
            decoder_queries=decoder_queries,
            predictions=predictions[-1],
            auxiliary=predictions[:-1],
        )

    def formulate_queries(
        self,
        images: Float[Tensor, "B 3 H W"],
        task_tokens: Int[Tensor, "B T"],
        text_tokens: Int[Tensor, "B N_text T_text"] | None,
    ) -> tuple[Float[Tensor, "B N C"], Float[Tensor, "B N C"] | None]:
        """Object queries and text queries, without the decoder: what the contrastive loss compares.

        Args:
            images: As for `forward`.
            task_tokens: As for `forward`.
            text_tokens: As for `forward`.

        Returns:
            Both as `forward` gives them.

        Raises:
            ValueError: As `forward`.
        """
        mask_features, _ = self.pixel_decoder(self.backbone(images))
        _, object_queries, text_queries = self._formulate(mask_features, task_tokens, text_tokens)
        return object_queries, text_queries

    def _formulate(
        self, mask_features: Tensor, task_tokens: Tensor, text_tokens: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Task token, object queries, text queries."""
        task_token = self.task_mlp(task_tokens)
        seed = self.transformer_decoder.heads.norm(task_token) if self.use_task_norm else task_token
        object_queries = self.query_formulation(seed, mask_features, self.query_positions.weight)
        text_queries = None if text_tokens is None else self._map_texts(text_tokens)
        return task_token, object_queries, text_queries

    def _map_texts(self, text_tokens: Tensor) -> Tensor:
        if self.text_mapper is None:
            raise ValueError(
                f"this model has no text mapper, got text_tokens of shape "
                f"{tuple(text_tokens.shape)}. Build it with is_training=True, or leave them out."
            )
        return self.text_mapper(text_tokens)

    @classmethod
    def from_config(cls, config: OneFormerConfig, *, checkpoint_blocks: bool = False) -> OneFormer:
        """Build a model with random weights.

        Args:
            config: The published field names.
            checkpoint_blocks: Whether the backbone recomputes each block in the backward pass:
                less memory, same gradients, one more forward.

        Returns:
            The model, in training mode, with a text mapper if `config.is_training`.
        """
        backbone = build_backbone(config.backbone_config, checkpoint_blocks=checkpoint_blocks)
        return cls(
            backbone=backbone,
            pixel_decoder=PixelDecoder(
                in_channels=backbone.out_channels,
                hidden_dim=config.conv_dim,
                mask_dim=config.mask_dim,
                num_layers=config.encoder_layers,
                num_heads=config.num_attention_heads,
                feed_forward_dim=config.encoder_feedforward_dim,
                dropout=config.dropout,
                layer_norm_eps=config.layer_norm_eps,
            ),
            task_mlp=TaskMLP(context_length=config.task_seq_len, hidden_dim=config.hidden_dim),
            query_formulation=QueryFormulation(
                hidden_dim=config.hidden_dim,
                mask_dim=config.mask_dim,
                num_heads=config.num_attention_heads,
                num_layers=config.query_dec_layers,
                feed_forward_dim=config.dim_feedforward,
                dropout=config.dropout,
                seed_with_task=config.use_task_norm and config.task_seeds_queries,
                append_task=config.task_as_query,
                layer_norm_eps=config.layer_norm_eps,
            ),
            transformer_decoder=TransformerDecoder(
                hidden_dim=config.hidden_dim,
                num_heads=config.num_attention_heads,
                feed_forward_dim=config.dim_feedforward,
                num_layers=config.num_decoder_layers,
                num_classes=config.num_classes,
                mask_dim=config.mask_dim,
                layer_norm_eps=config.layer_norm_eps,
            ),
            num_queries=config.num_queries,
            hidden_dim=config.hidden_dim,
            text_mapper=_build_text_mapper(config) if config.is_training else None,
            use_task_norm=config.use_task_norm,
        )


def _build_text_mapper(config: OneFormerConfig) -> TextMapper:
    encoder = TextEncoder(
        vocab_size=config.text_encoder_vocab_size,
        context_length=config.text_encoder_context_length,
        width=config.text_encoder_width,
        num_layers=config.text_encoder_num_layers,
        layer_norm_eps=config.layer_norm_eps,
        init_std=config.init_std,
    )
    return TextMapper(
        encoder=encoder,
        num_text_context=config.text_encoder_n_ctx,
        hidden_dim=config.hidden_dim,
        proj_layers=config.text_encoder_proj_layers,
    )
