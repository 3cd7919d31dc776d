"""Graphs that change from round to round and reach the exact mean in finitely many: sequences of weights.

Every round's W is symmetric and doubly stochastic with at most k links a node, and the product of all of them is
J = 11ᵀ/n. Takezawa, Sato, Bao, Niwa and Yamada 2023, "Beyond exponential graph: communication-efficient topologies for
decentralized learning via finite-time convergence".
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from jaxgossip.core.errors import GraphError
from jaxgossip.topology.checks import node_count, whole_number
from jaxgossip.topology.graph import Graph
from jaxgossip.topology.room import check_links
from jaxgossip.topology.weights import Weights


class _Links(NamedTuple):
    """The edges of one round: ``first[e]`` and ``second[e]`` hear each other with ``weight[e]``, all (m,)."""

    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray


class _Block(NamedTuple):
    """A run of ``parts`` · ``size`` nodes from ``start`` on, size = (k+1)^power: one digit of n in base k+1."""

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
        degree: k, most links of a node in a round.

    Raises:
        GraphError: a prime factor above k + 1, or a degree below one.
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
    return [_weights(nodes, links, "hyper_hypercube") for links in rounds or [_silence()]]


def base_k_plus_one(nodes: int, degree: int = 1) -> list[Weights]:
    """Return the Base-(k+1) Graph: the exact mean on any number of nodes, in at most 2 log_{k+1} n + 2 rounds.

    With n = p q, q without a prime factor up to k + 1: q-node simple graphs side by side, then a hyper-hypercube across
    the p of them (the paper's algorithm 3); or one simple graph on all nodes where that is shorter (algorithm 2).

    Args:
        nodes: number of nodes n.
        degree: k, most links of a node in a round.

    Raises:
        GraphError: no node, or a degree below one.
    """
    nodes, degree = _checked("base_k_plus_one", nodes, degree)
    simple = list(_simple(nodes, degree))
    group = _rough_part(nodes, degree + 1)
    copies = nodes // group
    across = list(_averaging(np.arange(nodes).reshape(copies, group), _fewest_factors(copies, degree + 1) or ()))
    within = list(_simple(group, degree))
    if len(within) + len(across) <= len(simple):
        simple = [_tiled(links, copies, group) for links in within] + across
    return [_weights(nodes, links, "base_k_plus_one") for links in simple or [_silence()]]


def _simple(nodes: int, degree: int) -> Iterator[_Links]:
    """Yield the rounds of the Simple Base-(k+1) Graph (algorithm 2).

    n = Σ_l a_l (k+1)^{p_l} splits the nodes into blocks V_l. First every block averages inside itself. Then, one after
    the other, block t tells all later ones: each node of those hears one node of each of V_t's a_t parts, with such a
    weight that it holds its share of V_t, and each part of V_t as a whole the mean of all. Last, the parts average.
    """
    base = degree + 1
    factors = _fewest_factors(nodes, base)
    if factors is not None:
        yield from _averaging(np.arange(nodes)[:, None], factors)
        return
    blocks = _blocks(nodes, base)
    inside = [list(_averaging(block.nodes.reshape(-1, 1), _factors_of(block, base))) for block in blocks]
    for number in range(len(inside[0])):
        yield _together([rounds[number % len(rounds)] for rounds in inside if rounds])
    last = len(blocks) - 1
    for now in range(blocks[0].power + 1):
        links = []
        if now < last:
            told = nodes - blocks[now + 1].start  # nodes of later blocks
            links = [_telling(blocks[now], told), _idle(blocks[now], told, base)]
        for number, block in enumerate(blocks):
            step = now - number - (number < last)
            if step >= 0:
                links.append(_settling(block, step, base))
        yield _together(links)


def _blocks(nodes: int, base: int) -> list[_Block]:
    """Return the blocks of the digits of ``nodes`` in ``base`` that are not 0, the highest first."""
    powers, rest = [], nodes
    while rest:
        rest, digit = divmod(rest, base)
        powers.append(digit)
    blocks, start = [], 0
    for power in reversed(range(len(powers))):
        if powers[power]:
            blocks.append(_Block(start, powers[power], base**power, power))
            start += powers[power] * base**power
    return blocks


def _factors_of(block: _Block, base: int) -> tuple[int, ...]:
    return (base,) * block.power + ((block.parts,) if block.parts > 1 else ())


def _telling(block: _Block, told: int) -> _Links:
    """Return the links on which the last ``told`` nodes of each part of ``block`` talk to all nodes of later blocks."""
    end = block.start + block.parts * block.size
    later = np.tile(np.arange(end, end + told), block.parts)
    mine = block.nodes[:, block.size - told :].ravel()
    share = block.size / (block.parts * block.size + told)
    return _Links(mine, later, np.full(mine.size, share))


def _idle(block: _Block, told: int, base: int) -> _Links:
    """Return the links of those who tell nobody: they average by groups, which only matters to those who learn."""
    rest = block.nodes[:, : block.size - told].ravel()
    whole = rest.size // base * base
    return _together([_cliques(rest[:whole].reshape(-1, base)), _cliques(rest[whole:].reshape(1, -1))])


def _settling(block: _Block, step: int, base: int) -> _Links:
    """Return round ``step`` of the averaging inside each part of ``block``; parts of one node average together."""
    if block.power == 0:
        return _cliques(block.nodes.reshape(1, -1))
    stride = base ** (step % block.power)
    members = block.nodes.reshape(-1, base, stride)
    return _cliques(members.swapaxes(1, 2).reshape(-1, base))


def _averaging(nodes: np.ndarray, factors: tuple[int, ...]) -> Iterator[_Links]:
    """Yield a round a factor: every column of ``nodes`` (n, c), n the product of the factors, ends at its own mean."""
    stride = 1
    for factor in factors:
        members = nodes.reshape(-1, factor, stride * nodes.shape[1])
        yield _cliques(members.swapaxes(1, 2).reshape(-1, factor))
        stride *= factor


def _cliques(members: np.ndarray) -> _Links:
    """Return the links that give each row of ``members`` (c, f) its mean."""
    one, other = np.triu_indices(members.shape[1], 1)
    first = members[:, one].ravel()
    return _Links(first, members[:, other].ravel(), np.full(first.size, 1 / max(1, members.shape[1])))


def _together(links: list[_Links]) -> _Links:
    return _Links(*(np.concatenate(part) for part in zip(*links, strict=True)))


def _tiled(links: _Links, copies: int, group: int) -> _Links:
    """Return the links of one group of nodes in each of ``copies`` groups."""
    shift = group * np.arange(copies)[:, None]
    first, second = ((shift + ends).ravel() for ends in (links.first, links.second))
    return _Links(first, second, np.tile(links.weight, copies))


def _silence() -> _Links:
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
    """Return the fewest factors of at most ``most`` whose product is ``number``, in ascending order; None: no such."""
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
