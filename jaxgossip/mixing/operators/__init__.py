"""Operators of one W each, by the structure of the graph: patterns, tables, hubs, push-sum."""
