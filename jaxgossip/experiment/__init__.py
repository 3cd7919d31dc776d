"""Experiments: the configuration, the run folder, the reports and the pictures of a run."""
