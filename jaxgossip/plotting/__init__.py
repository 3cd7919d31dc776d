"""Plotting helpers: the style, axes for common quantities, layouts of graphs."""
