"""The documented models: what goes in, what comes out, and what is refused.

Mutants that must fail: hidden states in another order; the loss of the last layer alone; the
texts not passed on; a switch of the configuration ignored; the criterion not saved.
"""

import dataclasses
import functools

import pytest
import torch

from minioneformer.config import OneFormerConfig, SwinConfig
from minioneformer.hf.image_processor import OneFormerImageProcessor
from minioneformer.hf.modeling import (
    OneFormerForUniversalSegmentation,
    OneFormerModel,
    _target,
)

CONFIG = OneFormerConfig(
    backbone_config=SwinConfig(
        embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=3, drop_path_rate=0.0
    ),
    num_labels=3,
    num_queries=7,
    text_encoder_n_ctx=2,
    text_encoder_num_layers=1,
    text_encoder_width=64,
    text_encoder_vocab_size=50,
    conv_dim=32,
    hidden_dim=32,
    mask_dim=12,
    encoder_feedforward_dim=16,
    dim_feedforward=20,
    encoder_layers=1,
    decoder_layers=3,
    query_dec_layers=1,
    num_attention_heads=4,
    train_num_points=60,
    dropout=0.0,
)
HEIGHT, WIDTH = 37, 66
INPUTS = {
    "pixel_values": torch.randn(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)),
    "task_inputs": torch.tensor([[48, 3, 49] + [0] * 74, [48, 5, 49] + [0] * 74]),
}
TEXTS = torch.tensor([48, 7, 49]).repeat(2, 5, 1)
LABELS = {
    "mask_labels": [torch.ones(1, HEIGHT, WIDTH), torch.zeros(0, HEIGHT, WIDTH)],
    "class_labels": [torch.tensor([2]), torch.zeros(0, dtype=torch.long)],
}


def build(**changes) -> OneFormerForUniversalSegmentation:
    return OneFormerForUniversalSegmentation(dataclasses.replace(CONFIG, **changes)).eval()


def test_the_published_fields_in_the_published_order():
    output = build()(**INPUTS)
    assert output.keys() == (
        "class_queries_logits",
        "masks_queries_logits",
        "auxiliary_predictions",
        "encoder_hidden_states",
        "pixel_decoder_hidden_states",
        "transformer_decoder_hidden_states",
        "transformer_decoder_object_queries",
        "transformer_decoder_contrastive_queries",
        "transformer_decoder_mask_predictions",
        "transformer_decoder_class_predictions",
        "transformer_decoder_auxiliary_predictions",
        "task_token",
        "attentions",
    )
    assert output.class_queries_logits.shape == (2, 7, 4)
    assert output.masks_queries_logits.shape == (2, 7, 10, 17)  # sides over 4, rounded up
    assert [tuple(level.shape) for level in output.encoder_hidden_states] == [
        (2, 8, 10, 17),
        (2, 16, 5, 9),
        (2, 32, 3, 5),
        (2, 64, 2, 3),
    ]
    assert [tuple(level.shape[1:]) for level in output.pixel_decoder_hidden_states] == [
        (12, 10, 17),
        (32, 2, 3),
        (32, 3, 5),
        (32, 5, 9),
    ]
    assert output.transformer_decoder_object_queries.shape == (2, 7, 32)
    assert output.task_token.shape == (2, 32)
    assert output.attentions == ((), ())
    assert len(output.auxiliary_predictions) == 2
    assert output.auxiliary_predictions[0]["masks_queries_logits"].shape == (2, 7, 10, 17)


def test_fields_go_by_name_key_and_position():
    output = build()(**INPUTS)
    assert output["task_token"] is output.task_token
    assert output[0] is output.class_queries_logits
    assert output[:2] == output.to_tuple()[:2]
    assert list(output) == list(output.keys())
    assert "loss" not in output.keys()
    with pytest.raises(KeyError, match="no such output, got 'loss'. There are: class_queries"):
        output["loss"]


