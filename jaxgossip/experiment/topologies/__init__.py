"""Topologies named on the command line: building, plotting and optimising them."""
