"""One file a command: parse, call, print. Heavy rooms are imported within, so that ``--help`` answers at once."""
