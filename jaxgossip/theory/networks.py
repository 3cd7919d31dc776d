"""Several asynchronous networks in one run of the events engine, side by side: one program for all of them."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, override

import jax
import numpy as np

from jaxgossip.algorithms.protocol import Deliveries, GossipProtocol, ProtocolMethod
from jaxgossip.core.typing import NodeScores, PRNGKey, PyTree, Rows
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.problem import Problem
from jaxgossip.schedule import Messages, Source
from jaxgossip.schedule.peers import Preferences
from jaxgossip.simulation.events.engine import simulate_events
from jaxgossip.simulation.metrics import Metrics


class Watched(ProtocolMethod):
    """A method whose nodes do as ever, and of which a subclass tells more: by ``scores``."""

    method: ProtocolMethod

    @override
    def init(self, problem: Problem, key: PRNGKey) -> PyTree:
        return self.method.init(problem, key)

    @override
    def message(self, problem: Problem, state: Any) -> PyTree:
        return self.method.message(problem, state)

    @override
    def deliver(self, problem: Problem, own: Any, heard: Any, arrivals: Deliveries) -> PyTree:
        return self.method.deliver(problem, own, heard, arrivals)

    @override
    def models(self, state: Any) -> Rows:
        return self.method.models(state)

    @override
    def settle(self, problem: Problem, state: Any) -> tuple[PyTree, Any]:
        return self.method.settle(problem, state)

    def of(self, protocol: GossipProtocol) -> GossipProtocol:
        """Return the protocol of this method, all else as it is."""
        told = copy.copy(protocol)
        told.method = self
        return told


class Apart(Watched):
    """Networks side by side, of which each is looked at by itself.

    Attributes:
        look: (problem, rows of the state) -> measurements.
        spans: name, first node and the one after the last, of each.
    """

    look: Callable[[Problem, Any], NodeScores]
    spans: tuple[tuple[str, int, int], ...]

    @override
    def scores(self, problem: Problem, state: Any) -> NodeScores:
        found: dict = {}
        for name, start, end in self.spans:
            looked = self.look(problem, _rows(state, start, end))
            found |= {f"{name}, {what}": values for what, values in looked.items()}
        return found


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
    look: Callable[[Problem, Any], NodeScores],
    *,
    evaluate_every: int,
) -> Metrics:
    """Return what ``look`` sees of the nodes of each name; its m is "name, m_mean" among the metrics.

    Args:
        protocol: of the nodes of all networks, in the order of ``networks``.
        networks: by name, those of which the nodes are seen together.
        cycles: how many.
        look: (problem, rows of the state) -> measurements; a function of a module.
        evaluate_every: cycles between two looks.
    """
    every = Beside([network for some in networks.values() for network in some])
    first = np.cumsum([0, *(every.each * len(some) for some in networks.values())]).tolist()
    told = Apart(protocol.method, look, tuple(zip(networks, first[:-1], first[1:], strict=True))).of(protocol)
    return simulate_events(told, every, cycles, evaluate_every=evaluate_every, sampled_nodes=every.n_nodes).metrics


def messages_sent(networks: Sequence[Source], cycles: int) -> np.ndarray:
    """Return (cycles + 1,): how many messages a node has sent by each cycle, a mean over the nodes of all networks."""
    sent = [[0, *(len(messages) for messages in islice(network.cycles(), cycles))] for network in networks]
    return np.cumsum(np.mean(sent, axis=0)) / networks[0].n_nodes


def _rows(tree: PyTree, start: int, end: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[start:end], tree)
