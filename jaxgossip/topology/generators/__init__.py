"""Graph generators, one family per file."""
