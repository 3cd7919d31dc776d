"""Sequences of weights, one W per round, that reach the exact mean in finitely many rounds.

Every W is symmetric and doubly stochastic with at most k links per node, and the product of all of them is J = 11ᵀ/n.
Takezawa, Sato, Bao, Niwa and Yamada 2023, "Beyond exponential graph: communication-efficient topologies for decentralized
learning via finite-time convergence".
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from jaxgossip.core.errors import GraphError
from jaxgossip.topology.checks import node_count, whole_number
from jaxgossip.topology.graph import Graph
from jaxgossip.topology.memory_check import check_links
from jaxgossip.topology.weights import Weights


class _Links(NamedTuple):
    """The edges of a round: ``first[e]`` and ``second[e]`` hear each other with ``weight[e]``, all (m,)."""

    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray


class _Block(NamedTuple):
    """The run of ``parts`` · ``size`` nodes from ``start`` on, size = (k+1)^power, of the digit ``parts`` of n in base k+1."""

    start: int
    parts: int
    size: int
    power: int

    @property
    def nodes(self) -> np.ndarray:
        """(parts, size) int64."""
        return self.start + np.arange(self.parts * self.size).reshape(self.parts, self.size)


def hyper_hypercube(nodes: int, degree: int = 1) -> list[Weights]:
    """Return the k-peer hyper-hypercube: round j averages groups of f_j nodes, n = f_1 f_2 ⋯ with all f_j ≤ k + 1.

    The length is the least number of such factors; with k = 1 it is the one-peer hypercube.

    Args:
        nodes: number of nodes n, without a prime factor above k + 1.
        degree: k, largest number of links of a node in a round.

    Raises:
        GraphError: n has a prime factor above k + 1, or the degree is below one.
    """
    nodes, degree = _checked("hyper_hypercube", nodes, degree)
    factors = _fewest_factors(nodes, degree + 1)
    if factors is None:
        prime = _largest_prime(nodes)
        raise GraphError(
            f"hyper_hypercube: {nodes} nodes have the prime factor {prime}, above degree + 1 = {degree + 1}",
            hint=f"degree = {prime - 1}, or base_k_plus_one, which takes any number of nodes",
        )
    rounds = list(_averaging(np.arange(nodes)[:, None], factors))
    return [_weights(nodes, links, "hyper_hypercube") for links in rounds or [_no_links()]]


def base_k_plus_one(nodes: int, degree: int = 1) -> list[Weights]:
    """Return the Base-(k+1) Graph: the exact mean on any number of nodes, in at most 2 log_{k+1} n + 2 rounds.

    With n = p q, where q has no prime factor up to k + 1, p simple graphs of q nodes each are followed by a hyper-hypercube
    across them (the paper's algorithm 3), unless a single simple graph on all nodes is shorter (algorithm 2).

    Args:
        nodes: number of nodes n.
        degree: k, largest number of links of a node in a round.

    Raises:
        GraphError: there is no node, or the degree is below one.
    """
    nodes, degree = _checked("base_k_plus_one", nodes, degree)
    simple = list(_simple(nodes, degree))
    group = _rough_part(nodes, degree + 1)
    copies = nodes // group
    across = list(_averaging(np.arange(nodes).reshape(copies, group), _fewest_factors(copies, degree + 1) or ()))
    within = list(_simple(group, degree))
    if len(within) + len(across) <= len(simple):
        simple = [_tiled(links, copies, group) for links in within] + across
    return [_weights(nodes, links, "base_k_plus_one") for links in simple or [_no_links()]]


def _simple(nodes: int, degree: int) -> Iterator[_Links]:
    """Yield the rounds of the Simple Base-(k+1) Graph (algorithm 2).

    n = Σ_l a_l (k+1)^{p_l} splits the nodes into blocks V_l. First every block averages internally. Then block after
    block, V_t exchanges with all later ones: each of their nodes hears one node of each of the a_t parts of V_t, with a
    weight such that it then holds its share of V_t, and each part of V_t has the mean of all. Last, the parts average.
    """
    base = degree + 1
    factors = _fewest_factors(nodes, base)
    if factors is not None:
        yield from _averaging(np.arange(nodes)[:, None], factors)
        return
    blocks = _blocks(nodes, base)
    inside = [list(_averaging(block.nodes.reshape(-1, 1), _factors_of(block, base))) for block in blocks]
    for number in range(len(inside[0])):
        yield _union([rounds[number % len(rounds)] for rounds in inside if rounds])
    last = len(blocks) - 1
    for now in range(blocks[0].power + 1):
        links = []
        if now < last:
            n_later = nodes - blocks[now + 1].start  # number of nodes in later blocks
            links = [_links_to_later(blocks[now], n_later), _links_of_idle(blocks[now], n_later, base)]
        for number, block in enumerate(blocks):
            step = now - number - (number < last)
            if step >= 0:
                links.append(_links_within_parts(block, step, base))
        yield _union(links)


def _blocks(nodes: int, base: int) -> list[_Block]:
    """Return the blocks of the nonzero digits of ``nodes`` in ``base``, the highest first."""
    digits, rest = [], nodes
    while rest:
        rest, digit = divmod(rest, base)
        digits.append(digit)
    blocks, start = [], 0
    for power in reversed(range(len(digits))):
        if digits[power]:
            blocks.append(_Block(start, digits[power], base**power, power))
            start += digits[power] * base**power
    return blocks


def _factors_of(block: _Block, base: int) -> tuple[int, ...]:
    return (base,) * block.power + ((block.parts,) if block.parts > 1 else ())


def _links_to_later(block: _Block, n_later: int) -> _Links:
    """Return the links of the last ``n_later`` nodes of each part of ``block`` with all nodes of later blocks."""
    end = block.start + block.parts * block.size
    later = np.tile(np.arange(end, end + n_later), block.parts)
    senders = block.nodes[:, block.size - n_later :].ravel()
    share = block.size / (block.parts * block.size + n_later)
    return _Links(senders, later, np.full(senders.size, share))


def _links_of_idle(block: _Block, n_later: int, base: int) -> _Links:
    """Return links that average the other nodes of ``block`` in groups: of no use to the mean, but of use to learning."""
    rest = block.nodes[:, : block.size - n_later].ravel()
    whole = rest.size // base * base
    return _union([_cliques(rest[:whole].reshape(-1, base)), _cliques(rest[whole:].reshape(1, -1))])


def _links_within_parts(block: _Block, step: int, base: int) -> _Links:
    """Return round ``step`` of the averaging within each part of ``block``; parts of one node are averaged together."""
    if block.power == 0:
        return _cliques(block.nodes.reshape(1, -1))
    stride = base ** (step % block.power)
    members = block.nodes.reshape(-1, base, stride)
    return _cliques(members.swapaxes(1, 2).reshape(-1, base))


def _averaging(nodes: np.ndarray, factors: tuple[int, ...]) -> Iterator[_Links]:
    """Yield one round per factor, which together average each column of ``nodes`` (n, c), n the product of the factors."""
    stride = 1
    for factor in factors:
        members = nodes.reshape(-1, factor, stride * nodes.shape[1])
        yield _cliques(members.swapaxes(1, 2).reshape(-1, factor))
        stride *= factor


def _cliques(members: np.ndarray) -> _Links:
    """Return the links that average each row of ``members`` (c, f)."""
    lower, higher = np.triu_indices(members.shape[1], 1)
    first = members[:, lower].ravel()
    return _Links(first, members[:, higher].ravel(), np.full(first.size, 1 / max(1, members.shape[1])))


def _union(links: list[_Links]) -> _Links:
    return _Links(*(np.concatenate(part) for part in zip(*links, strict=True)))


def _tiled(links: _Links, copies: int, group: int) -> _Links:
    """Return the links of one group of nodes, repeated in each of ``copies`` groups."""
    shift = group * np.arange(copies)[:, None]
    first, second = ((shift + ends).ravel() for ends in (links.first, links.second))
    return _Links(first, second, np.tile(links.weight, copies))


def _no_links() -> _Links:
    return _Links(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def _weights(nodes: int, links: _Links, name: str) -> Weights:
    ends = (np.concatenate([links.first, links.second]), np.concatenate([links.second, links.first]))
    matrix = sp.csr_array((np.tile(links.weight, 2), ends), shape=(nodes, nodes))
    matrix.sort_indices()
    graph = Graph(nodes, name, lists=(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)))
    return Weights(graph, matrix.data, 1 - matrix.sum(axis=1), name, doubly_stochastic=True)


def _checked(name: str, nodes: int, degree: int) -> tuple[int, int]:
    nodes = node_count(name, nodes)
    degree = whole_number(name, "degree", degree, 1, hint="a node must hear somebody")
    most = max(1, min(degree, nodes - 1))
    check_links(name, nodes, nodes * most * math.ceil(math.log(nodes, most + 1)))
    return nodes, degree


def _fewest_factors(number: int, most: int) -> tuple[int, ...] | None:
    """Return the fewest factors up to ``most`` whose product is ``number``, in ascending order; None if there are none."""
    if _rough_part(number, most) > 1:
        return None
    divisors = [factor for factor in range(min(most, number), 1, -1) if number % factor == 0]
    reached: dict[int, tuple[int, ...]] = {number: ()}
    while 1 not in reached:
        reached = {
            rest // factor: (*factors, factor)
            for rest, factors in reached.items()
            for factor in divisors
            if rest % factor == 0
        }
    return tuple(sorted(reached[1]))


def _rough_part(number: int, most: int) -> int:
    """Return the largest divisor of ``number`` without a prime factor up to ``most``."""
    for factor in range(2, min(most, number) + 1):
        while number % factor == 0:
            number //= factor
    return number


def _largest_prime(number: int) -> int:
    factor, largest = 2, 1
    while number > 1:
        if factor * factor > number:
            return max(largest, number)
        while number % factor == 0:
            number, largest = number // factor, factor
        factor += 1
    return largest
