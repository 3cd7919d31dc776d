"""Every algorithm of the registry in its variants, once: how each is made, and what a round of it sends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import optax

import jaxgossip as jg
from jaxgossip.algorithms import ALGORITHMS, Algorithm
from jaxgossip.compression import Compressor
from jaxgossip.learning import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.topology import Graph

t, m, Q = jg.topology, jg.mixing, jg.compression

N, P = 12, 5
ROW = 4 * P
"""Bytes of a row of float32."""
RING, TREE, DIRECTED, PUSHES, FRESH = 2 * N, 2 * (N - 1), 4 * N, 2 * N, 3 * N
"""Messages a round on the graphs below; the static exponential graph of 12 nodes has the distances 1, 2, 4 and 8."""

CLIQUES = 2 * 3 * N + 2 * 3
"""Messages a round in three cliques of four nodes on a ring: a gradient and a model within, a model on the edges between."""


def one_class_a_node(n: int) -> np.ndarray:
    """Return (n, 4), the class shares of nodes that have one class each, or (1, 4) those of a node that is alone."""
    return np.eye(4)[np.arange(n) % 4]


MIXINGS: dict[str, tuple[Callable[[int], Graph], Callable[[Graph], Mixing]]] = {
    "static": (t.ring, m.metropolis_hastings),
    "tree": (t.binary_tree, m.metropolis_hastings),
    "d_cliques": (t.ring, lambda graph: m.d_cliques(graph, one_class_a_node(graph.n_nodes), size=4, joined="ring")),
    "push": (t.complete, lambda graph: m.push(graph, fanout=2)),
    "pairwise": (t.ring, m.pairwise),
    "fresh_regular": (t.ring, lambda graph: m.fresh_regular(graph, degree=3)),
    "push_sum": (t.static_exponential, m.push_sum),
    "push_sum_random": (t.ring, lambda graph: m.push_sum(graph, peers="random")),
}
"""By name: the graph of n nodes that it is tried on, and what is made of a graph."""

COMPRESSORS: dict[str, Callable[[], Compressor]] = {
    "top_k": lambda: Q.top_k(fraction=0.4),
    "random_k": lambda: Q.random_k(fraction=0.4),
    "qsgd": lambda: Q.qsgd(levels=4),
    "sign": Q.sign,
}
TOP_2, RANDOM_2, QSGD_4, SIGNS = (2 * 4, 1), (2 * 4, 4), (3, 4), (1, 4)
"""Bytes (data, metadata) of a compressed row of five: two numbers and 2 · 3 bits, two and a shift, 5 · 4 bits and the norm,
five bits and the scale."""


SERVERS = (
    "federated_averaging", "fedprox", "fedadam", "fedyogi", "fedadagrad", "fednova", "feddyn", "scaffold", "hierarchical_averaging",
    "diloco", "sparse_loco",
)  # fmt: skip
"""Methods with a server, whose nodes have no model of their own."""
NO_MOMENTUM: Mapping[str, Any] = {"momentum": 0.0}
ALL_TRAIN: Mapping[str, Any] = {"mixing_rounds": 0, "budget": None, "over": None}
ONE_CLUSTER: Mapping[str, Any] = {"clusters": 1}
NO_PULL: Mapping[str, Any] = {"pull": 0.0}
NO_OUTER: Mapping[str, Any] = {"outer": optax.sgd(1.0)}


@dataclass(frozen=True, eq=False)
class Case:
    """One variant of an algorithm.

    Attributes:
        name: in the registry.
        options: of the builder.
        messages: how many a round of ``N`` nodes sends, on average.
        data: bytes of the model's values a message.
        about: bytes a message beside them.
        mixing: which W it takes; None: none.
        compressor: which compressor it takes; None: none.
        steps: optimizer steps of a node that is alone; 0: it does not learn.
        draws: whether a round draws anything but gradients.
        alone: options in which what a node does is a plain step, without momentum and with next to no noise; None if there are
            none.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    messages: float = RING
    data: float = ROW
    about: float = 0
    mixing: str | None = "static"
    compressor: str | None = None
    steps: int = 1
    draws: bool = False
    alone: Mapping[str, Any] | None = field(default_factory=dict)

    def __str__(self) -> str:
        words = [self.name, *(f"{key}={value}" for key, value in self.options.items())]
        words += [word for word in (self.mixing, self.compressor) if word not in (None, "static")]
        return " ".join(words)

    def make(
        self,
        problem: Problem,
        optimizer: optax.GradientTransformation | None = None,
        graph: Graph | None = None,
        **options: Any,
    ) -> Algorithm:
        """Return the algorithm on ``problem``, by default with SGD on the graph of its mixing."""
        arguments: list[Any] = [problem, optimizer or optax.sgd(0.1)]
        if self.mixing is not None:
            of_size, mix = MIXINGS[self.mixing]
            arguments.append(mix(graph or of_size(problem.n_nodes)))
        if self.compressor is not None:
            arguments.append(COMPRESSORS[self.compressor]())
        return ALGORITHMS[self.name](*arguments, **{**self.options, **options})

    @property
    def learns(self) -> bool:
        """Whether anybody computes a gradient."""
        return self.steps > 0

    @property
    def talks(self) -> bool:
        """Whether nodes send anything to each other."""
        return self.mixing is not None


