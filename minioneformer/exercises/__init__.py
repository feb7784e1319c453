"""Exercises of the notebooks that check themselves; one file for each notebook."""
