"""Output of the commands: tables, progress, outcomes, failures."""
