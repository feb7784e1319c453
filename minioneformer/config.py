"""The configuration: field names and defaults of the published `config.json`.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; values of the published models.

Only `from_config` functions read a configuration: the modules themselves take plain keyword
arguments. Where a published name misleads, a property gives the plain quantity
(`num_decoder_layers` is `decoder_layers - 1`: the published field counts predictions).

Not here: presets and training recipes (`training/recipes.py`).
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STRIDES = (4, 8, 16, 32)
EMBED_STAGES = 4
POSITIVE = (
    "num_queries",
    "train_num_points",
    "task_seq_len",
    "text_encoder_width",
    "text_encoder_context_length",
    "text_encoder_num_layers",
    "text_encoder_vocab_size",
    "text_encoder_proj_layers",
    "mask_dim",
    "hidden_dim",
    "encoder_feedforward_dim",
    "num_attention_heads",
    "dim_feedforward",
    "query_dec_layers",
)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class SwinConfig:
    """Swin Transformer; defaults are Swin-T.

    Args:
        embed_dim: Channels of stage 1; doubled by each further stage.
        depths: Blocks per stage.
        num_heads: Attention heads per stage.
        window_size: Side of the attention window, in cells.
        mlp_ratio: Hidden width of a block's MLP over its channels.
        qkv_bias: Whether query, key and value projections have a bias.
        drop_path_rate: Rate of the last block; rises linearly from 0 over the blocks.
        patch_size: Side of a patch in pixels; the model needs 4.
        num_channels: Of the image.
        layer_norm_eps: Of every LayerNorm.

    Raises:
        ValueError: If the stage lists do not have four entries, a size is not positive, the
            heads do not divide the channels of their stage, or `patch_size` is not 4.
    """

    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int = 7
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    drop_path_rate: float = 0.3
    patch_size: int = 4
    num_channels: int = 3
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        _require(
            len(self.depths) == len(self.num_heads) == EMBED_STAGES,
            f"depths and num_heads need {EMBED_STAGES} entries each, "
            f"got {self.depths=}, {self.num_heads=}.",
        )
        sizes = (self.embed_dim, self.window_size, self.num_channels, self.mlp_ratio)
        _require(
            min(*sizes, *self.depths, *self.num_heads) > 0,
            f"sizes of the backbone must be > 0, got {self.embed_dim=}, {self.window_size=}, "
            f"{self.num_channels=}, {self.mlp_ratio=}, {self.depths=}, {self.num_heads=}.",
        )
        for dim, heads in zip(self.stage_dims, self.num_heads, strict=True):
            _require(dim % heads == 0, f"num_heads must divide {dim} channels, got {heads=}.")
        _require(self.patch_size == STRIDES[0], f"patch_size must be 4, got {self.patch_size=}.")

    @property
    def stage_dims(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        return tuple(self.embed_dim * 2**stage for stage in range(EMBED_STAGES))


@dataclass(frozen=True, kw_only=True)
class OneFormerConfig:
    """The whole model; defaults are the published ones.

    Args:
        backbone_config: The backbone.
        id2label: Class names by label; its length is the number of classes K.
        num_queries: N, task token included.
        no_object_weight: Weight of the no-object class in the classification loss.
        class_weight: Weight of the classification loss and cost.
        mask_weight: Weight of the mask cross-entropy loss and cost.
        dice_weight: Weight of the dice loss and cost.
        contrastive_weight: Weight of the query-text contrastive loss.
        contrastive_temperature: Initial temperature of that loss; learned.
        train_num_points: Points per mask in the mask losses and costs.
        oversample_ratio: Candidate points drawn per point kept.
        importance_sample_ratio: Share of points taken where the prediction is least sure.
        init_std: Standard deviation of the token embedding's initial values.
        layer_norm_eps: Of the LayerNorms of pixel decoder, queries, decoder and text.
        is_training: Whether the text branch is built.
        use_auxiliary_loss: Whether every decoder layer is supervised.
        task_seq_len: Tokens of the task prompt, padded.
        text_encoder_width: Channels of the text encoder.
        text_encoder_context_length: Tokens of a text, padded.
        text_encoder_num_layers: Depth of the text encoder.
        text_encoder_vocab_size: Entries of the vocabulary.
        text_encoder_proj_layers: Depth of the text projector.
        text_encoder_n_ctx: Learnable text context rows.
        conv_dim: Channels of the pixel decoder.
        mask_dim: Channels of the mask features.
        hidden_dim: Channels of queries and decoder; equals `conv_dim`.
        encoder_feedforward_dim: Hidden width of the deformable encoder's feed-forward.
        encoder_layers: Depth of the deformable encoder.
        decoder_layers: Predictions made by the decoder: its layers plus one.
        use_task_norm: Whether the task token is normalised and seeds the queries.
        num_attention_heads: Of every attention outside backbone and text encoder.
        dropout: In pixel decoder and query formulation; the masked decoder has none.
        dim_feedforward: Hidden width of the other feed-forwards.
        query_dec_layers: Depth of the query formulation.

    Raises:
        ValueError: If a size is not positive, or sizes do not fit together; the message gives
            the values.
    """

    backbone_config: SwinConfig = field(default_factory=SwinConfig)
    id2label: Mapping[int, str] = field(
        default_factory=lambda: {0: "LABEL_0", 1: "LABEL_1"}, hash=False
    )
    num_queries: int = 150
    no_object_weight: float = 0.1
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    contrastive_weight: float = 0.5
    contrastive_temperature: float = 0.07
    train_num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_sample_ratio: float = 0.75
    init_std: float = 0.02
    layer_norm_eps: float = 1e-5
    is_training: bool = False
    use_auxiliary_loss: bool = True
    task_seq_len: int = 77
    text_encoder_width: int = 256
    text_encoder_context_length: int = 77
    text_encoder_num_layers: int = 6
    text_encoder_vocab_size: int = 49408
    text_encoder_proj_layers: int = 2
    text_encoder_n_ctx: int = 16
    conv_dim: int = 256
    mask_dim: int = 256
    hidden_dim: int = 256
    encoder_feedforward_dim: int = 1024
    encoder_layers: int = 6
    decoder_layers: int = 10
    use_task_norm: bool = True
    num_attention_heads: int = 8
    dropout: float = 0.1
    dim_feedforward: int = 2048
    query_dec_layers: int = 2

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        for name in POSITIVE:
            value = getattr(self, name)
            _require(value >= 1, f"{name} must be >= 1, got {value=}.")
        _require(self.encoder_layers >= 0, f"encoder_layers >= 0, got {self.encoder_layers=}.")
        _require(
            self.conv_dim == self.hidden_dim,
            f"conv_dim must equal hidden_dim, got {self.conv_dim=}, {self.hidden_dim=}.",
        )
        _require(
            self.hidden_dim % self.num_attention_heads == 0,
            f"num_attention_heads must divide hidden_dim, "
            f"got {self.hidden_dim=}, {self.num_attention_heads=}.",
        )
        _require(
            0 <= self.text_encoder_n_ctx < self.num_queries,
            f"text_encoder_n_ctx must leave room for texts among the queries, "
            f"got {self.text_encoder_n_ctx=}, {self.num_queries=}.",
        )
        _require(self.decoder_layers >= 1, f"decoder_layers >= 1, got {self.decoder_layers=}.")
        _require(
            sorted(self.id2label) == list(range(len(self.id2label))) and len(self.id2label) > 0,
            f"id2label must map 0 .. K-1 to names, got keys {sorted(self.id2label)[:5]}...",
        )

    @property
    def num_classes(self) -> int:
        """K, without the no-object class."""
        return len(self.id2label)

    @property
    def num_text(self) -> int:
        """Texts per image: queries less the learnable context rows."""
        return self.num_queries - self.text_encoder_n_ctx

    @property
    def num_decoder_layers(self) -> int:
        """Layers of the masked decoder; the published field counts one more."""
        return self.decoder_layers - 1

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, nested."""
        values = dataclasses.asdict(self) | {"model_type": "oneformer"}
        values["backbone_config"] |= {"model_type": "swin"}
        return json.loads(json.dumps(values))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OneFormerConfig:
        """Read what `to_dict` wrote.

        Args:
            values: Field names to values.

        Raises:
            ValueError: If a field is unknown; near matches are named.
        """
        values = {k: v for k, v in values.items() if k != "model_type"}
        backbone = {k: v for k, v in values.pop("backbone_config", {}).items() if k != "model_type"}
        check_fields(SwinConfig, backbone)
        check_fields(cls, values)
        if "id2label" in values:
            values["id2label"] = {int(k): v for k, v in values["id2label"].items()}
        swin: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in backbone.items()
        }
        return cls(backbone_config=SwinConfig(**swin), **values)


def check_fields(config_class: type, values: Mapping[str, Any]) -> None:
    """Refuse names that `config_class` does not have.

    Args:
        config_class: A dataclass.
        values: Field names to values.

    Raises:
        ValueError: If a name is unknown; near matches are named.
    """
    known = [f.name for f in dataclasses.fields(config_class)]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f" Near matches: {', '.join(near)}." if near else f" Known: {', '.join(known)}."
            raise ValueError(f"unknown {config_class.__name__} field, got {name!r}.{hint}")
