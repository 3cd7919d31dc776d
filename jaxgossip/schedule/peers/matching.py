"""Random perfect matchings of all nodes."""

import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.schedule.peers.choice import Choice, Peers, Way


@guarded
def matching(n_nodes: int) -> Peers:
    """Return a random perfect matching of all nodes (but one, if their number is odd), drawn anew every cycle.

    In a two-way exchange only one of the two partners calls. Meant for the synchronous clock; uses no graph.

    Args:
        n_nodes: number of nodes.
    """

    def begin(way: Way) -> Choice:
        partner = np.full(n_nodes, -1, np.int32)
        drawn = -1

        def choose(cycle: int, node: np.ndarray, rng: np.random.Generator, _: np.ndarray | None) -> np.ndarray:
            nonlocal drawn
            if drawn != cycle:
                drawn = cycle
                first, second = rng.permutation(np.arange(n_nodes, dtype=np.int32))[: n_nodes // 2 * 2].reshape(2, -1)
                partner.fill(-1)
                partner[first] = second
                if way != "both":
                    partner[second] = first
            return partner[node]

        return choose

    return Peers(begin, changes=True, n_nodes=n_nodes)
