"""Checks that the neighbour lists of a graph fit into memory, made before any of them is allocated.

A generator counts its links beforehand and calls :func:`check_links`. Each link is charged its peak memory in what is to
follow: that of listing it, unless :func:`links_cost` sets another.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from jaxgossip.core.devices.memory import available_bytes, bytes_text
from jaxgossip.core.errors import GraphError, InputError

LISTED_BYTES = 60
"""Bytes per directed link while a graph is generated: 30 to 54 were measured, on sparse and dense graphs alike."""
WEIGHTED_BYTES = 130
"""Bytes per directed link if weights and the tables of an operator follow: 58 to 123 were measured, the most on a star."""
NODE_BYTES = 40
"""Bytes per node in the neighbour lists of a graph, not counting its links."""


class LinkCost(NamedTuple):
    """The memory that a directed link is charged.

    Attributes:
        link_bytes: peak bytes per link; 0 disables the check.
        way_out: an alternative to fewer nodes or links, which the hint of a refusal adds.
    """

    link_bytes: int
    way_out: str = ""


_cost = ContextVar("what a link is counted with", default=LinkCost(LISTED_BYTES))  # noqa: B039 - a tuple of constants


@contextmanager
def links_cost(link_bytes: int, way_out: str = "") -> Iterator[None]:
    """Charge every directed link ``link_bytes`` bytes within the context; see :class:`LinkCost`."""
    token = _cost.set(LinkCost(link_bytes, way_out))
    try:
        yield
    finally:
        _cost.reset(token)


def without_memory_check() -> AbstractContextManager[None]:
    """Return a context in which graphs are built without a check that they fit into the free memory."""
    return links_cost(0)


def check_links(
    name: str, nodes: int, links: float, hint: str = "fewer nodes, or fewer links a node", *, share: float = 1.0
) -> None:
    """Check that the neighbour lists of a graph fit into the free memory.

    Args:
        name: name of the graph in messages.
        nodes: number of nodes.
        links: number of directed links, or its expectation.
        hint: how to make the graph smaller.
        share: memory of a link of this graph, as a fraction of the charge per link.

    Raises:
        GraphError: they do not fit.
    """
    link_bytes, _ = _cost.get()
    if link_bytes:
        check_bytes(
            f"{name}: {nodes:,} nodes with about {links:,.0f} directed links",
            share * link_bytes * links + NODE_BYTES * nodes,
            hint,
        )


def check_bytes(what: str, needed: float, hint: str, *, error: type[InputError] = GraphError) -> None:
    """Check that ``needed`` bytes are free for ``what``, the subject of the message, unless the check is disabled.

    Raises:
        InputError: they are not; an instance of ``error``.
    """
    link_bytes, way_out = _cost.get()
    free = available_bytes() if link_bytes else needed
    if needed > free:
        raise error(
            f"{what} need about {bytes_text(needed)} of memory, and {bytes_text(free)} can be had",
            hint=f"{hint}; {way_out}" if way_out else hint,
        )
