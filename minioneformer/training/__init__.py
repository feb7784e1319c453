"""Recipes, optimizer, schedules, trainer, checkpoints of a run."""
