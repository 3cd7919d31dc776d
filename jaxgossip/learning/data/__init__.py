"""Data sets: the packaged ones, synthetic ones, and readers of the files that people have."""
