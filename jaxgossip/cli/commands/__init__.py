"""The commands, one per file. Heavy rooms are imported inside functions, so that ``--help`` answers at once."""
