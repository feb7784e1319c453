"""Prediction heads.

Mutants that must fail: no norm before either head; K classes instead of K + 1; two mask layers.
"""

import torch
import torch.nn.functional as F

from minioneformer.decoder.prediction_heads import PredictionHeads


def heads() -> PredictionHeads:
    module = PredictionHeads(hidden_dim=6, num_classes=4, mask_dim=5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.7)
    return module


@torch.no_grad()
def test_both_heads_read_the_normalised_queries():
    module = heads()
    queries = torch.randn(2, 3, 6) * 4 + 1
    x = F.layer_norm(queries, (6,), module.norm.weight, module.norm.bias)
    class_logits, mask_embeddings = module(queries)
    torch.testing.assert_close(
        class_logits, x @ module.class_head.weight.T + module.class_head.bias
    )
    first, second, third = module.mask_head.layers
    torch.testing.assert_close(mask_embeddings, third(F.relu(second(F.relu(first(x))))))


@torch.no_grad()
def test_no_object_is_one_class_more():
    class_logits, mask_embeddings = heads()(torch.randn(2, 0, 6))
    assert class_logits.shape == (2, 0, 5)
    assert mask_embeddings.shape == (2, 0, 5)


@torch.no_grad()
def test_each_head_alone_gives_what_both_give():
    module = heads()
    queries = torch.randn(2, 3, 6)
    class_logits, mask_embeddings = module(queries)
    assert torch.equal(module.classify(queries), class_logits)
    assert torch.equal(module.embed_masks(queries), mask_embeddings)
