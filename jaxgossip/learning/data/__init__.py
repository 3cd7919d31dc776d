"""Data sets: packaged, synthetic, and read from the user's files."""
