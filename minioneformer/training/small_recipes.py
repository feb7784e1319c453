"""The recipes of small models: generated scenes, microscopy, a few hundred images of one's own.

Paper: OneFormer (arXiv 2211.06220); not in it, made for a laptop. Not drawn in Figure 2.

Not here: the published recipes (`training/published_recipes.py`), finding one by its name
(`training/recipes.py`).
"""

from __future__ import annotations

from minioneformer.config import OneFormerConfig, SwinConfig
from minioneformer.training.recipe import (
    DataRecipe,
    InferenceRecipe,
    OptimizationRecipe,
    Recipe,
)


def toy() -> Recipe:
    """The demo: a small model from scratch on generated 64 x 64 scenes.

    Returns:
        A recipe for a laptop without a GPU; figures stand in docs/results.md.
    """
    return Recipe(
        name="toy",
        model=_small_model(num_queries=24),
        # Half as large again as drawn: patches of 4 x 4 pixels then are finer than the shapes.
        data=DataRecipe(
            dataset="toy",
            flip=False,
            shortest_edges=(96,),
            longest_edge=192,
            test_shortest_edge=96,
            test_longest_edge=192,
        ),
        optimization=OptimizationRecipe(
            steps=1050,
            batch_size=16,
            base_lr=2e-3,
            backbone_multiplier=1.0,
            clip_norm=0.1,
            schedule="one_cycle",
            warmup_fraction=0.1,
            checkpoint_every=200,
        ),
        inference=InferenceRecipe(object_threshold=0.5, overlap_threshold=0.6),
    )


def nuclei() -> Recipe:
    """Microscopy images in the layout of COCO panoptic, on two CPU cores.

    Made for 256 to 360 pixels with up to a hundred small objects of one class, such as those of
    the 2018 Data Science Bowl; any folder of that layout will do. Best started from the toy model
    (`train nuclei --init toy`).

    From so few images, queries do not learn to tell objects of one look apart by their place. So
    only regions are taught, and their connected parts are the objects: nuclei are compact, and
    most do not touch.

    Returns:
        A recipe; figures stand in docs/results.md.
    """
    return Recipe(
        name="nuclei",
        model=_small_model(num_queries=24),
        data=DataRecipe(
            dataset="coco_panoptic",
            crop_size=(256, 256),
            shortest_edges=(384,),
            longest_edge=600,
            color_augmentation=True,
            test_shortest_edge=384,
            test_longest_edge=600,
            task_probabilities=(1.0, 0.0, 0.0),
        ),
        optimization=OptimizationRecipe(
            steps=900,
            batch_size=4,
            base_lr=1e-3,
            backbone_multiplier=1.0,
            clip_norm=0.1,
            schedule="one_cycle",
            warmup_fraction=0.1,
            checkpoint_every=100,
        ),
        inference=InferenceRecipe(object_threshold=0.5, overlap_threshold=0.6, separate_parts=15),
    )


def small() -> Recipe:
    """A few hundred images of one's own, fine-tuned on two CPU cores or one small GPU.

    Tasks follow from the labels. Sizes of the model are those of the model it starts from
    (`--init`); from nothing it is the toy model.

    Returns:
        A recipe to change: sizes of images, steps and learning rate depend on the data.
    """
    return Recipe(
        name="small",
        model=_small_model(num_queries=64),
        data=DataRecipe(
            dataset="own",
            crop_size=(256, 256),
            shortest_edges=(224, 256, 288, 320),
            longest_edge=640,
            color_augmentation=True,
            test_shortest_edge=256,
            test_longest_edge=512,
        ),
        optimization=OptimizationRecipe(
            steps=2000,
            batch_size=4,
            base_lr=5e-4,
            backbone_multiplier=0.5,
            clip_norm=0.1,
            schedule="one_cycle",
            warmup_fraction=0.1,
            checkpoint_every=100,
            evaluate_every=500,
        ),
        inference=InferenceRecipe(object_threshold=0.5, overlap_threshold=0.6),
    )


def _small_model(*, num_queries: int) -> OneFormerConfig:
    """A few million parameters, for 64-pixel images on two CPU cores."""
    return OneFormerConfig(
        backbone_config=SwinConfig(
            embed_dim=32,
            depths=(1, 1, 2, 1),
            num_heads=(2, 4, 8, 16),
            window_size=6,
            drop_path_rate=0.0,
        ),
        num_queries=num_queries,
        text_encoder_n_ctx=4,
        text_encoder_width=96,
        text_encoder_num_layers=2,
        conv_dim=96,
        mask_dim=96,
        hidden_dim=96,
        num_attention_heads=4,
        encoder_layers=2,
        encoder_feedforward_dim=256,
        decoder_layers=4,
        dim_feedforward=256,
        train_num_points=512,
        dropout=0.0,
        is_training=True,
    )
