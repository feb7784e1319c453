"""Multi-head attention, perceptrons, position codes: import nothing from the package."""
