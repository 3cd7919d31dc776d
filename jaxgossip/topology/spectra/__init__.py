"""Measures of a graph and its weights: eigenvalues, effective number of neighbours, distances, clustering."""
