"""Mixing learnt from the class shares of nodes: STL-FW, and D-Cliques, which can average within cliques, too.

Whoever learns it knows the class shares of all nodes, which they reveal once, before the first round.
"""

from typing import Literal, override

import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import GraphError
from jaxgossip.core.pytree import pytree_dataclass
from jaxgossip.core.typing import Rows, derived
from jaxgossip.mixing.build import metropolis_hastings, operator, uniform
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.operator import Operator, SlotOperator
from jaxgossip.topology.checks import class_shares_of
from jaxgossip.topology.connectivity import check_connected
from jaxgossip.topology.generators import d_cliques as cliques
from jaxgossip.topology.generators.stl_fw import stl_fw as learnt_weights
from jaxgossip.topology.graph import Graph, from_links


@pytree_dataclass
class CliqueMixing(Operator):
    """Mixing over cliques that are joined: W, and C, the means of cliques.

    Attributes:
        joined: W, within cliques and between them.
        within: C, which replaces each row by the mean of its clique.
    """

    joined: Operator
    within: Operator

    @derived
    @override
    def n_nodes(self) -> int:
        return self.joined.n_nodes

    @derived
    @override
    def n_links(self) -> int | None:
        return self.joined.n_links

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        return self.joined.hear(sent, faults)

    @property
    @override
    def links(self) -> Operator:
        return self.joined

    @override
    def by_slots(self) -> SlotOperator:
        return self.joined.by_slots()

    @override
    def to_scipy(self) -> sp.csr_array:
        return self.joined.to_scipy()


@guarded
def d_cliques(
    graph: Graph,
    class_shares: Float[np.ndarray, "n C"],
    *,
    size: int = 10,
    joined: Literal["ring", "fractal", "small_world", "all"] = "small_world",
    swaps: int = 1000,
    rng: np.random.Generator | int = 0,
) -> CliqueMixing:
    """Mix in cliques that have the classes of all, joined by few edges (D-Cliques); only the number of nodes is the topology's.

    Args:
        graph: the topology.
        class_shares: (n, C), the share of each class in the samples of each node; rows sum to one. A configuration has them of
            its partition.
        size: number of nodes of a clique; the last one is smaller if it does not divide n.
        joined: how cliques are joined: "ring"; "fractal": ``size`` cliques all to all, as many such groups all to all, and so
            on; "small_world": each clique with those at distances 1, 2, 4, … on a ring; or "all": every two cliques.
        swaps: number of times that two random cliques swap two nodes if that lowers their cost, the distance of their class
            shares from those of all.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: shares that are no (n, C) of the topology's nodes with rows that sum to one, cliques of fewer than 2
            nodes, a negative number of swaps, or too many links.
    """
    _check_nodes("d_cliques", graph, class_shares)
    clique = cliques.class_cliques(class_shares, size=size, swaps=swaps, rng=rng)
    joint = cliques.join_cliques(clique, joined=joined)
    apart = from_links(clique.size, *cliques.inside(clique), name="cliques")
    return CliqueMixing(metropolis_hastings(joint), uniform(apart))


@guarded
def stl_fw(
    graph: Graph,
    class_shares: Float[np.ndarray, "n C"],
    *,
    degree: int = 10,
    regularization: float = 0.1,
    rng: np.random.Generator | int = 0,
) -> Operator:
    """Mix with weights learnt so that nodes hear all classes (STL-FW); only the number of nodes is the topology's.

    Args:
        graph: the topology.
        class_shares: (n, C), the share of each class in the samples of each node; rows sum to one. A configuration has them of
            its partition.
        degree: largest number of nodes that a node hears.
        regularization: weight of the variance of what a node hears against the bias of its classes.
        rng: generator, or its seed, that chooses among nodes that are equally good to hear.

    Raises:
        GraphError: shares that are no (n, C) of the topology's nodes with rows that sum to one, a degree below one, a negative
            regularization, nodes that fall into groups that never agree, or too many nodes for the free memory.
    """
    _check_nodes("stl_fw", graph, class_shares)
    weights = learnt_weights(class_shares, degree=degree, regularization=regularization, rng=rng)
    check_connected(weights.graph)
    return operator(weights)


def _check_nodes(name: str, graph: Graph, class_shares: Float[np.ndarray, "n C"]) -> None:
    if len(class_shares_of(name, class_shares)) != graph.n_nodes:
        raise GraphError(f"{name}: class_shares of {len(class_shares):,} nodes do not fit {graph.n_nodes:,} nodes")