def test_the_bare_model_returns_hidden_states_only_if_asked():
    model = OneFormerModel(CONFIG).eval()
    plain, asked = model(**INPUTS), model(**INPUTS, output_hidden_states=True)
    assert plain.encoder_hidden_states is None
    assert plain.transformer_decoder_hidden_states is None
    assert len(asked.encoder_hidden_states) == len(asked.pixel_decoder_hidden_states) == 4
    assert len(asked.transformer_decoder_hidden_states) == 2
    torch.testing.assert_close(
        plain.transformer_decoder_class_predictions, asked.transformer_decoder_class_predictions
    )


def test_attention_weights_are_shares_and_follow_the_masks():
    output = build()(**INPUTS, output_attentions=True)
    assert len(output.attentions) == 2
    for (own, cross), cells in zip(output.attentions, (2 * 3, 3 * 5), strict=True):
        assert own.shape == (2, 4, 7, 7)
        assert cross.shape == (2, 7, cells)
        torch.testing.assert_close(own.sum(-1), torch.ones(2, 4, 7))
        torch.testing.assert_close(cross.sum(-1), torch.ones(2, 7))


@pytest.mark.parametrize(
    ("changes", "arguments", "absent"),
    [
        ({"output_auxiliary_logits": False}, {}, "auxiliary_predictions"),
        ({}, {"output_auxiliary_logits": False}, "auxiliary_predictions"),
        ({"use_auxiliary_loss": False}, {}, "transformer_decoder_auxiliary_predictions"),
        ({"use_auxiliary_loss": False}, {}, "encoder_hidden_states"),
    ],
)
def test_what_is_not_asked_for_is_absent(changes, arguments, absent):
    output = build(**changes)(**INPUTS, **arguments)
    assert getattr(output, absent) is None
    assert absent not in output.keys()


def test_the_configuration_decides_where_the_call_does_not():
    model = build(use_auxiliary_loss=False, output_hidden_states=True, output_attentions=True)
    output = model(**INPUTS)
    assert output.encoder_hidden_states is not None and len(output.attentions[0]) == 2
    output = model(**INPUTS, output_hidden_states=False, output_attentions=False)
    assert output.encoder_hidden_states is None and output.attentions[0] == ()
    assert isinstance(build(return_dict=False)(**INPUTS), tuple)


def test_the_loss_is_the_sum_of_the_criterion_and_has_one_entry():
    model = build(is_training=True)
    torch.manual_seed(3)
    output = model(**INPUTS, text_inputs=TEXTS, **LABELS)
    assert output.loss.shape == (1,) and output.text_queries.shape == (2, 7, 32)
    torch.manual_seed(3)
    named = model.model.oneformer(INPUTS["pixel_values"], INPUTS["task_inputs"], TEXTS)
    targets = [_target(*pair) for pair in zip(*LABELS.values(), strict=True)]
    losses = model.criterion(
        [*named.auxiliary, named.predictions], targets, named.object_queries, named.text_queries
    )
    assert len(losses) == 3 * 3 + 1
    torch.testing.assert_close(output.loss[0], sum(losses.values()))
    output.loss.backward()


def test_a_tuple_with_labels_begins_with_the_loss():
    torch.manual_seed(3)
    loss, *rest = build()(**INPUTS, **LABELS, return_dict=False)
    assert loss.shape == (1,)
    assert rest[0].shape == (2, 7, 4)


def test_no_image_needs_an_object():
    empty = {
        "mask_labels": [torch.zeros(0, HEIGHT, WIDTH)] * 2,
        "class_labels": [torch.zeros(0, dtype=torch.long)] * 2,
    }
    loss = build()(**INPUTS, **empty).loss
    loss.backward()
    assert torch.isfinite(loss).all()


