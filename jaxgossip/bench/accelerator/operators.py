"""Every kind of mixing, on graphs of every structure: Y = W X against the float64 matrix of W.

Of static weights the matrix is the topology's own, made by NumPy and SciPy alone. Mixing that is drawn is compared with the
matrix of its own draw, and with the draw of the CPU: the same key draws the same network on every device.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip import mixing, topology
from jaxgossip.bench.accelerator.check import Check, Found, Sizes, compared, together
from jaxgossip.bench.accelerator.device import on_cpu
from jaxgossip.core.random import host_rng, run_key
from jaxgossip.experiment.config.schema import supply
from jaxgossip.mixing import MIXINGS, Mixing, Operator
from jaxgossip.mixing.optimized.weights import Edges
from jaxgossip.schedule.contacts import ContactSource, random_waypoint
from jaxgossip.simulation.compiled import Compiler
from jaxgossip.topology import Graph

COLUMNS = 3
CLASSES = 10
MOST_DENSE = 4096
"""Most nodes of a complete graph whose matrix is written out."""
ROUND = 3
"""The round whose mixing is compared."""

OfSize = Callable[[int], Graph]
"""A graph of about so many nodes."""


def _power(n: int) -> int:
    """Return the smallest power of two from ``n``."""
    return 1 << (n - 1).bit_length()


STRUCTURES: Mapping[str, OfSize] = MappingProxyType(
    {
        "ring": topology.ring,
        "path": topology.path,
        "torus": lambda n: topology.torus(3 * (n // 3), shape=(3, n // 3)),
        "hypercube": lambda n: topology.hypercube(_power(n)),
        "complete": topology.complete,
        "star": topology.star,
        "binary_tree": topology.binary_tree,
        "static_exponential": topology.static_exponential,
        "random_regular": lambda n: topology.random_regular(n - n % 2, 4, rng=0),
        "barabasi_albert": lambda n: topology.barabasi_albert(n, 2, rng=0),
        "localised random_geometric": lambda n: topology.localised(topology.random_geometric(n, mean_degree=6, rng=0)),
    }
)
"""Graphs of n nodes, one for every structure that an operator is chosen by: rolls, shifts, flips, a mean, tables, hybrids."""


@dataclass(frozen=True)
class Kind:
    """How a kind of mixing is tried.

    Attributes:
        graphs: the graphs that it is tried on, by name.
        options: its keywords.
        large: whether large networks of it are tried, too.
    """

    graphs: Mapping[str, OfSize]
    options: Mapping[str, Any] = field(default_factory=dict)
    large: bool = True


RING = MappingProxyType({"ring": topology.ring})
POWER = MappingProxyType({"a power of two": lambda n: topology.ring(_power(n))})
PEERS = MappingProxyType({name: STRUCTURES[name] for name in ("complete", "binary_tree", "random_regular")})
"""Peers are drawn from all nodes, from lists of different lengths, and from lists of one length."""
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "static": Kind(STRUCTURES),
        "matching": Kind(PEERS),
        "pairwise": Kind(PEERS),
        "push": Kind(PEERS, {"fanout": 2}),
        "pull": Kind(PEERS, {"fanout": 2}),
        "push_sum": Kind({name: STRUCTURES[name] for name in ("static_exponential", "random_regular", "ring")}),
        "one_peer_hypercube": Kind(POWER),
        "hyper_hypercube": Kind(POWER),
        "de_bruijn": Kind(POWER),
        "d_cliques": Kind(RING, large=False),
        "stl_fw": Kind(RING, large=False),
        "divshare": Kind(PEERS, {"fragments": 3, "fanout": 2}),
        "mosaic": Kind(RING, {"fragments": 3, "degree": 3}),
        "shatter": Kind(RING, {"fragments": 3, "degree": 3}),
        "from_file": Kind(RING, large=False),
        "contacts": Kind(RING, {"period_s": 1.0}, large=False),
    }
)
"""What is not tried on a ring with its defaults alone."""


def checks(sizes: Sizes) -> Iterator[Check]:
    """Yield every mixing of the registry on its graphs in large, and in small: static weights on all, others on the first."""
    for name in MIXINGS:
        kind = KINDS.get(name, Kind(RING))
        graphs = list(kind.graphs.items())
        small = [(sizes.small, *graph) for graph in (graphs if name == "static" else graphs[:1])]
        large = [(sizes.large, *graph) for graph in graphs if kind.large]
        for n, graph, of_size in [*small, *large]:
            yield Check(f"{name} on {graph}, {n:,}", partial(mixes, name, of_size, n, kind.options))


def mixes(name: str, of_size: OfSize, n: int, options: Mapping[str, Any]) -> Found:
    """Check one mixing on one graph of about n nodes."""
    graph = of_size(n)
    with tempfile.TemporaryDirectory() as folder:
        if name == "from_file":
            options = {"path": _weights_file(Path(folder), graph), **options}
        return _compared(
            name,
            graph,
            lambda: supply(
                MIXINGS[name],
                options,
                graph=graph,
                rng=0,
                class_shares=_class_shares(graph),
                contacts=_contacts(graph),
                n_rounds=4,
            ),
        )


def _contacts(graph: Graph) -> ContactSource:
    """Return nodes that walk over a square on which a handful of others are in range."""
    return random_waypoint(
        graph.n_nodes, host_rng(0, "accelerator contacts"), side_m=10.0 * graph.n_nodes**0.5, range_m=15.0
    )


def _class_shares(graph: Graph) -> np.ndarray:
    """Return (n, C), the shares of classes on nodes that have few of them each."""
    return host_rng(0, "accelerator classes").dirichlet(np.full(CLASSES, 0.1), graph.n_nodes)


def _compared(name: str, graph: Graph, make: Callable[[], Mixing]) -> Found:
    W = make()
    x = host_rng(0, "accelerator mixing").standard_normal((graph.n_nodes, COLUMNS), np.float32)
    now, found = _mixed(W, x)
    scale = float(np.abs(x).max())
    parts = {"W X": compared(found, _product(now, graph, x), scale=scale)}
    if name == "static":
        weights = topology.metropolis_hastings(graph)
        parts["weights"] = compared(found, _by_weights(weights, x), scale=scale)
    elif not isinstance(W, Operator):
        with on_cpu():
            there = _drawn(make())
        parts["draw"] = compared(_fingerprint(now), _fingerprint(there))
    return together(parts)


def _mixed(W: Mixing, x: np.ndarray) -> tuple[Operator, np.ndarray]:
    """Return the operator of the round, and W x (n, p), each by a program of its own."""
    now = _drawn(W)
    rows = jnp.asarray(x)
    return now, np.asarray(Compiler().compile(Operator.__call__, now, rows)(rows))


def _drawn(W: Mixing) -> Operator:
    """Return the operator of the round on the default device."""
    return W if isinstance(W, Operator) else Compiler().compile(_at, W)()


def _at(W: mixing.TimeVarying) -> Operator:
    return W.at(jnp.int32(ROUND), jax.random.fold_in(run_key(0), ROUND))


def _product(now: Operator, graph: Graph, x: np.ndarray) -> np.ndarray:
    """Return W x in float64, (n, p), by the matrix of an operator."""
    n, wide = graph.n_nodes, x.astype(np.float64)
    if isinstance(now, mixing.Fragments):
        for part, columns in zip(now.operators, now.columns(x.shape[1]), strict=False):
            wide[:, columns] = _product(part, graph, x[:, columns])
        return wide
    if n <= MOST_DENSE:
        return now.as_matrix() @ wide
    if now.n_links == n * (n - 1):  # everybody hears everybody: the mean, whose matrix would not fit
        return np.broadcast_to(wide.mean(axis=0), wide.shape)
    return now.to_scipy() @ wide


def _by_weights(weights: topology.Weights, x: np.ndarray) -> np.ndarray:
    """Return W x in float64, (n, p), by the weights of a topology; rows are in the order of its graph."""
    n, wide, order = weights.graph.n_nodes, x.astype(np.float64), weights.graph.order
    if n > MOST_DENSE and weights.graph.n_links == n * (n - 1):
        return np.broadcast_to(wide.mean(axis=0), wide.shape)
    if order is None:
        return weights.to_scipy() @ wide
    return (weights.to_scipy() @ wide[order.rows])[order.nodes]


def _fingerprint(now: Operator) -> np.ndarray:
    """Return (n, 1): for every row of a matrix, the sum of |entry| times a random number of its column.

    Matrices that differ in where their entries are differ in these sums, but by a chance too small to count.
    """
    if isinstance(now, mixing.Fragments):
        return np.concatenate([_fingerprint(part) for part in now.operators])
    matrix = abs(now.to_scipy())
    return matrix @ host_rng(0, "accelerator columns").random((matrix.shape[1], 1))


def _weights_file(folder: Path, graph: Graph) -> Path:
    """Write the Metropolis–Hastings weights of a graph as if they had been learnt; return the file."""
    edges, path = Edges(graph), folder / "weights.npz"
    np.savez(path, edges=edges.ends, fastest=edges.start, schedule=edges.start[None])
    return path
