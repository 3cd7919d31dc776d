"""Who listens to a run while it goes: observers, a display of progress, Ctrl-C."""
