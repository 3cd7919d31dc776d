"""Building of what a configuration names: graph, mixing, problem, algorithm, schedule."""
