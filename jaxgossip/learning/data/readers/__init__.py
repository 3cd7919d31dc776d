"""Readers of files, by format; each returns a data set."""
