"""Mixing among nodes that meet: a round has the links that were in contact during it."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from jaxgossip.core.arguments import fits, guarded, number, whole
from jaxgossip.mixing.operator import TimeVarying
from jaxgossip.mixing.time_varying.periodic import periodic
from jaxgossip.schedule.contacts import Contacts, ContactSource
from jaxgossip.topology import Graph, metropolis_hastings
from jaxgossip.topology.graph import from_links
from jaxgossip.topology.memory_check import check_bytes

SLOT_BYTES = 24
"""Bytes of memory per node, round and slot while the tables are made: a weight and a sender, here and on the device."""


@guarded
def contacts(
    graph: Graph, contacts: ContactSource, n_rounds: int, *, period_s: float, least_s: float = 0.0
) -> TimeVarying:
    """Average among nodes that are in contact during a round, with Metropolis–Hastings weights on each round's links.

    Round r has the contacts in [rP, (r + 1)P) seconds, P the period. After ``n_rounds`` rounds the same ones come again.

    Args:
        graph: the topology, of which only the number of nodes matters.
        contacts: who is in contact when.
        n_rounds: number of rounds whose contacts are held.
        period_s: seconds of a round.
        least_s: least seconds in contact during a round that make a link; 0 for any contact.

    Raises:
        InputError: the period is not positive, there is no round, a number is negative, or the contacts are of other nodes.
        GraphError: the tables of all rounds exceed the free memory.
    """
    fits("a source of contacts", contacts.n_nodes, graph.name, graph.n_nodes)
    period_s = number("contacts", "period_s", period_s, above=True)
    least_s = number("contacts", "least_s", least_s)
    rounds = whole("contacts", "n_rounds", n_rounds, 1)
    links = [linked(window, least_s) for window in islice(contacts.windows(period_s), rounds)]
    n = graph.n_nodes
    width = max(int(np.bincount(np.concatenate(ends), minlength=1).max(initial=1)) for ends in links)
    check_bytes(
        f"contacts: {rounds:,} rounds of {n:,} nodes with up to {width:,} contacts each",
        SLOT_BYTES * rounds * n * width,
        "fewer rounds or nodes, a shorter mixing.period_s, or a protocol by the nodes' own clocks",
    )

    def weights() -> Iterator:
        for u, v in links:
            yield metropolis_hastings(from_links(n, u, v, name="contacts"))

    return periodic(weights())


def linked(window: Contacts, least_s: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs (u, v) that are in contact for at least ``least_s`` seconds in all, and at some time.

    Args:
        window: contacts of a round.
        least_s: the least time.
    """
    key, contact = np.unique(window.key, return_inverse=True)
    lasts_s = np.bincount(contact, weights=window.duration_s, minlength=key.size)
    key = key[lasts_s >= least_s]
    return key // window.n_nodes, key % window.n_nodes
