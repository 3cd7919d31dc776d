"""Theory plots, one per file."""
