"""The check that a graph is connected."""

import warnings

import numpy as np
from scipy.sparse.csgraph import connected_components

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DisconnectedGraphWarning, GraphError
from jaxgossip.topology.graph import Graph

SHOWN = 5
"""Largest number of isolated nodes that a message lists."""


@guarded
def check_connected(graph: Graph, *, allow_disconnected: bool = False) -> None:
    """Check that information from any node can reach any other; directed graphs must be strongly connected.

    Args:
        graph: any graph.
        allow_disconnected: warn instead of raising; each component then reaches its own consensus.

    Raises:
        GraphError: the graph is disconnected; the message counts the components and names isolated nodes.
    """
    if graph.is_connected:
        return
    count, component = connected_components(graph.to_scipy(), directed=graph.directed, connection="strong")
    kind = "strongly connected components" if graph.directed else "components"
    largest = int(np.bincount(component).max())
    message = f"{graph.name} is disconnected: {count:,} {kind}, the largest with {largest:,} of {graph.n_nodes:,} nodes"
    isolated = np.flatnonzero((graph.degrees == 0) & (graph.out_degrees == 0))
    if isolated.size:
        names = [graph.name_of(node) for node in isolated[:SHOWN].tolist()]
        more = f" and {isolated.size - SHOWN:,} more" if isolated.size > SHOWN else ""
        message += f"; without any link: {', '.join(names)}{more}"
    if not allow_disconnected:
        raise GraphError(message, hint="add links (a higher degree, another seed), or set allow_disconnected = true")
    warnings.warn(DisconnectedGraphWarning(f"{message}; components agree among themselves only"), stacklevel=2)
