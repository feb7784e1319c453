import dataclasses

import torch

from minioneformer.checkpoints.pretrained import load_pretrained, save_pretrained
from minioneformer.data.toy import ToyPanoptic
from minioneformer.training.parts import build_pretrained
from minioneformer.training.recipes import override, recipe_named
from minioneformer.training.toy_model import ship

SMALL = (
    "model.hidden_dim=32",
    "model.conv_dim=32",
    "model.mask_dim=32",
    "model.num_queries=6",
    "model.decoder_layers=2",
    "model.encoder_layers=1",
)


def test_the_shipped_model_is_the_trained_one_without_its_text_branch_in_half_precision(tmp_path):
    recipe = override(recipe_named("toy"), SMALL)
    trained = build_pretrained(recipe, ToyPanoptic().categories)
    save_pretrained(tmp_path / "run" / "model", trained)
    ship(tmp_path / "run", tmp_path / "shipped")
    shipped = load_pretrained(tmp_path / "shipped")
    expected = {
        name: value.half().float()
        for name, value in trained.model.state_dict().items()
        if not name.startswith("text_mapper")
    }
    torch.testing.assert_close(dict(shipped.model.state_dict()), expected, rtol=0, atol=0)
    assert shipped.settings == trained.settings
    assert shipped.config == dataclasses.replace(trained.config, is_training=False)
