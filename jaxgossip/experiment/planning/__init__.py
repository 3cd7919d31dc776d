"""Estimates made before a run: its memory, time and messages."""
