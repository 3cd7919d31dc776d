"""Runs whose nodes are spread over a mesh of devices."""
