"""Rings, paths, grids and tori: every node hears its nearest neighbours in space."""

import math
from collections.abc import Sequence

from jaxgossip.core.arguments import listed
from jaxgossip.core.errors import GraphError
from jaxgossip.topology.checks import node_count, whole_number
from jaxgossip.topology.graph import Circulant, Graph, Lattice
from jaxgossip.topology.memory_check import check_bytes

OFFSET_BYTES = 200
"""Bytes per offset of a circulant, in Python tuples and sets."""


def ring(nodes: int) -> Graph:
    """Return the cycle: node i hears i − 1 and i + 1 (mod n).

    Under Metropolis–Hastings weights λ_k = (1 + 2 cos(2πk/n))/3, so the spectral gap is about 4π²/(3n²).

    Args:
        nodes: number of nodes, at least 3.

    Raises:
        GraphError: there are fewer than 3 nodes.
    """
    nodes = node_count("ring", nodes, 3, hint="two nodes are a path, one node is a complete graph")
    return Graph(nodes, "ring", Circulant((1, -1)))


def k_nearest_ring(nodes: int, degree: int) -> Graph:
    """Return the cycle in which every node hears its ``degree`` nearest: the Watts–Strogatz graph before rewiring.

    Args:
        nodes: number of nodes, at least 3.
        degree: neighbours of each node, half of them on each side: even, and less than nodes.

    Raises:
        GraphError: the degree is odd, or not less than the number of nodes.
    """
    nodes, degree = check_even_ring("k_nearest_ring", nodes, degree)
    check_bytes(f"k_nearest_ring: {degree:,} neighbours of every node", OFFSET_BYTES * degree, "a smaller degree")
    half = range(1, degree // 2 + 1)
    return Graph(nodes, "k_nearest_ring", Circulant(tuple(step * side for step in half for side in (1, -1))))


def path(nodes: int) -> Graph:
    """Return the path: node i hears i − 1 and i + 1, if they exist.

    Under Metropolis–Hastings weights λ_k = 1/3 + (2/3) cos(πk/n) for n ≥ 3.

    Args:
        nodes: number of nodes.

    Raises:
        GraphError: there is no node.
    """
    nodes = node_count("path", nodes)
    return Graph(nodes, "path", Lattice((nodes,), periodic=False))


def grid(nodes: int, shape: tuple[int, ...] | None = None) -> Graph:
    """Return the open D-dimensional box: each cell hears the adjacent ones along each axis, without wrapping around.

    Args:
        nodes: number of nodes, the product of the sides.
        shape: sides of the box; the most square two-dimensional one if left out.

    Raises:
        GraphError: the product of the sides is not ``nodes``, or no two-dimensional box exists (a prime number of nodes).
    """
    nodes = node_count("grid", nodes)
    return Graph(nodes, "grid", Lattice(_sides("grid", nodes, shape, 2, "path"), periodic=False))


def torus(nodes: int, shape: tuple[int, ...] | None = None) -> Graph:
    """Return the periodic D-dimensional box: every node hears 2 D others, and the ends of each axis are neighbours.

    Under Metropolis–Hastings weights λ = (1 + Σ_a 2 cos(2π k_a/n_a))/(2 D + 1) over all k_a < n_a.

    Args:
        nodes: number of nodes, the product of the sides.
        shape: sides of the box, each at least 3; the most square two-dimensional one if left out.

    Raises:
        GraphError: a side is below 3, the product of the sides is not ``nodes``, or no two-dimensional box exists.
    """
    nodes = node_count("torus", nodes)
    return Graph(nodes, "torus", Lattice(_sides("torus", nodes, shape, 3, "ring"), periodic=True))


def check_even_ring(topology: str, nodes: int, degree: int) -> tuple[int, int]:
    """Return ``nodes`` and ``degree`` of a ring whose nodes hear their nearest neighbours, as many on each side.

    Raises:
        GraphError: the degree is odd, or not less than the number of nodes.
    """
    nodes = node_count(topology, nodes, 3, hint="two nodes are a path, one node is a complete graph")
    degree = whole_number(topology, "degree", degree, 2)
    if degree % 2:
        nearest = f"degree {degree - 1}" + (f" or {degree + 1}" if degree + 1 < nodes else "")
        raise GraphError(
            f"{topology}: degree {degree} is odd, but as many neighbours must lie on each side", hint=nearest
        )
    if degree >= nodes:
        raise GraphError(
            f"{topology}: degree {degree} has no room on {nodes} nodes",
            hint=f"degree at most {(nodes - 1) // 2 * 2}, or at least {degree + 1} nodes",
        )
    return nodes, degree


def _sides(topology: str, nodes: int, shape: Sequence[int] | None, minimum: int, line: str) -> tuple[int, ...]:
    """Return the checked sides of a box of ``nodes`` cells, the most square ones if ``shape`` is None."""
    if shape is not None:
        listed(topology, "shape", shape)
        hint = f"topology.shape has sides that multiply to nodes, such as [{minimum}, {minimum + 1}] of"
        hint = f"{hint} {minimum * (minimum + 1)} nodes; left out, the most square one is taken"
        sides = tuple(whole_number(topology, "every side of shape", side, minimum, hint) for side in shape)
        if not sides:
            raise GraphError(f"{topology}: the shape has no side", hint="give at least one, or leave shape out")
        if math.prod(sides) != nodes:
            raise GraphError(
                f"{topology}: the shape {' x '.join(map(str, sides))} has {math.prod(sides)} nodes, not {nodes}",
                hint="nodes is the product of the sides of shape",
            )
        return sides
    sides = _most_square(nodes, minimum)
    if sides is not None:
        return sides
    smallest = minimum * minimum
    below = next((n for n in range(nodes - 1, smallest - 1, -1) if _most_square(n, minimum)), None)
    above = next(n for n in range(max(nodes + 1, smallest), 2 * nodes + smallest) if _most_square(n, minimum))
    choices = [f"{n} ({' x '.join(map(str, _most_square(n, minimum) or ()))})" for n in (below, above) if n is not None]
    raise GraphError(
        f"{topology}: {nodes} nodes make no two-dimensional box with sides of at least {minimum}",
        hint=f"nearest that do: {', '.join(choices)}; or give shape, or use {line}",
    )


def _most_square(nodes: int, minimum: int) -> tuple[int, int] | None:
    """Return the factors (a, b) of ``nodes``, minimum <= a <= b, that are closest to each other, or None."""
    return next(((a, nodes // a) for a in range(math.isqrt(nodes), minimum - 1, -1) if nodes % a == 0), None)
