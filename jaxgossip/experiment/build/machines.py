"""Building of the nodes' machines of a configuration: how fast they are, and what they spend."""

import numpy as np
from jaxtyping import Int

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.algorithms.local_steps import Epochs
from jaxgossip.core.random import host_rng
from jaxgossip.experiment.build.builders import Builder, errors_of
from jaxgossip.experiment.build.steps import steps_by_node, work
from jaxgossip.experiment.config.sections import Config
from jaxgossip.learning import Problem
from jaxgossip.network import ENERGIES, SPEEDS, Energy, Speeds


def build_speeds(config: Config, part: Builder, algorithm: Algorithm | GossipProtocol) -> Speeds | None:
    """Build the speeds of machines for rounds of an algorithm's local work; None if there is no section.

    Raises:
        InputError: they cannot be built.
    """
    if config.speeds is None:
        return None
    problem = algorithm.problem
    speeds = part.section(
        "speeds", config.speeds, SPEEDS, Speeds, n_nodes=problem.n_nodes, rng=host_rng(config.seed, "speeds"),
        step_samples=samples_a_step(config, problem),
    )  # fmt: skip
    return speeds.steps(steps_by_node(problem, work(config, algorithm)))


def build_energy(config: Config, part: Builder, algorithm: Algorithm | GossipProtocol) -> Energy | None:
    """Build what machines spend in rounds of an algorithm's local work; None if there is no section.

    Raises:
        InputError: it cannot be built, machines draw power in virtual time that a run in rounds does not keep, or they have
            batteries in a run by the nodes' own clocks.
    """
    if config.energy is None:
        return None
    n_nodes, rng = algorithm.problem.n_nodes, host_rng(config.seed, "energy")
    energy = part.section("energy", config.energy, ENERGIES, Energy, n_nodes=n_nodes, rng=rng)
    with errors_of("energy", config.energy.kind):
        if config.in_events:
            energy.check_mains()
        else:
            energy.check_idle(timed=config.speeds is not None)
    return energy.samples(samples_a_round(config, algorithm))


def samples_a_step(config: Config, problem: Problem) -> int | Int[np.ndarray, " n"]:
    """Return of how many samples each node takes the gradient of a step: one number for all, or (n,) by node.

    It is 1 for tasks without samples. A minibatch at the end of an epoch counts as a full one.
    """
    batch = config.learning.batch_size
    return _samples_of(problem) if batch == 0 and hasattr(problem, "sample_counts") else batch or 1


def samples_a_round(config: Config, algorithm: Algorithm | GossipProtocol) -> int | Int[np.ndarray, " n"]:
    """Return of how many samples each node takes gradients in a round, or after a message: one number for all, or (n,).

    Methods that take no optimizer steps take no gradients.
    """
    if isinstance(algorithm, Algorithm) and not algorithm.method.takes_steps:
        return 0
    steps = work(config, algorithm)
    if isinstance(steps, Epochs):
        return steps.number * _samples_of(algorithm.problem)
    return steps * samples_a_step(config, algorithm.problem)


def _samples_of(problem: Problem) -> Int[np.ndarray, " n"]:
    """Return (n,) the number of training samples of each node, by node."""
    by_row = np.asarray(problem.sample_counts, np.int64)
    return by_row if problem.order is None else by_row[problem.order.rows]
