"""Averaging without learning: fast ways from the rows of the nodes to their mean."""
