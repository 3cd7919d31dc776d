"""What runs gave: shown, drawn, saved, and how they ended."""
