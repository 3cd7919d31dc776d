"""One run: its engine, its observer, its manifest, its end."""
