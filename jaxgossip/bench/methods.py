"""The cost of a round of every method relative to one of D-SGD, on the same graph, task and size.

The task is logistic regression on one sample per node, the graph random 8-regular (or a tree or a directed graph if a method
needs one, on which D-SGD then runs as well). A method that mixes m times per round is compared with m rounds of D-SGD.
"""

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import optax

from jaxgossip import mixing, topology
from jaxgossip.algorithms import ALGORITHMS, Algorithm, dsgd
from jaxgossip.algorithms.sgd import morph
from jaxgossip.bench.case import Setting
from jaxgossip.bench.timing import SAMPLE_S, ProgramRounds, seconds_a_round
from jaxgossip.compression import COMPRESSORS
from jaxgossip.core.errors import InputError
from jaxgossip.experiment.config.schema import supply
from jaxgossip.learning import Problem, models, partitions
from jaxgossip.learning.data import datasets
from jaxgossip.learning.supervised import classification
from jaxgossip.mixing import Mixing
from jaxgossip.topology import Graph

DEGREE = 8
CLASSES = 8
"""Number of classes of the nodes of cliques, and of nodes of a clique."""
LEARNING_RATE = 0.1
SAMPLES = 4000
OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        name: {"local_steps": 1}
        for name in ("k_gt", "led", "admm", "dinno", "lt_admm", "outer_gossip", "noloco", "diloco", "sparse_loco")
    }
)
"""Options that give every method one local step per round, as in D-SGD."""
COMPRESSED_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: tuple(COMPRESSORS) for name in ("choco", "deep_squeeze")}
    | {"beer": ("top_k",), "motef": ("random_k",), "lead": ("qsgd",), "cedas": ("qsgd",), "sparse_loco": ("top_k",)}
)
"""The compressors that methods with compressed messages are timed with: all of them, or one where others are like it."""
MOST_NODES: Mapping[str, int] = MappingProxyType({"morph": morph.MOST_NODES})
"""The most nodes that methods can have, whose nodes know each other; in larger networks they are not timed."""


@dataclass(frozen=True)
class MethodTime:
    """The results of a method.

    Attributes:
        name: name of the method, with its compressor.
        round_s: seconds of one round.
        dsgd_s: seconds of one round of D-SGD on the same network, measured before and after.
        mixings: number of mixings per round.
    """

    name: str
    round_s: float
    dsgd_s: float
    mixings: int

    @property
    def ratio(self) -> float:
        """Time of a round in rounds of D-SGD."""
        return self.round_s / self.dsgd_s

    @property
    def per_mixing(self) -> float:
        """The same per mixing (at least one is counted); the aim is at most 2."""
        return self.ratio / max(1, self.mixings)

    def record(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        names = ("name", "round_s", "dsgd_s", "mixings", "ratio", "per_mixing")
        return {name: getattr(self, name) for name in names}


def method_names() -> list[str]:
    """Return the names of the methods: all algorithms, with compressing ones once per compressor that they are timed with."""
    return [
        name if compressor is None else f"{name} {compressor}"
        for name in ALGORITHMS
        for compressor in COMPRESSED_BY.get(name, (None,))
    ]


def chosen_methods(setting: Setting, only: Sequence[str] = ()) -> list[str]:
    """Return the names of the methods to time: those of ``only``, or all that can have as many nodes.

    Args:
        setting: the size of the network.
        only: algorithms, or names as returned by :func:`method_names`; all if empty.

    Raises:
        InputError: a method is unknown.
    """
    names = method_names()
    for name in only:
        _ = name in names or ALGORITHMS[name]
    if only:
        return [name for name in names if name in only or name.split()[0] in only]
    return [name for name in names if setting.nodes <= MOST_NODES.get(name, setting.nodes)]


def bench_methods(
    setting: Setting,
    *,
    only: Sequence[str] = (),
    repeats: int = 3,
    sample_s: float = SAMPLE_S,
    begun: Callable[[str], None] = lambda _: None,
    done: Callable[[MethodTime], None] = lambda _: None,
) -> list[MethodTime]:
    """Time a round of each method, and of D-SGD on the same network before and after it.

    Args:
        setting: the size of the network.
        only: algorithms, or names as returned by :func:`method_names`; all if empty.
        repeats: samples per method, of which the median is reported.
        sample_s: approximate least duration of a sample in seconds.
        begun: called with the name of each method before it is built.
        done: called with the result of each method.

    Raises:
        InputError: a method is unknown, or there are too few parameters or samples.
        RunError: a method diverged while it was timed.
    """
    if setting.params < 2 or repeats < 1:
        raise InputError(f"methods need params ≥ 2 and repeats ≥ 1, not {setting.params} and {repeats}")
    names, times = chosen_methods(setting, only), []
    problem = task(setting)
    for name in names:
        begun(name)
        algorithm, plain = method(name, problem, setting)
        reference = ProgramRounds(dsgd(problem, optax.sgd(LEARNING_RATE), plain), setting.seed)
        before = seconds_a_round(reference, repeats, sample_s)
        round_s = seconds_a_round(ProgramRounds(algorithm, setting.seed), repeats, sample_s)
        after = seconds_a_round(reference, repeats, sample_s)
        times.append(MethodTime(name, round_s, statistics.mean((before, after)), algorithm.mixings))
        del reference, algorithm
        gc.collect()
        done(times[-1])
    return times


def task(setting: Setting) -> Problem:
    """Return logistic regression with ``setting.params`` parameters on one sample per node."""
    data = datasets.synthetic(samples=SAMPLES, features=setting.params - 1, rng=setting.seed)
    deal = partitions.one_sample(np.asarray(data.y_train), setting.nodes, rng=setting.seed)
    return classification(data, deal, models.logistic((setting.params - 1,), 2))


def method(name: str, problem: Problem, setting: Setting) -> tuple[Algorithm, Mixing]:
    """Return a method on a network that suits it, and the mixing of D-SGD on the same network.

    Args:
        name: as returned by :func:`method_names`.
        problem: as returned by :func:`task`.
        setting: the size of the network.
    """
    kind, _, compressor = name.partition(" ")
    graph, W, plain = _network(kind, setting)
    machinery: dict[str, Any] = {"problem": problem, "optimizer": optax.sgd(LEARNING_RATE), "W": W, "graph": graph}
    if compressor:
        machinery["compressor"] = COMPRESSORS[compressor]()
    return supply(ALGORITHMS[kind], OPTIONS.get(kind, {}), **machinery), plain


def _network(kind: str, setting: Setting) -> tuple[Graph, Mixing, Mixing]:
    """Return (graph, mixing of the method, mixing of D-SGD)."""
    n = setting.nodes
    if kind == "relay_sgd":
        graph = topology.binary_tree(n)
        W = mixing.metropolis_hastings(graph)
        return graph, W, W
    graph = topology.random_regular(n, DEGREE, rng=setting.seed)
    plain = mixing.metropolis_hastings(graph)
    if kind in ("sgp", "push_diging", "push_sum"):
        return graph, mixing.push_sum(graph), plain
    if kind == "clique_averaging":
        shares = np.eye(CLASSES)[np.arange(n) % CLASSES]
        cliques = mixing.d_cliques(graph, shares, size=CLASSES, joined="ring", rng=setting.seed)
        return graph, cliques, cliques
    if kind == "epidemic":
        fresh = mixing.fresh_regular(graph, degree=DEGREE)
        return graph, fresh, fresh
    return graph, plain, plain
