"""Mixing that changes from round to round: drawn anew, or periodic."""
