"""Samplers: each holds one node, uniform over all the distinct nodes that it was ever told of, however often of each.

A sampler has a random permutation h of the 32-bit numbers, and holds the node j with the least h(j) so far. With h(j) =
mix(j ⊕ key) for a bijective mix, the least number alone is stored: the node follows from it.

Min-wise independent permutations: Broder, Charikar, Frieze and Mitzenmacher 2000. The mix is ``lowbias32`` of Wellons 2018,
"Prospecting for hash functions", without its last step, which does not touch the upper half of a number.
"""

from typing import NamedTuple

import numpy as np

FIRST, SECOND = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
FIRST_INVERSE, SECOND_INVERSE = (np.uint32(pow(int(factor), -1, 2**32)) for factor in (FIRST, SECOND))
HIGH, MIDDLE, TWICE_MIDDLE = np.uint32(16), np.uint32(15), np.uint32(30)


class Samplers(NamedTuple):
    """The samplers of all nodes.

    Attributes:
        key: (n, s) uint32.
        least: (n, s) uint32, the least number of a node so far.
    """

    key: np.ndarray
    least: np.ndarray

    @property
    def nodes(self) -> np.ndarray:
        """(n, s) int32: the node that each sampler holds."""
        return (_unmixed(self.least) ^ self.key).astype(np.int32)

    def of(self, node: np.ndarray) -> np.ndarray:
        """Return (m, s) int32: the nodes that the samplers of some nodes hold."""
        return Samplers(self.key[node], self.least[node]).nodes

    def copied(self) -> "Samplers":
        """Return samplers that can be told of more without changing these."""
        return Samplers(self.key.copy(), self.least.copy())


def new_samplers(told: np.ndarray, count: int, rng: np.random.Generator) -> Samplers:
    """Return new samplers that have been told of some nodes.

    Args:
        told: (n, c) int32, nodes that the samplers of each node are told of, c ≥ 1.
        count: s, number of samplers of a node.
        rng: generator of the keys.
    """
    key = rng.integers(2**32, size=(len(told), count), dtype=np.uint32)
    samplers = Samplers(key, np.full(key.shape, 2**32 - 1, np.uint32))
    tell(samplers, np.arange(len(told)), told)
    return samplers


def tell(samplers: Samplers, node: np.ndarray, told: np.ndarray) -> None:
    """Tell the samplers of nodes of other nodes, in place.

    Args:
        samplers: the samplers.
        node: (m,) distinct nodes.
        told: (m, c) int32, c ≥ 1.
    """
    numbers, key = told.astype(np.uint32), samplers.key[node]
    least = samplers.least[node]
    for place in range(key.shape[1]):
        np.minimum(least[:, place], _mixed(numbers ^ key[:, place, None]).min(axis=1), out=least[:, place])
    samplers.least[node] = least


def tell_one_by_one(samplers: Samplers, node: np.ndarray, told: np.ndarray) -> None:
    """Tell the samplers of nodes of one other node at a time, in place.

    Args:
        samplers: the samplers.
        node: (m,) nodes, in ascending order.
        told: (m,) int32.
    """
    if not node.size:
        return
    first = np.flatnonzero(np.diff(node, prepend=-1))
    numbers = _mixed(told.astype(np.uint32)[:, None] ^ samplers.key[node])
    owner = node[first]
    samplers.least[owner] = np.minimum(samplers.least[owner], np.minimum.reduceat(numbers, first, axis=0))


def renew(samplers: Samplers, node: np.ndarray, gone: np.ndarray, told: np.ndarray, rng: np.random.Generator) -> None:
    """Give new keys, in place, to samplers of nodes that hold one that is gone, and tell them of the nodes given.

    Args:
        samplers: the samplers.
        node: (m,) nodes whose samplers are looked at.
        gone: (n,) bool, which nodes are gone.
        told: (n, c) int32, nodes that renewed samplers of each node are told of.
        rng: generator of the keys.
    """
    if not gone.any():
        return
    row, place = np.nonzero(gone[samplers.of(node)])
    owner = node[row]
    key = rng.integers(2**32, size=owner.size, dtype=np.uint32)
    samplers.key[owner, place] = key
    samplers.least[owner, place] = _mixed(told[owner].astype(np.uint32) ^ key[:, None]).min(axis=1)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Mix the bits of uint32 numbers, in place, by a permutation."""
    numbers ^= numbers >> HIGH
    numbers *= FIRST
    numbers ^= numbers >> MIDDLE
    numbers *= SECOND
    return numbers


def _unmixed(numbers: np.ndarray) -> np.ndarray:
    """Return the numbers that :func:`_mixed` makes these of."""
    numbers = numbers * SECOND_INVERSE
    numbers ^= (numbers >> MIDDLE) ^ (numbers >> TWICE_MIDDLE)
    numbers *= FIRST_INVERSE
    return numbers ^ (numbers >> HIGH)
