"""D-Cliques: cliques of nodes whose samples together have the classes of all, and few edges between them.

cost of cliques  Σ_cliques Σ_classes |share in the clique − share overall|

From a random division, again and again two random cliques swap a node for a node if that lowers their cost. Then the cliques
are joined: in a ring, as a fractal, at distances 1, 2, 4, … as in a small world, or all to all; an edge ends at the node of
a clique that has fewest of them. Bellet, Kermarrec and Lavoie 2021, "D-Cliques: compensating for data heterogeneity with
topology in decentralized federated learning".

Nodes that swap know the class shares of both cliques: to be told one's clique, one reveals one's shares of classes to some
others, and once. Averaging gradients within cliques (:func:`jaxgossip.algorithms.clique_averaging`) reveals the gradient of
each round to all of one's clique, which mixing alone does not.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from types import MappingProxyType
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64

from jaxgossip.core.arguments import generator
from jaxgossip.core.errors import GraphError
from jaxgossip.topology.checks import class_shares_of, whole_number
from jaxgossip.topology.graph import Graph, from_links
from jaxgossip.topology.memory_check import check_links

Joined = Literal["ring", "fractal", "small_world", "all"]
LOWER = 1e-12
"""Change of the cost that is not rounding."""


def d_cliques(
    class_shares: Float[np.ndarray, "n C"],
    *,
    size: int = 10,
    joined: Joined = "small_world",
    swaps: int = 1000,
    rng: np.random.Generator | int = 0,
) -> Graph:
    """Return the graph of D-Cliques: the cliques of :func:`class_cliques`, joined by :func:`join_cliques`.

    Args:
        class_shares: (n, C), the share of each class in the samples of each node; rows sum to one.
        size: number of nodes of a clique; the last one is smaller if it does not divide n.
        joined: "ring"; "fractal": ``size`` cliques all to all, as many such groups all to all, and so on; "small_world": each
            clique with those at distances 1, 2, 4, … on a ring; or "all": every two cliques.
        swaps: number of times that two random cliques swap two nodes if that lowers their cost.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: shares that are no (n, C) with rows that sum to one, cliques of fewer than 2 nodes,
            a negative number of swaps, an unknown way to join, or too many links.
    """
    return join_cliques(class_cliques(class_shares, size=size, swaps=swaps, rng=rng), joined=joined)


def class_cliques(
    class_shares: Float[np.ndarray, "n C"], *, size: int = 10, swaps: int = 1000, rng: np.random.Generator | int = 0
) -> Int64[np.ndarray, " n"]:
    """Return (n,), the number of the clique of each node, so divided by swaps that cliques have the classes of all nodes.

    Args:
        class_shares: (n, C), the share of each class in the samples of each node; rows sum to one.
        size: number of nodes of a clique; the last one is smaller if it does not divide n.
        swaps: number of times that two random cliques swap two nodes if that lowers their cost.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: as in :func:`d_cliques`.
    """
    shares = class_shares_of("d_cliques", class_shares)
    size = whole_number("d_cliques", "size", size, 2, hint="a clique of one node is no clique")
    swaps = whole_number("d_cliques", "swaps", swaps, 0)
    rng, overall = generator("d_cliques", rng), shares.mean(0)
    cliques = np.split(rng.permutation(len(shares)), range(size, len(shares), size))
    for _ in range(swaps if len(cliques) > 1 else 0):
        first, second = (cliques[number] for number in rng.choice(len(cliques), 2, replace=False))
        given = shares[second][None, :, :] - shares[first][:, None, :]  # what the first has more after a swap
        costs = [
            np.abs(shares[clique].mean(0) + sign * given / clique.size - overall).sum(-1)
            for clique, sign in ((first, 1), (second, -1))
        ]
        now = sum(np.abs(shares[clique].mean(0) - overall).sum() for clique in (first, second))
        better = np.argwhere(costs[0] + costs[1] < now - LOWER)
        if len(better):
            mine, yours = better[rng.integers(len(better))]
            first[mine], second[yours] = second[yours], first[mine]
    found = np.empty(len(shares), np.int64)
    for number, clique in enumerate(cliques):
        found[clique] = number
    return found


def clique_cost(class_shares: Float[np.ndarray, "n C"], clique: Int64[np.ndarray, " n"]) -> float:
    """Return the cost of cliques: Σ_cliques Σ_classes |share in the clique − share overall|.

    Args:
        class_shares: (n, C), the share of each class in the samples of each node.
        clique: (n,) the number of each node's clique.

    Raises:
        GraphError: shares that are no (n, C) with rows that sum to one, or cliques of other nodes.
    """
    shares, clique = class_shares_of("clique_cost", class_shares), _numbers("clique_cost", clique)
    if clique.size != len(shares):
        raise GraphError(f"clique_cost: cliques of {clique.size:,} nodes, and class_shares of {len(shares):,}")
    overall = shares.mean(0)
    return float(sum(np.abs(shares[nodes].mean(0) - overall).sum() for nodes in _members(clique)))


def join_cliques(clique: Int64[np.ndarray, " n"], *, joined: Joined = "small_world") -> Graph:
    """Return the graph of complete cliques with single edges between them, each at the nodes with fewest of those.

    Args:
        clique: (n,) the number of each node's clique.
        joined: "ring", "fractal", "small_world" or "all"; see :func:`d_cliques`.

    Raises:
        GraphError: an array that is not (n,) of whole numbers, an unknown way to join, or too many links.
    """
    clique = _numbers("d_cliques", clique)
    if joined not in _PAIRS:
        raise GraphError(f"d_cliques: joined cannot be {joined!r}", hint=", ".join(_PAIRS))
    members = _members(clique)
    sizes = np.array([nodes.size for nodes in members])
    most = len(members) ** 2 if joined == "all" else 2 * len(members) * max(2, sizes.max(), len(members).bit_length())
    hint = "smaller cliques, or joined = 'ring'"
    check_links("d_cliques", clique.size, float((sizes * (sizes - 1)).sum() + most), hint)
    load, ends = np.zeros(clique.size, np.int64), []
    for groups in _PAIRS[joined](len(members), int(sizes.max())):
        ends.append(
            [nodes[load[nodes].argmin()] for nodes in (np.concatenate([members[c] for c in g]) for g in groups)]
        )
        load[ends[-1]] += 1
    first, second = np.concatenate([inside(clique), np.array(ends, np.int64).reshape(-1, 2).T], axis=1)
    return from_links(clique.size, first, second, name="d_cliques")


def inside(clique: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, "2 m"]:
    """Return (2, m): every two nodes of one clique, given the number of each node's."""
    pairs = [nodes[np.stack(np.triu_indices(nodes.size, 1))] for nodes in _members(clique)]
    return np.concatenate(pairs, axis=1)


