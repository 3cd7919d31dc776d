"""Stochastic gradient descent over gossip: with momentum, over trees and directed graphs, with noise; and its baselines."""
