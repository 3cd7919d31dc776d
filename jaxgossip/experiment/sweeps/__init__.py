"""Sweeps: many runs of one configuration, as named variants or as a grid of values and seeds."""
