"""What the commands print, and where to: tables, progress, outcomes, failures."""