def compressed(
    name: str,
    compressor: str,
    size: tuple[int, int],
    *,
    rows: int = 1,
    draws: bool = False,
    alone: Mapping[str, Any] = MappingProxyType({}),
) -> Case:
    return Case(name, {}, data=rows * size[0], about=rows * size[1], compressor=compressor, draws=draws, alone=alone)


CASES = [
    Case("gossip", about=4),
    Case("gossip", {"order": "update_merge"}, about=4),
    Case("gossip", {"weighting": "age"}, about=4),
    Case("gossip", {"weighting": "samples"}, about=4),
    Case("gossip", {"payload": "update"}),
    Case("gossip", {"payload": "update", "weighting": "age"}, about=4),
    Case("gossip", {"payload": "gradient"}),
    Case("gossip", {"local_steps": 3}, about=4, steps=3),
    Case("dsgd"),
    Case("dsgd", {"form": "cta"}),
    Case("dsgd", {"form": "dgd"}),
    Case("dsgd", {"local_steps": 3}, steps=3),
    Case("skiptrain", {"local_steps": 3, "budget": 3, "over": 8}, steps=3, draws=True, alone=ALL_TRAIN),
    Case("skiptrain", {"mixing_rounds": 2}, alone=ALL_TRAIN),
    Case("epidemic", messages=PUSHES, mixing="push", draws=True),
    Case("epidemic", {"local_steps": 3}, messages=FRESH, mixing="fresh_regular", steps=3, draws=True),
    Case("clique_averaging", messages=CLIQUES, mixing="d_cliques"),
    # On a ring, a round's list has two nodes more than the last, until all eleven are known; two similarities, once in seven rounds.
    Case("morph", about=4 * (2 + 4 + 6 + 8 + 10 + 11 + 11 + 2) / 7, draws=True),
    Case("morph", {"local_steps": 3, "every": 9}, about=4 * (2 + 4 + 6 + 8 + 10 + 11 + 11) / 7, steps=3),
    Case("dsgdm", alone=NO_MOMENTUM),
    Case("dmsgd", data=2 * ROW, alone=NO_MOMENTUM),
    Case("qg_dsgdm", alone=NO_MOMENTUM),
    Case("decentlam", alone=NO_MOMENTUM),
    Case("d2"),
    Case("exact_diffusion"),
    Case("extra"),
    Case("gradient_tracking", data=2 * ROW),
    Case("gradient_tracking", {"form": "semi_atc"}, data=2 * ROW),
    Case("gradient_tracking", {"form": "atc"}, data=2 * ROW),
    Case("gt_saga", data=2 * ROW, alone=None),
    Case("gt_sarah", {"period": 3}, data=2 * ROW, alone=None),
    Case("gt_vr", {"probability": 0.5}, data=2 * ROW, draws=True, alone=None),
    Case("k_gt", {"local_steps": 3, "outer_rate": 1.0}, data=2 * ROW, steps=3),
    Case("led", {"local_steps": 3}, steps=3),
    Case("proxskip", {"probability": 1.0}),
    Case("wang_elia", data=2 * ROW),
    Case("admm", {"penalty": 0.5, "local_steps": 3}, steps=3),
    Case("dlm", {"penalty": 0.5}),
    Case("dinno", {"penalty": 0.5, "local_steps": 3, "growth": 1.1}, steps=3),
    Case("lt_admm", {"local_steps": 3}, steps=3),
    Case("lt_admm", {"local_steps": 3, "variance_reduction": "renewed"}, steps=3, alone=None),
    Case("lt_admm", {"local_steps": 3, "variance_reduction": "kept"}, steps=3, alone=None),
    Case("atg", data=2 * ROW, alone={"averaging": 1.0}),
    Case("sgp", messages=DIRECTED, about=4, mixing="push_sum"),
    Case("sgp", {"local_steps": 3}, messages=N, about=4, mixing="push_sum_random", steps=3, draws=True),
    Case("push_diging", messages=DIRECTED, data=2 * ROW, about=4, mixing="push_sum"),
    compressed("choco", "top_k", TOP_2),
    compressed("choco", "random_k", RANDOM_2, draws=True),
    compressed("choco", "qsgd", QSGD_4, draws=True),
    compressed("deep_squeeze", "top_k", TOP_2),
    compressed("deep_squeeze", "sign", SIGNS),
    compressed("beer", "top_k", TOP_2, rows=2),
    compressed("beer", "random_k", RANDOM_2, rows=2, draws=True),
    compressed("motef", "sign", SIGNS, rows=2, alone=NO_MOMENTUM),
    compressed("lead", "qsgd", QSGD_4, draws=True),
    compressed("cedas", "random_k", RANDOM_2, draws=True),
    # A row of five is a matrix of 3 × 2: a message of three numbers, then one of two, on every link and for every rank.
    Case("power_gossip", messages=2 * RING, data=4 * (3 + 2) / 2),
    Case("power_gossip", {"rank": 2}, messages=2 * RING, data=2 * 4 * (3 + 2) / 2),
    Case("relay_sgd", messages=TREE, about=4, mixing="tree"),
    Case("muffliato", {"gossip_steps": 3}, messages=3 * RING, draws=True, alone={"noise": 1e-8}),
    Case("outer_gossip", {"local_steps": 3}, steps=3, alone=NO_OUTER),
    Case("noloco", {"local_steps": 3}, steps=3, alone={"outer_rate": 1.0, **NO_MOMENTUM}),
    Case("noloco", {"consensus_rate": 0.5}, data=2 * ROW, steps=10, alone={"outer_rate": 1.0, **NO_MOMENTUM}),
    # Of seven rounds the fourth ends with a slow step, with a row from every node to all of them together, and one back.
    Case("slowmo", {"every": 4}, messages=RING + 2 * N / 7, alone={"exact_mean": False, **NO_MOMENTUM}),
    # Three fragments, of two columns, two and one, each once in seven rounds.
    Case(
        "streaming_diloco",
        {"every": 7, "fragments": 3},
        messages=3 * RING / 7,
        data=ROW / 3,
        alone={"every": 1, "fragments": 1, "outer_rate": 1.0, **NO_MOMENTUM},
    ),
    Case("sparta", {"fraction": 0.4}, data=2 * 4, draws=True),
    Case("sparta", {"fraction": 0.4, "selection": "chunks"}, data=2 * 4, draws=True),
    Case("ditto", alone=NO_PULL),
    Case("ditto", {"local_steps": 3, "form": "cta"}, steps=3, alone=NO_PULL),
    Case("multi_task"),
    Case("multi_task", {"local_steps": 3}, steps=3),
    Case("model_propagation", steps=0),
    Case("fedrep"),
    Case("fedrep", {"local_steps": 3, "head_steps": 2}, steps=3),
    # Three numbers of five, and the masks of five bits in the first of seven rounds.
    Case("dispfl", {"density": 0.6, "share": 0.0}, data=3 * 4, about=1 / 7, draws=True, alone={"density": 1.0}),
    Case("dispfl", {"density": 1.0, "local_steps": 3}, steps=3),
    Case("averaging", steps=0),
    Case("averaging", messages=2, mixing="pairwise", steps=0, draws=True),
    Case("shift_register", steps=0),
    Case("chebyshev", steps=0),
    Case("halving_windows", messages=N, mixing=None, steps=0),
    Case("push_sum", messages=DIRECTED, about=4, mixing="push_sum", steps=0),
    Case("federated_averaging", messages=2 * N, mixing=None),
    Case("federated_averaging", {"fraction": 0.5, "local_steps": 3}, messages=N, mixing=None, steps=3, draws=True),
    Case("fedprox", {"local_steps": 3}, messages=2 * N, mixing=None, steps=3, alone={"proximity": 0.0}),
    Case("fedadam", {"local_steps": 3}, messages=2 * N, mixing=None, steps=3, alone=None),
    Case("fedyogi", messages=2 * N, mixing=None, alone=None),
    Case("fedadagrad", messages=2 * N, mixing=None, alone=None),
    Case("fednova", {"fraction": 0.5, "local_steps": 3}, messages=N, mixing=None, steps=3, draws=True),
    Case("feddyn", {"fraction": 0.5, "local_steps": 3}, messages=N, mixing=None, steps=3, draws=True, alone=None),
    Case("scaffold", {"fraction": 0.5, "local_steps": 3}, messages=N, data=2 * ROW, mixing=None, steps=3, draws=True),
    Case(
        "hierarchical_averaging",
        {"clusters": 5, "every": 7, "gossip_steps": 2, "fraction": 0.5, "local_steps": 3},
        messages=N + 2 * 2 * 5 / 7,
        mixing=None,
        steps=3,
        draws=True,
        alone=ONE_CLUSTER,
    ),
    Case("hierarchical_averaging", {"clusters": 4}, messages=2 * N + 2 * 4, mixing=None, alone=ONE_CLUSTER),
    Case("diloco", {"local_steps": 3}, messages=2 * N, mixing=None, steps=3, alone=NO_OUTER),
    # A message to the server, and the model back: the messages of all would be larger.
    Case(
        "sparse_loco",
        {"local_steps": 3},
        messages=2 * N,
        data=(2 * 4 + ROW) / 2,
        about=1 / 2,
        mixing=None,
        compressor="top_k",
        steps=3,
        alone=None,
    ),
    Case("isolated", messages=0, mixing=None),
    Case("isolated", {"local_steps": 3}, messages=0, mixing=None, steps=3),
    Case("centralised", messages=0, mixing=None),
    Case("centralised", {"local_steps": 3}, messages=0, mixing=None, steps=3),
]
COMPRESSING = frozenset(case.name for case in CASES if case.compressor is not None)
"""Methods whose messages are compressed."""


def first_of_each[C: Any](cases: Sequence[C]) -> list[C]:
    """Return the first case of each name."""
    names = [case.name for case in cases]
    return [case for number, case in enumerate(cases) if case.name not in names[:number]]
