"""Random graphs built by switching edges or by growth: random regular, Watts–Strogatz, Barabási–Albert."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from jaxgossip.core.arguments import generator
from jaxgossip.core.errors import GraphError
from jaxgossip.topology.checks import node_count, probability, whole_number
from jaxgossip.topology.generators.edge_keys import EdgeSet
from jaxgossip.topology.generators.lattices import check_even_ring, k_nearest_ring
from jaxgossip.topology.graph import Graph, from_links
from jaxgossip.topology.memory_check import check_links

MAX_ROUNDS = 200
"""Limit on the rounds of switches of a pairing, and on the draws of a rewiring; two or three mostly suffice."""
MAX_DRAWS = 100
"""Pairings of a small graph to draw before switching the last one: nearly always enough for degree 3."""
SMALL = 100_000
"""Number of edges (or edge ends) up to which a graph counts as small."""

ONE_BY_ONE = 4
"""Preferential attachment adds the first ONE_BY_ONE · m² nodes one by one, then spans of nodes."""


def random_regular(nodes: int, degree: int, *, rng: np.random.Generator | int = 0) -> Graph:
    """Return a random simple graph in which every node has ``degree`` neighbours.

    The pairing model (Bollobás 1980) matches the nodes' edge ends at random; loops and double edges, (d² − 1)/4 of them
    on average for any size of the graph, are removed by switching ends with random other edges. The distribution is
    uniform for small graphs of degree up to 3, and in the limit of many nodes. Dense graphs are drawn as complements. The
    graph is connected with high probability for degree ≥ 3.

    Args:
        nodes: number of nodes, more than degree.
        degree: neighbours of each node; nodes · degree must be even.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: nodes · degree is odd, degree is not less than nodes, or the links exceed the memory.
    """
    nodes = node_count("random_regular", nodes, 2, hint="one node is a complete graph")
    degree = whole_number("random_regular", "degree", degree, 1)
    if degree >= nodes:
        raise GraphError(
            f"random_regular: degree {degree} has no room on {nodes} nodes",
            hint=f"degree at most {nodes - 1}, or at least {degree + 1} nodes",
        )
    if nodes * degree % 2:
        others = [value for value in (degree - 1, degree + 1) if 1 <= value < nodes]
        sizes = [value for value in (nodes - 1, nodes + 1) if value > degree]
        raise GraphError(
            f"random_regular: {nodes} nodes of degree {degree} have {nodes * degree} edge ends, an odd number",
            hint=f"degree {' or '.join(map(str, others))}, or {' or '.join(map(str, sizes))} nodes",
        )
    check_links("random_regular", nodes, nodes * degree)
    rng = generator("random_regular", rng)
    if 2 * degree <= nodes - 1:
        first, second = _simple_pairing(nodes, degree, rng)
    else:
        joined = np.tri(nodes, k=-1, dtype=bool)
        if degree < nodes - 1:
            first, second = _simple_pairing(nodes, nodes - 1 - degree, rng)
            joined[np.maximum(first, second), np.minimum(first, second)] = False
        first, second = np.nonzero(joined)
    return from_links(nodes, first, second, name="random_regular")


def watts_strogatz(nodes: int, degree: int, beta: float, *, rng: np.random.Generator | int = 0) -> Graph:
    """Return the small world: a ring of ``degree`` nearest neighbours, each edge rewired with probability ``beta``.

    As in Watts and Strogatz (1998), edges between the nearest neighbours are rewired first: one end stays, and the other
    moves to a uniformly drawn node that is neither the first nor its neighbour already. The number of edges stays
    nodes · degree / 2. An edge that finds no free end in 200 draws is kept, which happens only on nearly complete graphs.

    Args:
        nodes: number of nodes.
        degree: mean number of neighbours: even, and less than nodes.
        beta: probability that an edge is rewired.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: degree is odd or not less than nodes, beta is not a probability, or the links exceed the memory.
    """
    nodes, degree = check_even_ring("watts_strogatz", nodes, degree)
    beta = probability("watts_strogatz", "beta", beta)
    rng = generator("watts_strogatz", rng)
    if beta == 0.0 or degree == nodes - 1:  # no edge moves, or there is no free end to move to
        return replace(k_nearest_ring(nodes, degree), name="watts_strogatz")
    check_links("watts_strogatz", nodes, nodes * degree)
    kept = np.tile(np.arange(nodes), degree // 2)
    moved = (kept + np.repeat(np.arange(1, degree // 2 + 1), nodes)) % nodes
    chosen = rng.random(moved.size) < beta
    edges = EdgeSet(nodes, kept, moved)
    # Edges rewired together still see each other's old places as taken, which matters only on small graphs.
    together = max(1, nodes * moved.size // SMALL)
    for batch in _batches(moved.size, nodes, together):
        waiting = batch[chosen[batch]]
        for _ in range(MAX_ROUNDS):
            if not waiting.size:
                break
            ends = rng.integers(nodes, size=waiting.size)
            accepted = edges.could_add(kept[waiting], ends)
            moved[waiting[accepted]] = ends[accepted]
            edges.add(kept[waiting[accepted]], ends[accepted])
            waiting = waiting[~accepted]
    return from_links(nodes, kept, moved, name="watts_strogatz")


def barabasi_albert(nodes: int, m: int, *, rng: np.random.Generator | int = 0) -> Graph:
    """Return the preferential attachment graph: each new node joins m distinct nodes, drawn in proportion to their degrees.

    The graph grows from a star of m + 1 nodes; a draw that repeats an earlier one of the same new node is made again
    (Barabási and Albert 1999). Degrees have the tail P(degree ≥ k) ≈ m(m+1)/(k(k+1)).

    Drawing a node by degree is drawing an end of an earlier edge uniformly. All draws are made first, and those that hit
    the drawn end of another edge are followed to the draw of that one (Sanders and Schulz 2016, "Scalable generation of
    scale-free graphs"), for spans of nodes that double in length.

    Args:
        nodes: number of nodes, more than m.
        m: number of edges that each new node adds.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: m is below 1, there are fewer than m + 1 nodes, or the links exceed the free memory.
    """
    nodes = node_count("barabasi_albert", nodes, 2, hint="one node is a complete graph")
    m = whole_number("barabasi_albert", "m", m, 1)
    if m >= nodes:
        raise GraphError(
            f"barabasi_albert: {m} edges of a new node have no room on {nodes} nodes",
            hint=f"m at most {nodes - 1}, or at least {m + 1} nodes",
        )
    check_links("barabasi_albert", nodes, 2 * nodes * m)
    rng = generator("barabasi_albert", rng)
    newer = np.concatenate([np.arange(1, m + 1), np.repeat(np.arange(m + 1, nodes), m)])
    older = np.zeros(newer.size, np.int64)
    # Nearly all draws of the first nodes repeat others or depend on them, so these nodes are added one by one.
    start = min(nodes, max(ONE_BY_ONE * m * m, m + 1))
    for node in range(m + 1, start):
        _attach_one(newer, older, m, node, rng)
    while start < nodes:
        stop = min(2 * start, nodes)
        _attach_span(newer, older, m, range(start, stop), rng)
        start = stop
    return from_links(nodes, newer, older, name="barabasi_albert")


def _batches(n_edges: int, nodes: int, together: int) -> Iterator[np.ndarray]:
    """Yield the indices of the edges in the order of their distance on the ring, at most ``together`` at a time."""
    for start in range(0, n_edges, nodes):
        for place in range(start, start + nodes, together):
            yield np.arange(place, min(place + together, start + nodes))


def _simple_pairing(nodes: int, degree: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends, both (m,), of the edges of a simple regular graph whose degree is at most half the nodes."""
    draws = 0
    while True:
        ends = np.repeat(np.arange(nodes, dtype=np.int32), degree)
        rng.shuffle(ends)
        first, second = ends[::2].copy(), ends[1::2].copy()
        draws += 1
        # Switches favour some of the very small graphs. There, drawing again is cheap and keeps the law uniform.
        draw_again = degree <= 4 and ends.size <= SMALL and draws < MAX_DRAWS
        if _switch_to_simple(nodes, first, second, rng, 0 if draw_again else MAX_ROUNDS):
            return first, second


def _switch_to_simple(nodes: int, first: np.ndarray, second: np.ndarray, rng: np.random.Generator, rounds: int) -> bool:
    """Remove loops and duplicates in place: {a, b}, {x, y} become {a, x}, {b, y}. Return whether the graph is now simple."""
    edges = EdgeSet(nodes, first, second)
    bad = np.union1d(np.flatnonzero(first == second), edges.repeated())
    for _ in range(rounds):
        if not bad.size:
            break
        partner = rng.choice(first.size, min(bad.size, first.size), replace=False)
        flip = rng.random(bad.size) < 0.5
        a, b = first[bad], second[bad]
        x, y = np.where(flip, second[partner], first[partner]), np.where(flip, first[partner], second[partner])
        possible = edges.could_add(np.concatenate([a, b]), np.concatenate([x, y])).reshape(2, -1).all(axis=0)
        possible &= ~np.isin(partner, bad)
        a, b, x, y = a[possible], b[possible], x[possible], y[possible]
        first[bad[possible]], second[bad[possible]] = a, x
        first[partner[possible]], second[partner[possible]] = b, y
        edges.add(np.concatenate([a, b]), np.concatenate([x, y]))
        bad = bad[~possible]
    return not bad.size


def _attach_one(newer: np.ndarray, older: np.ndarray, m: int, node: int, rng: np.random.Generator) -> None:
    """Fill ``older`` for the edges of ``node``: m distinct nodes, drawn uniformly from the ends of earlier edges."""
    begin = m * (node - m)
    targets = np.empty(0, np.int64)
    while targets.size < m:
        drawn = (rng.random(m - targets.size) * 2 * begin).astype(np.int64)
        ends = np.where(drawn & 1, older[drawn >> 1], newer[drawn >> 1])
        targets = np.unique(np.concatenate([targets, ends]))
    older[begin : begin + m] = targets


def _attach_span(newer: np.ndarray, older: np.ndarray, m: int, span: range, rng: np.random.Generator) -> None:
    """Fill ``older`` for the edges of the nodes of ``span``, with the same law as adding them one by one.

    A node draws its ends in turn, and repeats a draw that equals an earlier one. Repetitions are judged only once all
    draws that they depend on are settled, so that the law is exactly that of the sequential process.
    """
    begin, end = m * (span.start - m), m * (span.stop - m)
    ends_before = 2 * m * (newer[begin:end] - m)
    drawn = (rng.random(end - begin) * ends_before).astype(np.int64)
    while True:
        edge, takes_older = drawn >> 1, (drawn & 1).astype(bool)
        older[begin:end] = np.where(takes_older, older[edge], newer[edge])
        dependent = np.flatnonzero(takes_older & (edge >= begin))  # on an edge of the span itself
        _follow(older[begin:end], dependent, edge[dependent] - begin)
        row, slot = _repeats_in_rows(older[begin:end].reshape(-1, m))
        if not row.size:
            return
        waiting = _downstream(len(span), np.unique(row), dependent // m, (edge[dependent] - begin) // m)
        again = (row * m + slot)[~waiting[row]]
        drawn[again] = (rng.random(again.size) * ends_before[again]).astype(np.int64)


def _follow(values: np.ndarray, child: np.ndarray, parent: np.ndarray) -> None:
    """Set ``values[child] = values[parent]`` in place, parents first; every parent precedes its child."""
    unknown = np.zeros(values.size, bool)
    unknown[child] = True
    while child.size:
        later = unknown[parent]
        values[child[~later]] = values[parent[~later]]
        unknown[child[~later]] = False
        child, parent = child[later], parent[later]


def _repeats_in_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (row, slot), both (k,), of the entries of ``rows`` (r, m) that equal an earlier entry of their row."""
    ordered = np.sort(rows, axis=1)
    suspect = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    order = np.argsort(rows[suspect], axis=1, kind="stable")
    ordered = ordered[suspect]
    place, rank = np.nonzero(ordered[:, 1:] == ordered[:, :-1])
    return suspect[place], order[place, rank + 1]


def _downstream(size: int, sources: np.ndarray, child: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """Return (size,) bool: the nodes that depend on one of ``sources``, directly or indirectly."""
    dependent, unsettled = np.zeros(size, bool), np.zeros(size, bool)
    unsettled[sources] = True
    while True:
        reached = child[unsettled[parent]]
        reached = reached[~dependent[reached]]
        if not reached.size:
            return dependent
        dependent[reached] = unsettled[reached] = True
