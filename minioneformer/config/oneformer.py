"""The configuration: field names and defaults of the published `config.json`.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; values of the published models.

Only `from_config` functions read a configuration: the modules themselves take plain keyword
arguments. Where a published name misleads, a property gives the plain quantity
(`num_decoder_layers` is `decoder_layers - 1`: the published field counts predictions).

Not here: presets and training recipes (`presets/published.py`, `training/recipes.py`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from minioneformer.config.checks import (
    BACKBONE_BOOKKEEPING,
    STAGES,
    STRIDES,
    check_fields,
    require,
    split_known,
    take_fixed,
)
from minioneformer.config.convnext import ConvNextConfig
from minioneformer.config.dinat import DinatConfig
from minioneformer.config.resnet import ResNetConfig
from minioneformer.config.swin import SwinConfig

BackboneConfig: TypeAlias = SwinConfig | ConvNextConfig | DinatConfig | ResNetConfig
"""Of any backbone."""
BACKBONES: Mapping[str, type[SwinConfig | ConvNextConfig | DinatConfig | ResNetConfig]] = {
    config.model_type: config for config in (SwinConfig, ConvNextConfig, DinatConfig, ResNetConfig)
}
"""From `model_type` to the class that configures such a backbone."""
PROPERTIES = ("label2id", "hidden_size", "num_hidden_layers")  # written, never read
OWN = ("task_seeds_queries", "task_as_query")  # no published file has them
OF_BACKBONE = "backbone_config."
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


@dataclass(frozen=True, kw_only=True)
class OneFormerConfig:
    """The whole model; defaults are the published ones.

    Args:
        backbone_config: The backbone; `backbone_from_dict` makes one of a dictionary.
        id2label: Class names by label; its length is the number of classes K. Empty: names are
            made up for `num_labels` classes.
        num_labels: K; None is the length of `id2label`, or 2.
        ignore_value: Label of pixels without a class in the annotations a model was made for;
            carried along, because published files hold it: nothing here reads it.
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
        output_auxiliary_logits: Whether the documented classes return the earlier predictions.
        output_hidden_states: Whether the documented classes return feature maps unasked.
        output_attentions: Whether the documented classes return attention weights unasked.
        return_dict: Whether the documented classes return an object; otherwise a tuple.
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
        task_seeds_queries: Whether the queries start as copies of the (normalised) task token;
            otherwise as zeros. Not a published field, as the next one: for ablations, and in files
            only when off.
        task_as_query: Whether the task token is the last query. With both off, the model is not
            told which task is wanted.
        num_attention_heads: Of every attention outside backbone and text encoder.
        dropout: In pixel decoder and query formulation; the masked decoder has none.
        dim_feedforward: Hidden width of the other feed-forwards.
        query_dec_layers: Depth of the query formulation.

    Raises:
        ValueError: If a size is not positive, or sizes do not fit together; the message gives
            the values.
    """

    model_type: ClassVar[str] = "oneformer"
    fixed: ClassVar[Mapping[str, Any]] = {
        "strides": list(STRIDES),
        "common_stride": STRIDES[0],
        "norm": "GN",
        "pre_norm": False,
        "enforce_input_proj": False,
        "init_xavier_std": 1.0,
    }

    backbone_config: BackboneConfig = field(default_factory=SwinConfig)
    id2label: Mapping[int, str] = field(default_factory=dict, hash=False)
    num_labels: int | None = None
    ignore_value: int = 255
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
    output_auxiliary_logits: bool = True
    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True
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
    task_seeds_queries: bool = True
    task_as_query: bool = True
    num_attention_heads: int = 8
    dropout: float = 0.1
    dim_feedforward: int = 2048
    query_dec_layers: int = 2

    def __post_init__(self) -> None:
        """Fill in what follows from other fields; refuse sizes that do not fit together."""
        self._name_classes()
        for name in POSITIVE:
            value = getattr(self, name)
            require(value >= 1, f"{name} must be >= 1, got {value=}.")
        require(self.encoder_layers >= 0, f"encoder_layers >= 0, got {self.encoder_layers=}.")
        require(
            self.conv_dim == self.hidden_dim,
            f"conv_dim must equal hidden_dim, got {self.conv_dim=}, {self.hidden_dim=}.",
        )
        require(
            self.hidden_dim % self.num_attention_heads == 0,
            f"num_attention_heads must divide hidden_dim, "
            f"got {self.hidden_dim=}, {self.num_attention_heads=}.",
        )
        require(
            0 <= self.text_encoder_n_ctx < self.num_queries,
            f"text_encoder_n_ctx must leave room for texts among the queries, "
            f"got {self.text_encoder_n_ctx=}, {self.num_queries=}.",
        )
        require(self.decoder_layers >= 1, f"decoder_layers >= 1, got {self.decoder_layers=}.")
        weight = self.contrastive_weight
        require(weight >= 0, f"contrastive_weight must be >= 0, got {weight=}: 0 is without it.")

    def _name_classes(self) -> None:
        """Make names and number of the classes agree."""
        if not self.id2label:
            count = 2 if self.num_labels is None else self.num_labels
            names = {label: f"LABEL_{label}" for label in range(count)}
            object.__setattr__(self, "id2label", names)
        require(
            sorted(self.id2label) == list(range(len(self.id2label))) and len(self.id2label) > 0,
            f"id2label must map 0 .. K-1 to names, got keys {sorted(self.id2label)[:5]}...",
        )
        require(
            self.num_labels in (None, len(self.id2label)),
            f"num_labels must be the number of names in id2label, got {self.num_labels=}, "
            f"{len(self.id2label)=}. Leave one of them out.",
        )
        object.__setattr__(self, "num_labels", len(self.id2label))

    @property
    def num_classes(self) -> int:
        """K, without the no-object class."""
        return len(self.id2label)

    @property
    def label2id(self) -> dict[str, int]:
        """Label of each class name."""
        return {name: label for label, name in self.id2label.items()}

    @property
    def hidden_size(self) -> int:
        """Another published name of `hidden_dim`."""
        return self.hidden_dim

    @property
    def num_hidden_layers(self) -> int:
        """Another published name of `decoder_layers`."""
        return self.decoder_layers

    @property
    def num_text(self) -> int:
        """Texts per image: queries less the learnable context rows."""
        return self.num_queries - self.text_encoder_n_ctx

    @property
    def num_decoder_layers(self) -> int:
        """Layers of the masked decoder; the published field counts one more."""
        return self.decoder_layers - 1

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, nested, as a published `config.json` holds them."""
        values = dataclasses.asdict(self)
        backbone = values["backbone_config"] | self.backbone_config.fixed
        values["backbone_config"] = backbone | {
            "model_type": self.backbone_config.model_type,
            "out_features": STAGES,
        }
        values |= self.fixed
        values |= {"model_type": self.model_type, "label2id": self.label2id}
        del values["num_labels"]  # follows from id2label
        values = {k: v for k, v in values.items() if not (k in OWN and v)}
        return json.loads(json.dumps(values))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OneFormerConfig:
        """Read what `to_dict` wrote.

        Args:
            values: Field names to values.

        Raises:
            ValueError: If a field is unknown (near matches are named), or a value is one that no
                published model has and the code does not know.
        """
        config, unknown = cls.from_published(values)
        for name in unknown:
            owner = type(config.backbone_config) if name.startswith(OF_BACKBONE) else cls
            check_fields(owner, {name.removeprefix(OF_BACKBONE): None})
        return config

    @classmethod
    def from_published(cls, values: Mapping[str, Any]) -> tuple[OneFormerConfig, list[str]]:
        """Read a `config.json` that another program may have written.

        Args:
            values: Field names to values.

        Returns:
            The configuration, and the names of fields that mean nothing here, those of the
            backbone after `backbone_config.`. Bookkeeping of the program is not among them.

        Raises:
            ValueError: If a value is one that no published model has and the code does not know,
                or values do not fit together.
        """
        model_type = values.get("model_type", cls.model_type)
        require(
            model_type == cls.model_type,
            f"model_type must be {cls.model_type!r}, got {model_type!r}: another model.",
        )
        values = take_fixed("OneFormerConfig", values, cls.fixed)
        values = {k: v for k, v in values.items() if k not in PROPERTIES}
        known, unknown = split_known(cls, values)
        given = known.get("backbone_config") or {"drop_path_rate": 0.3}
        if isinstance(given, Mapping):
            known["backbone_config"], others = _read_backbone(given)
            unknown += [f"{OF_BACKBONE}{name}" for name in others]
        if known.get("id2label"):
            known["id2label"] = {int(label): name for label, name in known["id2label"].items()}
        return cls(**known), unknown


