"""Disjoint unions of asynchronous networks, which the event engine runs side by side in one program."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, override

import jax
import numpy as np

from jaxgossip.algorithms.protocols.protocol import GossipProtocol
from jaxgossip.algorithms.protocols.wrapper import MethodWrapper
from jaxgossip.core.typing import NodeScores, PyTree
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.problem import Problem
from jaxgossip.schedule import Messages, Source
from jaxgossip.schedule.peers import Preferences
from jaxgossip.simulation.events.engine import simulate_events
from jaxgossip.simulation.metrics import Metrics


class SeparateScores(MethodWrapper):
    """Scores of each network in a disjoint union separately.

    Attributes:
        measure: (problem, rows of the state) -> scores.
        spans: for each network its name, its first node and the node after its last.
    """

    measure: Callable[[Problem, Any], NodeScores]
    spans: tuple[tuple[str, int, int], ...]

    @override
    def scores(self, problem: Problem, state: Any) -> NodeScores:
        scores: dict = {}
        for name, start, end in self.spans:
            measured = self.measure(problem, _rows(state, start, end))
            scores |= {f"{name}, {metric}": values for metric, values in measured.items()}
        return scores


class DisjointUnion:
    """A disjoint union of networks: network i has the nodes i·n … (i + 1)·n − 1.

    Args:
        networks: networks of n nodes each, with the same period and the same kinds of messages.
    """

    def __init__(self, networks: Sequence[Source]) -> None:
        self._networks, self.nodes_each = networks, networks[0].n_nodes
        self.n_nodes = self.nodes_each * len(networks)
        self.period_s, self.kinds = networks[0].period_s, networks[0].kinds

    def cycles(self, preferences: Preferences | None = None) -> Iterator[Messages]:
        """Yield the messages of all networks in cycles 0, 1, …; preferences are ignored."""
        del preferences
        for together in zip(*(network.cycles() for network in self._networks), strict=True):
            yield Messages.together([self._renumbered(messages, place) for place, messages in enumerate(together)])

    def _renumbered(self, messages: Messages, place: int) -> Messages:
        first, event = np.int32(place * self.nodes_each), messages.event * len(self._networks) + place
        return dataclasses.replace(
            messages, sender=messages.sender + first, receiver=messages.receiver + first, event=event
        )


def union_of_partitions(partitions: Sequence[Partition]) -> Partition:
    """Return the partition over a disjoint union of networks, from the partition of each."""
    sizes = np.concatenate([np.diff(partition.offsets) for partition in partitions])
    return Partition(
        np.concatenate([partition.order for partition in partitions]),
        np.append(0, np.cumsum(sizes)),
        np.concatenate([partition.n_train for partition in partitions]),
    )


def run_side_by_side(
    protocol: GossipProtocol,
    networks: Mapping[str, Sequence[Source]],
    cycles: int,
    measure: Callable[[Problem, Any], NodeScores],
    *,
    evaluate_every: int,
) -> Metrics:
    """Run several groups of networks and return their metrics; metric m of a group is called "name, m_mean".

    Args:
        protocol: protocol of the nodes of all networks, in the order of ``networks``.
        networks: groups of networks by name, whose nodes are measured together.
        cycles: number of cycles.
        measure: (problem, rows of the state) -> scores; a module-level function.
        evaluate_every: cycles between evaluations.
    """
    union = DisjointUnion([network for group in networks.values() for network in group])
    first = np.cumsum([0, *(union.nodes_each * len(group) for group in networks.values())]).tolist()
    method = SeparateScores(protocol.method, measure, tuple(zip(networks, first[:-1], first[1:], strict=True)))
    return simulate_events(
        method.applied_to(protocol), union, cycles, evaluate_every=evaluate_every, sampled_nodes=union.n_nodes
    ).metrics


def messages_sent(networks: Sequence[Source], cycles: int) -> np.ndarray:
    """Return (cycles + 1,): the number of messages that a node has sent by each cycle, averaged over all networks."""
    sent = [[0, *(len(messages) for messages in islice(network.cycles(), cycles))] for network in networks]
    return np.cumsum(np.mean(sent, axis=0)) / networks[0].n_nodes


def _rows(tree: PyTree, start: int, end: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[start:end], tree)
