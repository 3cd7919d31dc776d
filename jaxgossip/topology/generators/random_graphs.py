"""Random graphs by pairs of nodes: Erdős–Rényi, stochastic block and geometric.

Absent pairs are skipped rather than visited: time is proportional to the edges, and no n² array is ever allocated.
"""

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import root_scalar
from scipy.spatial import KDTree

from jaxgossip.core.arguments import generator
from jaxgossip.core.errors import GraphError
from jaxgossip.topology.checks import node_count, one_of_two, probability, real_number, whole_number
from jaxgossip.topology.graph import Graph, from_links
from jaxgossip.topology.memory_check import check_links


def erdos_renyi(
    nodes: int,
    p: float | None = None,
    mean_degree: float | None = None,
    *,
    rng: np.random.Generator | int = 0,
) -> Graph:
    """Return G(n, p): every pair of nodes is an edge with probability p, independently (Gilbert 1959).

    It is connected with high probability only for p > ln n / n. Edges are drawn by skipping a geometric number of absent
    pairs (Batagelj and Brandes 2005), in time O(n + edges).

    Args:
        nodes: number of nodes.
        p: probability of each edge; or give mean_degree.
        mean_degree: expected number of neighbours of a node, p = mean_degree / (nodes - 1); or give p.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: not exactly one of p and mean_degree is given, it is out of range, or the links exceed the memory.
    """
    nodes = node_count("erdos_renyi", nodes)
    one_of_two("erdos_renyi", "p", p, "mean_degree", mean_degree)
    if mean_degree is not None:
        hint = "a node has at most nodes - 1 neighbours"
        mean_degree = real_number("erdos_renyi", "mean_degree", mean_degree, 0.0, nodes - 1, hint)
        p = mean_degree / max(nodes - 1, 1)
    p = probability("erdos_renyi", "p", p)
    check_links("erdos_renyi", nodes, p * nodes * (nodes - 1))
    first, second = _pair_of(_successes(nodes * (nodes - 1) // 2, p, generator("erdos_renyi", rng)))
    return from_links(nodes, first, second, name="erdos_renyi")


def stochastic_block(
    nodes: int,
    blocks: int,
    p_in: float,
    p_out: float,
    *,
    rng: np.random.Generator | int = 0,
) -> Graph:
    """Return the planted partition: pairs inside a block are edges with probability p_in, across blocks with p_out.

    Blocks are runs of consecutive nodes of sizes as equal as possible (Holland, Laskey and Leinhardt 1983). With two
    blocks the normalised adjacency matrix has λ₂ ≈ (p_in − p_out)/(p_in + p_out).

    Args:
        nodes: number of nodes.
        blocks: number of blocks.
        p_in: probability of an edge between two nodes of the same block.
        p_out: probability of an edge between two nodes of different blocks.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: there are more blocks than nodes, a probability is outside [0, 1], or the links exceed the memory.
    """
    nodes = node_count("stochastic_block", nodes)
    blocks = whole_number("stochastic_block", "blocks", blocks, 1)
    if blocks > nodes:
        raise GraphError(f"stochastic_block: {blocks} blocks of {nodes} nodes", hint="every block needs a node")
    p_in = probability("stochastic_block", "p_in", p_in)
    p_out = probability("stochastic_block", "p_out", p_out)
    rng = generator("stochastic_block", rng)

    sizes = np.full(blocks, nodes // blocks, np.int64)
    sizes[: nodes % blocks] += 1
    ends = np.cumsum(sizes)
    starts, later = ends - sizes, nodes - ends  # later: number of nodes in all later blocks

    within = np.cumsum(sizes * (sizes - 1) // 2)
    across = np.cumsum(sizes * later)
    check_links("stochastic_block", nodes, 2 * (p_in * int(within[-1]) + p_out * int(across[-1])))
    block, rank = _locate(within, _successes(int(within[-1]), p_in, rng))
    first, second = _pair_of(rank)
    lower, pair = _locate(across, _successes(int(across[-1]), p_out, rng))
    row, column = np.divmod(pair, later[lower])
    return from_links(
        nodes,
        np.concatenate([starts[block] + first, starts[lower] + row]),
        np.concatenate([starts[block] + second, ends[lower] + column]),
        name="stochastic_block",
    )


def random_geometric(
    nodes: int,
    radius: float | None = None,
    mean_degree: float | None = None,
    *,
    rng: np.random.Generator | int = 0,
) -> Graph:
    """Return the random geometric graph: uniform points of the unit square, joined if closer than ``radius``.

    The positions are kept as ``graph.positions``. Two uniform points of the unit square are closer than r ≤ 1 with
    probability πr² − 8r³/3 + r⁴/2, borders included, which determines the radius for a mean degree.

    Args:
        nodes: number of nodes.
        radius: largest length of an edge, in sides of the square; or give mean_degree.
        mean_degree: expected number of neighbours of a node; or give radius.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: not exactly one of radius and mean_degree is given, it is out of range, or the links exceed the memory.
    """
    nodes = node_count("random_geometric", nodes)
    one_of_two("random_geometric", "radius", radius, "mean_degree", mean_degree)
    if mean_degree is not None:
        hint = "a higher mean degree is nearly the complete graph: use that"
        limit = max(nodes - 1, 1) * _closer_than(1.0)
        mean_degree = real_number("random_geometric", "mean_degree", mean_degree, 0.0, limit, hint)
        share = mean_degree / max(nodes - 1, 1)
        radius = root_scalar(lambda r: _closer_than(r) - share, bracket=(0.0, 1.0), xtol=1e-15).root
    radius = real_number("random_geometric", "radius", radius, 0.0, math.sqrt(2), hint="the unit square's diagonal")
    check_links("random_geometric", nodes, nodes * (nodes - 1) * _closer_than(min(radius, 1.0)))
    positions = generator("random_geometric", rng).random((nodes, 2))
    pairs = KDTree(positions).query_pairs(radius, output_type="ndarray")
    return replace(from_links(nodes, pairs[:, 0], pairs[:, 1], name="random_geometric"), positions=positions)


def _closer_than(radius: float) -> float:
    """Return the probability that two uniform points of the unit square are closer than ``radius`` <= 1."""
    return math.pi * radius**2 - 8 / 3 * radius**3 + radius**4 / 2


def _successes(trials: int, p: float, rng: np.random.Generator) -> np.ndarray:
    """Return the sorted indices, (k,) int64, of the successes among ``trials`` Bernoulli(p) trials."""
    if p == 0.0 or trials == 0:
        return np.empty(0, np.int64)
    successes, last = [], -1
    while last < trials - 1:
        expected = (trials - 1 - last) * p
        # A margin of four standard deviations makes a second draw the exception.
        gaps = rng.geometric(p, int(expected + 4 * math.sqrt(expected)) + 1)
        # The first gap may end at trial 0, so only a gap above ``trials`` is sure to skip all of them.
        numbers = last + np.cumsum(np.minimum(gaps, trials + 1))
        successes.append(numbers[: np.searchsorted(numbers, trials)])
        last = int(numbers[-1])
    return np.concatenate(successes)


def _pair_of(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (i, j) with i > j for the pairs (1, 0), (2, 0), (2, 1), (3, 0), … counted from 0."""
    i = ((1 + np.sqrt(8.0 * number + 1)) / 2).astype(np.int64)
    i -= i * (i - 1) // 2 > number  # correct a root just below a whole number that was rounded up
    return i, number - i * (i - 1) // 2


def _locate(ends: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (group, rank within the group) of numbers (k,), given the cumulative sizes ``ends`` (groups,)."""
    group = np.searchsorted(ends, number, side="right")
    return group, number - np.concatenate([[0], ends])[group]
