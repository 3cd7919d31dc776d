"""Graphs in files: lines of links, and the formats of other programs, all read as names of nodes and links between them."""
