"""What every configuration checks: its names, its sizes, and fields that can have one value only.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

A published `config.json` holds three kinds of fields: those that shape the model (fields of our
dataclasses), those whose value is the same in every published model and built into the code
(*fixed*: checked when read, written when saved), and those that say nothing about the model
(*bookkeeping* of the program that wrote the file).

Not here: types of the values (`field_types.py`).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

STRIDES = (4, 8, 16, 32)
"""Of the four maps of a backbone."""
STAGES = ("stage1", "stage2", "stage3", "stage4")
"""The four stages of a backbone, as published files name them."""

# Written by transformers into every configuration; none of them changes what a model computes.
BOOKKEEPING = frozenset(
    """
    _attn_implementation _attn_implementation_autoset _commit_hash _name_or_path
    _out_features _out_indices add_cross_attention architectures bad_words_ids
    begin_suppress_tokens bos_token_id chunk_size_feed_forward cross_attention_hidden_size
    decoder_start_token_id diversity_penalty do_sample dtype early_stopping
    encoder_no_repeat_ngram_size encoder_stride eos_token_id exponential_decay_length_penalty
    feature_size finetuning_task forced_bos_token_id forced_eos_token_id image_size
    initializer_range is_decoder is_encoder_decoder length_penalty max_length max_seq_len
    min_length model_type no_repeat_ngram_size num_beam_groups num_beams num_classes
    num_hidden_layers num_layers num_return_sequences num_stages out_features out_indices
    output_scores pad_token_id path_norm prefix problem_type pruned_heads
    remove_invalid_values repetition_penalty return_dict_in_generate sep_token_id stage_names
    suppress_tokens task_specific_params temperature tf_legacy_loss tie_encoder_decoder
    tie_word_embeddings tokenizer_class top_k top_p torch_dtype torchscript
    transformers_version typical_p use_bfloat16 use_cache
    """.split()
)
# A backbone inside another model has these too; the model's own are what counts.
BACKBONE_BOOKKEEPING = frozenset(
    """
    hidden_size id2label label2id num_labels output_attentions output_hidden_states return_dict
    use_return_dict
    """.split()
)


def require(condition: bool, message: str) -> None:
    """Refuse a configuration.

    Args:
        condition: What must hold.
        message: Of the error; with the values that do not fit.

    Raises:
        ValueError: If it does not hold.
    """
    if not condition:
        raise ValueError(message)


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


def take_fixed(where: str, values: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the fields that can have one value only, once it is the right one.

    Args:
        where: Names the configuration in errors.
        values: Field names to JSON values.
        fixed: The names and their only values.

    Returns:
        The other values.

    Raises:
        ValueError: If such a field has another value.
    """
    for name, only in fixed.items():
        value = values.get(name, only)
        value = list(value) if isinstance(value, tuple) else value
        require(
            value == only,
            f"{where}.{name} can only be {only!r} here, got {value!r}: no published model has "
            "another value, and the code knows no other.",
        )
    return {name: value for name, value in values.items() if name not in fixed}


def split_known(config_class: type, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Separate what a configuration knows from what it does not.

    Args:
        config_class: A dataclass.
        values: Field names to values.

    Returns:
        The values of its fields, and the other names; bookkeeping is in neither.
    """
    known = {f.name for f in dataclasses.fields(config_class)}
    others = [name for name in values if name not in known and name not in BOOKKEEPING]
    return {name: value for name, value in values.items() if name in known}, others


def check_stages(owner: str, **lists: Sequence[object]) -> None:
    """Refuse lists that do not have one entry per stage.

    Args:
        owner: Names the configuration in the error.
        **lists: By field name.

    Raises:
        ValueError: If one is shorter or longer than four.
    """
    wrong = {name: tuple(values) for name, values in lists.items() if len(values) != len(STAGES)}
    require(
        not wrong, f"{owner} needs {len(STAGES)} entries in {' and '.join(lists)}, got {wrong}."
    )


def check_positive(owner: str, **sizes: float | int) -> None:
    """Refuse sizes that are not above 0.

    Args:
        owner: Names the configuration in the error.
        **sizes: By field name.

    Raises:
        ValueError: If one is 0 or negative.
    """
    wrong = {name: size for name, size in sizes.items() if size <= 0}
    require(not wrong, f"sizes of {owner} must be > 0, got {wrong}.")
