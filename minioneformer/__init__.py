"""OneFormer built by hand: one model, trained once, for three segmentation tasks."""

__version__ = "0.1.0"
