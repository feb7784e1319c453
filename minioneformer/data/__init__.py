"""Samples, targets, texts and batches (Sec. 3.1)."""
