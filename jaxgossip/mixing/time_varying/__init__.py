"""Time-varying mixing: drawn anew each round, or periodic."""
