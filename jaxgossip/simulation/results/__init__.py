"""Results of runs and sweeps: summaries, plots, saving, status and provenance."""