Pairs = Iterator[tuple[range, range]]
"""The pairs of runs of cliques between which there is an edge."""


def _at_distances(cliques: int, distances: list[int]) -> Pairs:
    pairs = {tuple(sorted((c, (c + distance) % cliques))): None for distance in distances for c in range(cliques)}
    return ((range(a, a + 1), range(b, b + 1)) for a, b in pairs if a != b)


def _ring(cliques: int, size: int) -> Pairs:  # noqa: ARG001 - as of the others
    return _at_distances(cliques, [1])


def _small_world(cliques: int, size: int) -> Pairs:  # noqa: ARG001 - as of the others
    return _at_distances(cliques, [2**power for power in range(max(1, (cliques // 2).bit_length()))])


def _all(cliques: int, size: int) -> Pairs:  # noqa: ARG001 - as of the others
    return ((range(a, a + 1), range(b, b + 1)) for a, b in combinations(range(cliques), 2))


def _fractal(cliques: int, size: int) -> Pairs:
    groups = [range(c, c + 1) for c in range(cliques)]
    while len(groups) > 1:
        together = [groups[start : start + size] for start in range(0, len(groups), size)]
        for level in together:
            yield from combinations(level, 2)
        groups = [range(level[0].start, level[-1].stop) for level in together]


_PAIRS: Mapping[str, Callable[[int, int], Pairs]] = MappingProxyType(
    {"ring": _ring, "fractal": _fractal, "small_world": _small_world, "all": _all}
)


def _members(clique: Int64[np.ndarray, " n"]) -> list[Int64[np.ndarray, " k"]]:
    """Return the nodes of each clique, ascending, given the number of each node's."""
    nodes = np.argsort(clique, kind="stable")
    return np.split(nodes, np.flatnonzero(np.diff(clique[nodes])) + 1)


def _numbers(owner: str, clique: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    numbers = np.asarray(clique)
    if numbers.ndim != 1 or not numbers.size or numbers.dtype.kind not in "iu":
        raise GraphError(
            f"{owner}: clique must be a whole number for each node, not {numbers.dtype}{list(numbers.shape)}",
            hint="class_cliques(class_shares) returns them",
        )
    return numbers.astype(np.int64)
