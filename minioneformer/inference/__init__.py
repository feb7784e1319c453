"""From logits to semantic, instance and panoptic results (Sec. 3.4)."""
