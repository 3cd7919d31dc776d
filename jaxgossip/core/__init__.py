"""Foundations that every room uses and that know nothing of gossip: errors, random draws, shapes, files, registries, counts."""
