"""From a configuration to what it names: graph, mixing, problem, algorithm, schedule."""
