"""How many local steps nodes take in a round of a configuration."""

import numpy as np
from jaxtyping import Int

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.algorithms.local_steps import Epochs, Steps, steps_of_nodes
from jaxgossip.experiment.config.sections import Config
from jaxgossip.learning import Problem


def local_steps(config: Config, algorithm: Algorithm | GossipProtocol) -> Steps:
    """Return the algorithm's local steps of a round: its method's, or the key of a user's own; 1 if it has neither.

    It is 1 also for algorithms that take no optimizer step.
    """
    steps = getattr(algorithm.method, "local_steps", None)
    return steps if isinstance(steps, int | Epochs) else config.algorithm.keywords().get("local_steps") or 1


def work(config: Config, algorithm: Algorithm | GossipProtocol) -> Steps:
    """Return all steps of a round: those of :func:`local_steps`, and what else the algorithm trains in it."""
    steps = local_steps(config, algorithm)
    return algorithm.method.work(algorithm.problem, steps) if isinstance(algorithm, Algorithm) else steps


def steps_by_node(problem: Problem, steps: Steps) -> int | Int[np.ndarray, " n"]:
    """Return how many local steps each node takes in a round: one number for all, or (n,) by the numbers of the nodes."""
    by_row = steps_of_nodes(problem, steps)
    if isinstance(by_row, int):
        return by_row
    by_node = np.array(by_row)
    by_node[slice(None) if problem.order is None else problem.order.nodes] = by_row
    return by_node
