"""What a round of every method costs beside one of D-SGD, on one graph, one task and one size.

The task is logistic regression on one sample a node, the graph random 8-regular (trees and directed graphs of about as many
links where a method needs them, D-SGD then runs on the same). A method that mixes m times a round is due m rounds of D-SGD.
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
from jaxgossip.algorithms import ALGORITHMS, dsgd
from jaxgossip.bench.case import Setting
from jaxgossip.bench.timing import SAMPLE_S, ProgramRounds, seconds_a_round
from jaxgossip.compression import COMPRESSORS
from jaxgossip.core.errors import InputError
from jaxgossip.experiment.config.schema import supply
from jaxgossip.learning import Problem, models, partitions
from jaxgossip.learning.data import datasets
from jaxgossip.learning.problem import classification
from jaxgossip.mixing import Mixing
from jaxgossip.topology import Graph

DEGREE = 8
LEARNING_RATE = 0.1
SAMPLES = 4000
OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType({"k_gt": {"local_steps": 1}, "admm": {"local_steps": 1}})
"""One local step for everybody, as D-SGD takes."""


@dataclass(frozen=True)
class MethodTime:
    """What was found for one method; times in seconds.

    Attributes:
        name: of the method, with its compressor.
        round_s: one round.
        dsgd_s: one round of D-SGD on the same network, measured before and after.
        mixings: how many times a round mixes.
    """

    name: str
    round_s: float
    dsgd_s: float
    mixings: int

    @property
    def ratio(self) -> float:
        """A round in rounds of D-SGD."""
        return self.round_s / self.dsgd_s

    @property
    def per_mixing(self) -> float:
        """The same, by the number of mixings (isolated nodes count one): at most 2 is the aim."""
        return self.ratio / max(1, self.mixings)

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        found = ("name", "round_s", "dsgd_s", "mixings", "ratio", "per_mixing")
        return {name: getattr(self, name) for name in found}


def method_names() -> list[str]:
    """Return the methods that are measured: all algorithms, those that compress once for every compressor."""
    return [
        name if compressor is None else f"{name} {compressor}"
        for name in ALGORITHMS
        for compressor in (list(COMPRESSORS) if name in ("choco", "deep_squeeze") else [None])
    ]


def bench_methods(
    setting: Setting,
    *,
    only: Sequence[str] = (),
    repeats: int = 3,
    sample_s: float = SAMPLE_S,
    begun: Callable[[str], None] = lambda _: None,
    done: Callable[[MethodTime], None] = lambda _: None,
) -> list[MethodTime]:
    """Measure the methods.

    Args:
        setting: nodes and parameters.
        only: algorithms, or names as :func:`method_names` gives them; all if empty.
        repeats: samples a method; their median counts.
        sample_s: a sample lasts at least about this long.
        begun: told the name of each method before it is built.
        done: told what was found.

    Raises:
        InputError: an unknown method, too few parameters, or no sample at all.
    """
    if setting.params < 2 or repeats < 1:
        raise InputError(f"methods need params ≥ 2 and repeats ≥ 1, not {setting.params} and {repeats}")
    for name in only:
        _ = name in method_names() or ALGORITHMS[name]
    names = [name for name in method_names() if not only or name in only or name.split()[0] in only]
    problem, found = _task(setting), []
    for name in names:
        begun(name)
        kind, _, compressor = name.partition(" ")
        graph, W, plain = _network(kind, setting)
        reference = ProgramRounds(dsgd(problem, optax.sgd(LEARNING_RATE), plain), setting.seed)
        machinery: dict[str, Any] = {"problem": problem, "optimizer": optax.sgd(LEARNING_RATE), "W": W, "graph": graph}
        if compressor:
            machinery["compressor"] = COMPRESSORS[compressor]()
        algorithm = supply(ALGORITHMS[kind], OPTIONS.get(kind, {}), **machinery)
        before = seconds_a_round(reference, repeats, sample_s)
        round_s = seconds_a_round(ProgramRounds(algorithm, setting.seed), repeats, sample_s)
        after = seconds_a_round(reference, repeats, sample_s)
        found.append(MethodTime(name, round_s, statistics.mean((before, after)), algorithm.mixings))
        del reference, algorithm, machinery
        gc.collect()
        done(found[-1])
    return found


def _task(setting: Setting) -> Problem:
    data = datasets.synthetic(samples=SAMPLES, features=setting.params - 1, rng=setting.seed)
    deal = partitions.one_sample(np.asarray(data.y_train), setting.nodes, rng=setting.seed)
    return classification(data, deal, models.logistic((setting.params - 1,), 2))


def _network(kind: str, setting: Setting) -> tuple[Graph, Mixing, Mixing]:
    """Return (graph, what the method mixes by, what D-SGD mixes by beside it)."""
    n = setting.nodes
    if kind == "relay_sgd":
        graph = topology.binary_tree(n)
        W = mixing.metropolis_hastings(graph)
        return graph, W, W
    graph = topology.random_regular(n, DEGREE, rng=setting.seed)
    plain = mixing.metropolis_hastings(graph)
    if kind in ("sgp", "push_diging", "push_sum"):
        return graph, mixing.push_sum(graph), plain
    if kind == "epidemic":
        fresh = mixing.fresh_regular(graph, degree=DEGREE)
        return graph, fresh, fresh
    return graph, plain, plain
