"""Graphs by name: one family a file."""
