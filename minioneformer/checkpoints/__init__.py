"""Weights on disk and back."""
