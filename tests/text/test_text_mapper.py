"""Text mapper: the shortcuts (distinct texts, cut after the last end) change nothing.

Mutants that must fail here: context first; rows gathered in sorted order; cut before the last end;
one projector layer too few.
"""

import pytest
import torch

from minioneformer.text.text_encoder import TextEncoder
from minioneformer.text.text_mapper import TextMapper

END = 19


def tiny_mapper(num_text_context=2, **changes):
    encoder = TextEncoder(vocab_size=20, context_length=9, width=12, num_layers=2, num_heads=2)
    sizes = {"encoder": encoder, "num_text_context": num_text_context, "hidden_dim": 10}
    return TextMapper(**(sizes | changes)).double()


def random_texts(rng, num_images=3, num_text=5, length=9):
    """Few distinct texts, so that most rows repeat; rubbish after the end."""
    texts = torch.randint(0, 18, (4, length), generator=rng)
    texts[:, 0] = 18
    texts[torch.arange(4), torch.tensor([1, 3, 2, 5])] = END
    return texts[torch.randint(0, 4, (num_images, num_text), generator=rng)]


def naive(mapper, text_tokens):
    images = [
        torch.cat([*(mapper.projector(mapper.encoder(text[None])) for text in texts),
                   *([] if mapper.text_context is None else [mapper.text_context.weight])])
        for texts in text_tokens
    ]  # fmt: skip
    return torch.stack(images)


@pytest.mark.parametrize("num_text_context", [0, 2])
def test_values_and_gradients_equal_the_naive_path(rng, num_text_context):
    mapper = tiny_mapper(num_text_context)
    text_tokens = random_texts(rng)
    weights = torch.randn(3, 5 + num_text_context, 10, generator=rng).double()

    expected = naive(mapper, text_tokens)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), mapper.parameters())
    text_queries = mapper(text_tokens)
    gradients = torch.autograd.grad((text_queries * weights).sum(), mapper.parameters())

    torch.testing.assert_close(text_queries, expected)
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(got, wanted)


def test_each_distinct_text_is_encoded_once_up_to_the_last_end():
    seen = []
    mapper = tiny_mapper()
    mapper.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    texts = torch.tensor([[18, 3, END, 0, 0, 0], [18, 3, 4, END, 0, 0], [18, 3, END, 0, 0, 0]])
    mapper(texts[None])
    assert seen == [(2, 4)]


def test_context_rows_come_last_and_are_the_same_for_every_image(rng):
    mapper = tiny_mapper()
    text_queries = mapper(random_texts(rng))
    assert text_queries.shape == (3, 7, 10)
    assert torch.equal(text_queries[:, 5:], mapper.text_context.weight.expand(3, 2, 10))


def test_context_starts_with_unit_variance():
    context = tiny_mapper(1000, hidden_dim=30).text_context.weight
    assert context.std().item() == pytest.approx(1.0, rel=0.03)


def test_images_do_not_see_each_other(rng):
    mapper, text_tokens = tiny_mapper(), random_texts(rng)
    alone = torch.cat([mapper(texts[None]) for texts in text_tokens])
    torch.testing.assert_close(mapper(text_tokens), alone)


def test_the_projector_has_the_layers_asked_for():
    shapes = [tuple(layer.weight.shape) for layer in tiny_mapper(proj_layers=3).projector.layers]
    assert shapes == [(10, 12), (10, 10), (10, 10)]


def test_ids_of_another_vocabulary_are_refused(rng):
    text_tokens = random_texts(rng)
    text_tokens[0, 0, 0] = 49406
    with pytest.raises(ValueError, match="below vocab_size=20, got largest=49406"):
        tiny_mapper()(text_tokens)


@pytest.mark.parametrize("shape", [(0, 3, 9), (2, 0, 9)])
def test_a_batch_without_texts_is_refused(shape):
    with pytest.raises(ValueError, match="every image needs a text"):
        tiny_mapper()(torch.zeros(shape, dtype=torch.int64))


OURS_TO_TRANSFORMERS = {
    "encoder.final_norm": "text_encoder.ln_final",
    "encoder.layers": "text_encoder.transformer.layers",
    "encoder.": "text_encoder.",
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attention": "self_attn",
    "text_context": "prompt_ctx",
}


@pytest.mark.parity
def test_equals_transformers_when_its_attention_is_given_the_causal_mask(rng):
    transformers = pytest.importorskip("transformers")
    from transformers.models.oneformer.modeling_oneformer import OneFormerTextMapper

    width, length = 128, 9
    theirs = OneFormerTextMapper(
        transformers.OneFormerConfig(
            text_encoder_width=width,
            text_encoder_context_length=length,
            text_encoder_num_layers=2,
            text_encoder_vocab_size=20,
            text_encoder_n_ctx=3,
            hidden_dim=width,
        )
    )
    causal = torch.full((length, length), -torch.inf).triu(1)
    for layer in theirs.text_encoder.transformer.layers:
        layer.self_attn.register_forward_pre_hook(
            lambda _, args, kwargs: (args, kwargs | {"attn_mask": causal}), with_kwargs=True
        )
    ours = TextMapper(
        encoder=TextEncoder(vocab_size=20, context_length=length, width=width, num_layers=2),
        num_text_context=3,
        hidden_dim=width,
    )
    weights = {}
    for name, parameter in ours.state_dict().items():
        parameter.normal_(std=0.3, generator=rng)
        for mine, published in OURS_TO_TRANSFORMERS.items():
            name = name.replace(mine, published, 1) if published not in name else name
        name = name.replace("projector.layers.0", "text_projector.layers.0.0")
        name = name.replace("projector.layers.1", "text_projector.layers.1.0")
        weights[name] = parameter
    theirs.load_state_dict(weights)

    text_tokens = random_texts(rng)
    torch.testing.assert_close(ours(text_tokens), theirs(text_tokens), rtol=1e-4, atol=1e-4)
