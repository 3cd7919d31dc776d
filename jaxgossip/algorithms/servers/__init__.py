"""Methods with a server, which has one model for all nodes: algorithms of their own, and baselines of gossip."""
