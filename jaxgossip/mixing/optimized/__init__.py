"""Weights that are optimised for a graph, and bounds on what any weights can reach."""
