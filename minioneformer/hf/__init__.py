"""The classes that the published documentation names, with its arguments and outputs.

A thin face: what it computes is computed by the rest of the package.
"""
