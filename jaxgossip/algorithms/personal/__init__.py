"""Personalised learning: nodes share what they have in common, and each keeps a model of its own."""
