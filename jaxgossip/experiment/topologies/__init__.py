"""Topologies by a few words, measured, drawn and optimised."""
