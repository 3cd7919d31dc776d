"""Several asynchronous networks in one run of the events engine, side by side: one program for all of them."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import jax
import numpy as np

from jaxgossip.algorithms.protocol import GossipProtocol
from jaxgossip.core.typing import NodeScores, PyTree
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.schedule import Messages, Source
from jaxgossip.schedule.peers import Preferences
from jaxgossip.simulation.events.engine import simulate_events
from jaxgossip.simulation.metrics import Metrics


class Beside:
    """Networks that know nothing of each other: each has the next n nodes.

    Args:
        networks: of n nodes each, one cycle, and the same kinds of messages.
    """

    def __init__(self, networks: Sequence[Source]) -> None:
        self._networks, self.each = networks, networks[0].n_nodes
        self.n_nodes = self.each * len(networks)
        self.period_s, self.kinds = networks[0].period_s, networks[0].kinds

    def cycles(self, preferences: Preferences | None = None) -> Iterator[Messages]:
        """Yield the messages of cycle 0, 1, … of all networks; none of them has preferences."""
        del preferences
        for together in zip(*(network.cycles() for network in self._networks), strict=True):
            yield Messages.together([self._moved(messages, place) for place, messages in enumerate(together)])

    def _moved(self, messages: Messages, place: int) -> Messages:
        first, event = np.int32(place * self.each), messages.event * len(self._networks) + place
        return dataclasses.replace(
            messages, sender=messages.sender + first, receiver=messages.receiver + first, event=event
        )


def held_beside(partitions: Sequence[Partition]) -> Partition:
    """Return who holds what in networks side by side, from who does in each."""
    sizes = np.concatenate([np.diff(one.offsets) for one in partitions])
    return Partition(
        np.concatenate([one.order for one in partitions]),
        np.append(0, np.cumsum(sizes)),
        np.concatenate([one.n_train for one in partitions]),
    )


def run_beside(
    protocol: GossipProtocol,
    networks: Mapping[str, Sequence[Source]],
    cycles: int,
    look: Callable[[PyTree], NodeScores],
    *,
    evaluate_every: int,
) -> Metrics:
    """Return what ``look`` sees of the nodes of each name; its m is "name, m_mean" among the metrics.

    Args:
        protocol: of the nodes of all networks, in the order of ``networks``.
        networks: by name, those of which the nodes are seen together.
        cycles: how many.
        look: rows of the state -> measurements.
        evaluate_every: cycles between two looks.
    """
    every = Beside([network for some in networks.values() for network in some])
    first = np.cumsum([0, *(every.each * len(some) for some in networks.values())]).tolist()

    def scores(rows: PyTree) -> NodeScores:
        found: dict = {}
        for name, start, end in zip(networks, first[:-1], first[1:], strict=True):
            found |= {f"{name}, {what}": values for what, values in look(_rows(rows, start, end)).items()}
        return found

    told = dataclasses.replace(protocol, scores=scores)
    return simulate_events(told, every, cycles, evaluate_every=evaluate_every, sampled_nodes=every.n_nodes).metrics


def messages_sent(networks: Sequence[Source], cycles: int) -> np.ndarray:
    """Return (cycles + 1,): how many messages a node has sent by each cycle, a mean over the nodes of all networks."""
    sent = [[0, *(len(messages) for messages in islice(network.cycles(), cycles))] for network in networks]
    return np.cumsum(np.mean(sent, axis=0)) / networks[0].n_nodes


def _rows(tree: PyTree, start: int, end: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[start:end], tree)
