"""`torch.export` of the logits: the program is the model, at every size that it accepts.

Mutants that must fail: a branch on the size that the recording keeps (`DENSE_MAX_CELLS`, padding of
windows, one window only); rows that forbid everything left closed; a check that accepts nan.
"""

import dataclasses

import pytest
import torch
from torch.func import functional_call

from minioneformer import OneFormer, OneFormerConfig, SwinConfig
from minioneformer.config import ConvNextConfig, DinatConfig
from minioneformer.export.graph import (
    LogitsGraph,
    check_against_model,
    check_sizes,
    example_inputs,
    export_program,
    record_program,
    relative_error,
)


def tiny_config() -> OneFormerConfig:
    return OneFormerConfig(
        backbone_config=SwinConfig(
            embed_dim=8, depths=(2, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=12
        ),
        id2label={0: "a", 1: "b", 2: "c"},
        num_queries=6,
        is_training=False,
        task_seq_len=7,
        text_encoder_n_ctx=1,
        conv_dim=32,
        mask_dim=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        encoder_layers=1,
        decoder_layers=3,
        num_attention_heads=2,
        dim_feedforward=32,
        query_dec_layers=1,
    )


def tiny_model() -> OneFormer:
    torch.manual_seed(0)
    return OneFormer.from_config(tiny_config()).eval()


@pytest.fixture(scope="module")
def model() -> OneFormer:
    return tiny_model()


@pytest.fixture(scope="module")
def dynamic(model):
    return record_program(model, image_size=(96, 64), dynamic=True).module()


def errors(run, model, size, batch=1):
    inputs = example_inputs(model, size, batch=batch)
    with torch.no_grad():
        pairs = zip(run(*inputs), LogitsGraph(model)(*inputs), strict=True)
        return [relative_error(got, wanted) for got, wanted in pairs]


def test_a_fixed_program_is_the_model(model):
    exported = export_program(model, image_size=(96, 64))
    assert exported.agreement.image_sizes == ((96, 64),)
    assert exported.agreement.max_relative_error < 1e-5
    with pytest.raises((RuntimeError, AssertionError), match=r"96|64"):
        exported.program.module()(*example_inputs(model, (64, 96)))


@pytest.mark.parametrize(
    ("size", "batch"),
    [((64, 64), 1), ((64, 96), 3), ((96, 64), 2), ((160, 320), 1), ((352, 96), 1), ((192, 224), 2)],
)
def test_a_dynamic_program_is_the_model_at_any_size(model, dynamic, size, batch):
    """From one window in every stage to several, with and without padding of windows."""
    assert max(errors(dynamic, model, size, batch)) < 1e-5


def test_a_dynamic_program_opens_rows_that_forbid_everything(dynamic):
    """Every mask empty: without the rule nothing would be read, or nan."""
    changed = LogitsGraph(tiny_model())
    with torch.no_grad():
        changed.model.pixel_decoder.mask_projection.weight.zero_()
        changed.model.pixel_decoder.mask_projection.bias.fill_(1.0)
        changed.model.transformer_decoder.heads.mask_head.layers[-1].bias.fill_(-10.0)
    inputs = example_inputs(changed.model, (64, 96))
    with torch.no_grad():
        wanted = changed(*inputs)
        got = functional_call(dynamic, dict(changed.named_parameters()), inputs)
    assert (wanted[1] < 0).all()  # every mask is empty, so every row is opened
    assert max(relative_error(g, w) for g, w in zip(got, wanted, strict=True)) < 1e-5


def test_a_dynamic_program_refuses_sides_that_32_does_not_divide(model, dynamic):
    with pytest.raises((RuntimeError, AssertionError), match=r"32|Guard"):
        dynamic(*example_inputs(model, (80, 64)))


@pytest.mark.parametrize(
    ("size", "dynamic", "smallest"), [((64, 65), False, 32), ((32, 64), True, 64)]
)
def test_sides_that_do_not_fit_are_refused(model, size, dynamic, smallest):
    with pytest.raises(ValueError, match=rf"at least {smallest}, got image_size=\(\d+, \d+\)"):
        export_program(model, image_size=size, dynamic=dynamic)


def test_convnext_can_be_exported_for_any_size():
    backbone = ConvNextConfig(hidden_sizes=(8, 8, 16, 16), depths=(1, 1, 1, 1))
    config = dataclasses.replace(tiny_config(), backbone_config=backbone, decoder_layers=1)
    exported = export_program(
        OneFormer.from_config(config).eval(), image_size=(96, 64), dynamic=True
    )
    assert exported.agreement.max_relative_error < 1e-5


def test_dinat_is_exported_for_one_size_only():
    config = dataclasses.replace(tiny_config(), backbone_config=DinatConfig())
    with pytest.raises(ValueError, match="DiNAT .* fixed size only, got dynamic=True"):
        record_program(OneFormer.from_config(config).eval(), image_size=(64, 64), dynamic=True)


def test_a_model_in_training_is_refused():
    with pytest.raises(ValueError, match="training=True"):
        export_program(tiny_model().train(), image_size=(64, 64))


def test_logits_that_are_not_the_models_are_refused(model):
    def run(images, task_tokens):
        classes, masks = LogitsGraph(model)(images, task_tokens)
        return classes, masks + 0.01 * masks.abs().max()

    with pytest.raises(RuntimeError, match="not the model's, got .*mask_error=0.01"):
        check_against_model(run, model, [(64, 64)])


def test_logits_that_are_not_finite_are_refused(model):
    def run(images, task_tokens):
        classes, masks = LogitsGraph(model)(images, task_tokens)
        return classes * torch.nan, masks

    with pytest.raises(RuntimeError, match="class_error=nan"):
        check_against_model(run, model, [(64, 64)])


def test_one_image_that_agrees_is_enough(model):
    """The first image meets a decision on the border; a wrong graph would be wrong again."""
    calls = []

    def run(images, task_tokens):
        calls.append(images)
        classes, masks = LogitsGraph(model)(images, task_tokens)
        return classes + (len(calls) == 1), masks

    agreement = check_against_model(run, model, [(64, 64), (64, 96)])
    assert agreement.set_aside == 1
    assert agreement.max_relative_error == 0.0
    assert not torch.equal(calls[0], calls[1])


def test_a_relative_error_by_hand():
    assert relative_error(torch.tensor([1.0, 4.1]), torch.tensor([1.0, 4.0])) == pytest.approx(
        0.025
    )
    assert relative_error(torch.zeros(2), torch.zeros(2)) == 0.0


def test_a_dynamic_export_is_checked_at_one_window_and_beyond_what_was_asked():
    assert check_sizes((96, 64), dynamic=False) == ((96, 64),)
    assert check_sizes((96, 64), dynamic=True) == ((96, 64), (64, 96), (128, 128))
