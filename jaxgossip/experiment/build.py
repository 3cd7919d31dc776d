"""From a configuration to the parts of a run: graph, problem, mixing, optimizer, algorithm, conditions."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import optax

from jaxgossip.algorithms import ALGORITHMS, Algorithm
from jaxgossip.errors import ConfigError, InputError, JaxGossipError
from jaxgossip.experiment.catalogue import find_dataset, standard
from jaxgossip.experiment.schema import Options, supply
from jaxgossip.experiment.sections import Classification, Config
from jaxgossip.learning import MODELS, OPTIMIZERS, PARTITIONS, QUADRATICS, Problem, classification
from jaxgossip.mixing import MIXINGS, Mixing
from jaxgossip.network import Conditions
from jaxgossip.random import host_rng
from jaxgossip.registry import Registry
from jaxgossip.topology import TOPOLOGIES, Graph, check_connected


@dataclass(frozen=True)
class Experiment:
    """The parts of a run, built from its configuration.

    Attributes:
        config: the configuration.
        graph: who hears whom.
        problem: what each node learns.
        W: how models meet.
        optimizer: each node's.
        algorithm: the update rule, ready to run.
        conditions: faults.
    """

    config: Config
    graph: Graph
    problem: Problem
    W: Mixing
    optimizer: optax.GradientTransformation
    algorithm: Algorithm
    conditions: Conditions

    def baseline(self, name: str) -> Algorithm:
        """Return the baseline called ``name``, with as many local steps a round as the algorithm takes."""
        steps = self.config.algorithm.keywords().get("local_steps", 1)
        return supply(ALGORITHMS[name], {"local_steps": steps}, problem=self.problem, optimizer=self.optimizer)


def build(config: Config) -> Experiment:
    """Build all parts of a run.

    Raises:
        InputError: a part cannot be built; the message begins with its section.
    """
    graph = build_graph(config)
    problem = build_problem(config, graph.n_nodes)
    W = _section("mixing", config.mixing, MIXINGS, graph=graph)
    optimizer = _section("optimizer", config.optimizer, OPTIMIZERS)
    algorithm = _section(
        "algorithm", config.algorithm, ALGORITHMS, problem=problem, optimizer=optimizer, W=W, graph=graph
    )
    conditions = Conditions(config.network.drop, config.network.online)
    return Experiment(config, graph, problem, W, optimizer, algorithm, conditions)


def build_graph(config: Config) -> Graph:
    """Build the graph, and check that it is connected unless the configuration allows otherwise."""
    graph = _section("topology", config.topology, TOPOLOGIES, rng=host_rng(config.seed, "topology"))
    try:
        check_connected(graph, allow_disconnected=config.topology.allow_disconnected)
    except InputError as error:
        raise InputError(f"topology: {error.message}", hint=error.hint) from error
    return graph


def build_problem(config: Config, n_nodes: int) -> Problem:
    """Build what the nodes learn: a quadratic, or a data set divided over nodes with a model."""
    learning, dtype = config.learning, jnp.dtype(config.device.dtype)
    if not isinstance(learning, Classification):
        return _call(
            "learning", QUADRATICS[learning.dataset], learning.dataset_options,
            n_nodes=n_nodes, rng=host_rng(config.seed, "data"), dtype=dtype, batch_size=learning.batch_size, init=learning.init,
        )  # fmt: skip
    assert config.partition is not None
    common = {"test_fraction": learning.test_fraction, "standardize": learning.standardize}
    dataset = _call(
        "learning", find_dataset(standard(), learning.dataset, Path.cwd()).builder, learning.dataset_options,
        own=":" in learning.dataset,
        path=learning.dataset, rng=host_rng(config.seed, "data"), **common,
    )  # fmt: skip
    partition = _section(
        "partition", config.partition, PARTITIONS,
        labels=dataset.y_train, n_nodes=n_nodes, rng=host_rng(config.seed, "partition"),
        local_test=config.partition.local_test,
    )  # fmt: skip
    model = _call(
        "learning", MODELS.resolve(learning.model), learning.model_options, own=":" in learning.model,
        input_shape=tuple(dataset.x_train.shape[1:]), n_classes=dataset.n_classes,
    )  # fmt: skip
    return classification(
        dataset,
        partition,
        model,
        batch_size=learning.batch_size,
        init=learning.init,
        private=learning.private,
        dtype=dtype,
    )


def _section(name: str, section: Any, registry: Registry, **machinery: Any) -> Any:
    return _call(name, registry.resolve(section.kind), section, own=":" in section.kind, **machinery)


def _call(name: str, builder: Any, options: Options, *, own: bool = False, **machinery: Any) -> Any:
    keywords: Mapping[str, Any] = options.keywords()
    try:
        return supply(builder, keywords, **{key: value for key, value in machinery.items() if key not in keywords})
    except JaxGossipError as error:
        raise type(error)(f"{name}: {error.message}", hint=error.hint) from error
    except Exception as error:
        if not own:
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"{name}: your {builder.__name__} raised {type(error).__name__}: {error}",
            hint=f"{place.filename}, line {place.lineno}: {place.line}",
        ) from error
