"""Observers of a run in progress, the progress display, and the handling of Ctrl-C."""