def test_the_pixel_mask_changes_nothing_and_is_handed_on():
    model = build()
    mask = torch.ones(2, HEIGHT, WIDTH, dtype=torch.int64)
    mask[1, 20:] = 0
    plain, masked = model(**INPUTS), model(**INPUTS, pixel_mask=mask)
    assert masked.pixel_mask is mask and plain.pixel_mask is None
    assert torch.equal(plain.masks_queries_logits, masked.masks_queries_logits)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS | {"class_labels": None}, "for every image, got 2 and None"),
        (LABELS | {"mask_labels": None}, "for every image, got None and 2"),
        (LABELS | {"class_labels": LABELS["class_labels"][:1]}, "got 2 and 1"),
        (LABELS | {"mask_labels": [torch.ones(HEIGHT, WIDTH)] * 2}, r"masks \(M, H, W\)"),
        (LABELS | {"mask_labels": [torch.full((1, HEIGHT, WIDTH), 255.0)] * 2}, "0 or 1, got .255"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        build()(**INPUTS, **labels)


def test_texts_need_a_text_branch():
    with pytest.raises(ValueError, match="no text mapper.*is_training=True"):
        build()(**INPUTS, text_inputs=TEXTS)


def test_saved_and_read_it_answers_the_same(tmp_path):
    model = build(is_training=True)
    with torch.no_grad():
        model.criterion.log_inverse_temperature.fill_(1.5)
    assert model.save_pretrained(tmp_path / "model") == tmp_path / "model"
    again, report = OneFormerForUniversalSegmentation.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert again.config == model.config and report.complete and not again.training
    assert again.criterion.log_inverse_temperature.item() == 1.5
    torch.testing.assert_close(again(**INPUTS).to_tuple()[:2], model(**INPUTS).to_tuple()[:2])
    bare = OneFormerModel.from_pretrained(tmp_path / "model", is_training=False)
    torch.testing.assert_close(
        bare(**INPUTS).transformer_decoder_mask_predictions, model(**INPUTS).masks_queries_logits
    )
    bare.save_pretrained(tmp_path / "bare", max_shard_size=20_000)
    assert len(list((tmp_path / "bare").glob("*.safetensors"))) > 1
    once_more, report = OneFormerModel.from_pretrained(
        tmp_path / "bare", output_loading_info=True, dtype=torch.float64
    )
    assert report.complete and once_more.oneformer.query_positions.weight.dtype == torch.float64


def test_other_classes_need_an_explicit_word(tmp_path):
    folder = build().save_pretrained(tmp_path)
    labels = {0: "a", 1: "b"}
    with pytest.raises(ValueError, match="of 3 classes and the model of 2"):
        OneFormerForUniversalSegmentation.from_pretrained(folder, id2label=labels)
    with pytest.warns(UserWarning, match="another number of classes, initialised anew"):
        model = OneFormerForUniversalSegmentation.from_pretrained(
            folder, id2label=labels, label2id={"a": 0, "b": 1}, ignore_mismatched_sizes=True
        )
    assert model.config.id2label == labels
    assert model(**INPUTS).class_queries_logits.shape == (2, 7, 3)


def test_a_text_branch_that_is_not_in_the_file_starts_anew_with_a_warning(tmp_path):
    folder = build().save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="not in the file, initialised anew"):
        model = OneFormerForUniversalSegmentation.from_pretrained(folder, is_training=True)
    assert model(**INPUTS, text_inputs=TEXTS).text_queries is not None


def test_unknown_overrides_are_refused(tmp_path):
    folder = build().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="got 'num_query'. Near matches: num_queries"):
        OneFormerForUniversalSegmentation.from_pretrained(folder, num_query=3)


def test_checkpointing_changes_no_gradient():
    gradients = []
    for enable in (False, True):
        torch.manual_seed(0)
        model = build()
        if enable:
            model.gradient_checkpointing_enable()
        model.train()
        torch.manual_seed(1)
        model(**INPUTS, **LABELS).loss.backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and gradients[0]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)
    assert all(stage.checkpoint_blocks for stage in model.model.oneformer.backbone.stages)


def test_post_processing_cuts_off_the_padding_that_the_model_was_told_of():
    model, processor = build(), OneFormerImageProcessor()
    mask = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.int64)
    mask[0] = 1
    mask[1, :20, :30] = 1
    sizes = [(HEIGHT, WIDTH), (20, 30)]
    with torch.no_grad():
        told = model(**INPUTS, pixel_mask=mask)
        untold = model(**INPUTS)
    decode = functools.partial(
        processor.post_process_semantic_segmentation,
        target_sizes=sizes,
        return_segmentation_scores=True,
    )
    found, expected = decode(told)[1], decode(untold, pixel_mask=mask)[1]
    stretched = decode(untold)[1].segmentation_scores
    assert torch.equal(found.segmentation_scores, expected.segmentation_scores)
    assert not torch.allclose(found.segmentation_scores, stretched)
