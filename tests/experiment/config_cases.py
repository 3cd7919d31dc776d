"""What tests of configurations share: a small catalogue, two configurations, and how they are read."""

from pathlib import Path
from typing import Literal

import optax
import pytest

from jaxgossip.algorithms import PROTOCOLS
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import Registry
from jaxgossip.experiment.config.catalogue import Catalogue
from jaxgossip.experiment.config.load import load
from jaxgossip.learning import AUGMENTATIONS, rates
from jaxgossip.network import ENERGIES
from jaxgossip.schedule import CHURNS, CLOCKS, CONTACTS, DELAYS, PEERS, TOKEN_ACCOUNTS


def ring(nodes: int):
    """Join each node to the next.

    Args:
        nodes: number of nodes.
    """


def random_regular(nodes: int, degree: int = 4, *, rng=0):
    """Draw a graph in which all nodes have the same degree.

    Args:
        nodes: number of nodes.
        degree: neighbours of each node.
    """


def edge_list(path: str | Path, *, directed: bool = False): ...


def static(graph, *, weights: Literal["metropolis_hastings", "uniform"] = "metropolis_hastings"): ...


def push(graph, *, fanout: int = 1): ...


def digits(*, classes: int = 10, test_fraction: float = 0.5): ...


def csv(path: Path, *, label: str = "last", standardize: bool = False): ...


def isotropic_quadratic(n_nodes, *, parameters: int = 4): ...


def least_squares(n_nodes, *, dimension: int = 4, batch_size: int = 3): ...


def logistic(input_shape, n_classes, *, regularization: float = 0.0): ...


def mlp(input_shape, n_classes, *, hidden: tuple[int, ...] = (32,)): ...


def iid(labels, n_nodes, *, local_test: float = 0.0, rng=0): ...


def one_sample(labels, n_nodes, *, rng=0): ...


def gossip(problem, optimizer, W, *, payload: Literal["model", "update"] = "model", local_steps: int | None = None): ...


def top_k(*, fraction: float = 0.1): ...


def alie(*, n_nodes, rng, fraction: float = 0.1, nodes: list[int] | None = None): ...


def median(): ...


def constant(n_nodes, rng=0, *, compute_s: float = 0.1): ...


CATALOGUE = Catalogue(
    topology=Registry("topology", [ring, random_regular, edge_list]),
    mixing=Registry("mixing", [static, push]),
    dataset=Registry("dataset", [digits]),
    task=Registry("task", [isotropic_quadratic, least_squares]),
    datafile=Registry("datafile", [csv]),
    model=Registry("model", [logistic, mlp]),
    augmentation=AUGMENTATIONS,
    partition=Registry("partition", [iid, one_sample]),
    algorithm=Registry("algorithm", [gossip]),
    optimizer=Registry("optimizer", [optax.sgd, optax.adam]),
    rate=Registry("learning rate", [rates.constant, rates.cosine]),
    compression=Registry("compressor", [top_k]),
    adversary=Registry("adversary", [alie]),
    aggregation=Registry("aggregation", [median]),
    speeds=Registry("speeds", [constant]),
    energy=ENERGIES,
    protocol=PROTOCOLS,
    clock=CLOCKS,
    peers=PEERS,
    delay=DELAYS,
    churn=CHURNS,
    tokens=TOKEN_ACCOUNTS,
    contacts=CONTACTS,
)

GOOD = """
[topology]
kind = "random_regular"
nodes = 16

[learning]
dataset = "digits"
model = "logistic"

[optimizer]
learning_rate = 0.1
"""
QUADRATIC = GOOD.replace('"digits"', '"isotropic_quadratic"').replace('model = "logistic"', "")


def read(text, overrides=(), **more):
    return load(text, overrides, catalogue=CATALOGUE, **more)


def wrong(text, overrides=(), **more):
    """Return (message, hint) of the error."""
    with pytest.raises(ConfigError) as caught:
        read(text, overrides, **more)
    return caught.value.message, caught.value.hint
