"""Operators by the structure of the graph: regular patterns, tables of neighbours, and graphs with hubs."""
