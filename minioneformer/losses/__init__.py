"""Matching and losses (Sec. 3.3 and 3.5)."""
