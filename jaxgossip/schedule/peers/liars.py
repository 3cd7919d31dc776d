"""Byzantine nodes ("liars") of an overlay: who they are, and how much of it they hold.

Liars know all nodes, work together, and want to be called by as many honest nodes as possible. Of themselves they call
honest nodes alone, any of them alike. Their lies depend on the protocol: see :mod:`.newscast` and :mod:`.brahms`.
"""

from dataclasses import dataclass

import numpy as np

from jaxgossip.core.arguments import generator, number
from jaxgossip.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Liars:
    """The liars of a network.

    Attributes:
        lies: (n,) bool, whether each node is a liar.
        nodes: (k,) int32, the liars, in ascending order.
        honest: (n − k,) int32, the other nodes, in ascending order.
    """

    lies: np.ndarray
    nodes: np.ndarray
    honest: np.ndarray

    def share(self, members: np.ndarray) -> float:
        """Return the share of liars among the entries of honest nodes.

        Args:
            members: (n, c) int32, nodes that each node holds; −1 in empty places.
        """
        held = members[self.honest]
        known = held >= 0
        return float((self.lies[held] & known).sum() / max(1, known.sum()))

    def victims(self, calls: int, rng: np.random.Generator) -> np.ndarray:
        """Return (calls,) int32: whom liars call, each an honest node at random."""
        return self.honest[rng.integers(self.honest.size, size=calls)]


def drawn_liars(what: str, n_nodes: int, share: float, rng: np.random.Generator | int) -> Liars | None:
    """Return the liars of a network: as many, and with the same generator the same ones, as an adversary's.

    Args:
        what: owner of the parameter ``liars``, as named in messages.
        n_nodes: number of nodes.
        share: share of the nodes that lie; 0 for none.
        rng: random generator of the draw, or its seed.

    Returns:
        The liars; None if ``share`` is 0.

    Raises:
        InputError: ``share`` is outside [0, 1], or leaves no node honest.
    """
    if number(what, "liars", share, most=1.0) == 0:
        return None
    nodes = random_subset(n_nodes, share, generator(what, rng))
    if nodes.size == n_nodes:
        raise InputError(f"{what}: liars = {share:g} leaves none of {n_nodes:,} nodes honest", hint="a smaller share")
    lies = np.zeros(n_nodes, bool)
    lies[nodes] = True
    return Liars(lies, nodes.astype(np.int32), np.flatnonzero(~lies).astype(np.int32))


def random_subset(n_nodes: int, fraction: float, rng: np.random.Generator | int) -> np.ndarray:
    """Return max(1, round(fraction · n)) distinct nodes, drawn uniformly, as (k,) int64 in ascending order.

    Args:
        n_nodes: n, number of nodes.
        fraction: fraction of the nodes that are drawn, above 0 and at most 1.
        rng: random generator of the draw, or its seed.
    """
    number = max(1, round(fraction * n_nodes))
    return np.sort(np.random.default_rng(rng).choice(n_nodes, number, replace=False))
