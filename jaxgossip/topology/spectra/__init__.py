"""What a graph and its weights do to mixing, in numbers: eigenvalues, effective neighbours, distances, clustering."""