def backbone_from_dict(values: Mapping[str, Any]) -> BackboneConfig:
    """Read the configuration of a backbone.

    Args:
        values: Field names to values; `model_type` says which backbone, Swin without it.

    Raises:
        ValueError: If there is no such backbone, a field is unknown (near matches are named), or
            a value is one that the code does not know.
    """
    config, unknown = _read_backbone(values)
    check_fields(type(config), dict.fromkeys(unknown))
    return config


def _read_backbone(values: Mapping[str, Any]) -> tuple[BackboneConfig, list[str]]:
    name = values.get("model_type", SwinConfig.model_type)
    require(name in BACKBONES, f"model_type must be one of {', '.join(BACKBONES)}, got {name!r}.")
    config_class = BACKBONES[name]
    known, unknown = split_known(
        config_class, take_fixed(config_class.__name__, values, config_class.fixed)
    )
    unknown = [field for field in unknown if field not in BACKBONE_BOOKKEEPING]
    # subtle: ConvNeXt files hold a `layer_norm_eps` for a norm that the backbone does not have.
    if config_class is ConvNextConfig and "layer_norm_eps" in unknown:
        unknown.remove("layer_norm_eps")
    return config_class(**{k: _as_tuple(v) for k, v in known.items()}), unknown


def _as_tuple(value: Any) -> Any:
    """JSON has no tuples."""
    return tuple(_as_tuple(entry) for entry in value) if isinstance(value, list) else value
