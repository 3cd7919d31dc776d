"""Weights optimised for a graph, and lower bounds on ρ for any weights."""
