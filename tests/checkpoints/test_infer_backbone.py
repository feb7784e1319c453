"""Single sizes by hand; whole configurations are found again in `test_infer_config.py`.

Mutants that must fail: the first stage of a ResNet counted from 0; a number inside of a name taken
for one of a block.
"""

import pytest

from minioneformer.checkpoints.infer_backbone import (
    OFFICIAL,
    OURS,
    count_numbers,
    infer_backbone,
)


def test_numbers_after_a_beginning_are_counted():
    names = ["a.0.x", "a.1.x", "a.1.y", "b.7.x", "a.norm.x", "ab.9.x"]
    assert count_numbers(names, "a.") == 2
    assert count_numbers(names, "b.") == 1  # and not 8: a name cannot ask for a deep model
    assert count_numbers(names, "c.") == 0


def test_a_resnet_by_hand():
    shapes = {"stem.conv1.weight": (16, 4, 7, 7)}
    for number, (width, depth) in enumerate(((32, 2), (64, 1), (96, 3), (128, 1)), start=2):
        for block in range(depth):
            shapes[f"res{number}.{block}.conv3.weight"] = (width, width // 4, 1, 1)
    config = infer_backbone(shapes, OFFICIAL)
    assert config.model_type == "resnet"
    assert config.embedding_size == 16
    assert config.num_channels == 4
    assert config.hidden_sizes == (32, 64, 96, 128)
    assert config.depths == (2, 1, 3, 1)
    assert config.frozen_batch_norm
    counted = shapes | {"stem.conv1.norm.num_batches_tracked": ()}
    assert not infer_backbone(counted, OFFICIAL).frozen_batch_norm


@pytest.mark.parametrize("names", [OFFICIAL, OURS], ids=["official", "ours"])
def test_an_unknown_backbone_is_refused(names):
    with pytest.raises(
        ValueError, match="must be Swin, .* or ResNet, got tensors named conv.x ..."
    ):
        infer_backbone({"conv.x": (3,)}, names)
