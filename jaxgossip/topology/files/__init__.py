"""Readers of graph files: lists of links and the formats of other programs, all read as links between named nodes."""
