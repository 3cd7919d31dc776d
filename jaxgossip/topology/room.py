"""Whether the lists of a graph have room in memory, judged before any of them is made.

A generator counts its links beforehand, and asks :func:`check_links`. A link is counted with what it takes at the height of
what is to be done with it: of listing it, unless :func:`links_cost` says otherwise.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.core.memory import available_bytes, bytes_text

LISTED_BYTES = 60
"""What a directed link takes while its graph is generated: 30 to 54 bytes were measured, on sparse and dense graphs alike."""
WEIGHTED_BYTES = 130
"""The same where weights and the tables of an operator follow: 58 to 123 bytes were measured, most of them on a star."""
NODE_BYTES = 40
"""What a node takes in the lists of a graph, its links apart."""


class LinkCost(NamedTuple):
    """What a directed link is counted with.

    Attributes:
        link_bytes: bytes at the height of what is done with it; 0: every graph has room.
        way_out: what a refusal's hint says beside fewer nodes or links.
    """

    link_bytes: int
    way_out: str = ""


_cost = ContextVar("what a link is counted with", default=LinkCost(LISTED_BYTES))  # noqa: B039 - a tuple of constants


@contextmanager
def links_cost(link_bytes: int, way_out: str = "") -> Iterator[None]:
    """Count every directed link with so many bytes while the context lasts; see :class:`LinkCost`."""
    token = _cost.set(LinkCost(link_bytes, way_out))
    try:
        yield
    finally:
        _cost.reset(token)


def without_memory_check() -> AbstractContextManager[None]:
    """Return a context in which graphs are built whether or not they seem to fit into the free memory."""
    return links_cost(0)


def check_links(
    name: str, nodes: int, links: float, hint: str = "fewer nodes, or fewer links a node", *, share: float = 1.0
) -> None:
    """Check that the lists of a graph have room in the free memory.

    Args:
        name: the graph, as messages call it.
        nodes: number of nodes.
        links: number of directed links, or how many are expected.
        hint: the way out.
        share: part of the cost of a link that those of this graph take.

    Raises:
        GraphError: they have none.
    """
    link_bytes, _ = _cost.get()
    if link_bytes:
        check_bytes(
            f"{name}: {nodes:,} nodes with about {links:,.0f} directed links",
            share * link_bytes * links + NODE_BYTES * nodes,
            hint,
        )


def check_bytes(what: str, needed: float, hint: str, *, error: type[InputError] = GraphError) -> None:
    """Check that ``needed`` bytes are free for ``what``, the subject of a sentence, unless nothing is to be checked.

    Raises:
        InputError: they are not; it is an ``error``.
    """
    link_bytes, way_out = _cost.get()
    free = available_bytes() if link_bytes else needed
    if needed > free:
        raise error(
            f"{what} need about {bytes_text(needed)} of memory, and {bytes_text(free)} can be had",
            hint=f"{hint}; {way_out}" if way_out else hint,
        )
