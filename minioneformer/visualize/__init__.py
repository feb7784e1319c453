"""Pictures of images, annotations and predictions (not drawn in Figure 2)."""

from minioneformer.visualize.colors import class_colors, instance_colors
from minioneformer.visualize.demo import draw_demo
from minioneformer.visualize.figures import draw_prediction
from minioneformer.visualize.overlay import (
    overlay_instance,
    overlay_panoptic,
    overlay_sample,
    overlay_semantic,
)
from minioneformer.visualize.panels import save_figure

__all__ = [
    "class_colors",
    "draw_demo",
    "draw_prediction",
    "instance_colors",
    "overlay_instance",
    "overlay_panoptic",
    "overlay_sample",
    "overlay_semantic",
    "save_figure",
]
