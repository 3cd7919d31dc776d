"""Single runs of a configuration: starting, resuming, checkpoints and the manifest."""
