"""Morph in plain Python, one node after the other: what each knows of others, whom it swaps, and what it makes of models."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxgossip.core.random import NodeDraws, run_key, to_unit
from jaxgossip.network import Round

N, P, ETA, BETA = 14, 6, 0.3, 4.0
KEY = run_key(3)


def targets(p: int = P) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(N, p))


def words_of(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers by which nodes draw in a round, (N, N) each."""
    bits = NodeDraws(N).bits(Round(jnp.int32(number), KEY, N).key("swap"), (2 * N,))
    words = np.asarray(to_unit(bits), np.float64) + 2.0**-25
    return words[:, :N], words[:, N:]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


class Node:
    """A node as the authors' class has it, with sets, a cache and queues of reports."""

    def __init__(self, number: int, senders: Sequence[int], acquainted: Sequence[int]) -> None:
        self.number, self.senders, self.known = number, list(senders), {*senders, *acquainted}
        self.met: set[int] = set()
        self.cache: dict[int, float] = {}
        self.reports: dict[int, deque] = defaultdict(lambda: deque(maxlen=5))
        self.begin()

    def begin(self) -> None:
        """Make the lists that travel in this round."""
        self.listed, self.told = set(self.known), dict(self.cache)
        self.heard: list[tuple[int, float]] = []
        self.heard_of: set[int] = set()

    def swap(self, comes: np.ndarray, goes: np.ndarray) -> None:
        """Put a node known in the place of a sender, drawn with the numbers (n,) of each node."""
        fallback = float(np.mean(list(self.cache.values()))) if self.cache else 0.0
        for other, reports in self.reports.items():
            if other not in self.met:
                self.cache[other] = float(np.mean([self.cache[by] * said for by, said in reports]))
        candidates = sorted(self.known - {*self.senders, self.number})
        if not candidates or not self.senders:
            return

        def drawn(among: Sequence[int], sign: float, uniform: np.ndarray) -> int:
            scores = [sign * BETA * self.cache.get(j, fallback) - np.log(-np.log(uniform[j])) for j in among]
            return among[int(np.argmax(scores))]

        new, old = drawn(candidates, -1, comes), drawn(self.senders, 1, goes)
        self.senders[self.senders.index(old)] = new

    def hear(self, sender: "Node", alike: float, *, reports: bool) -> None:
        """Read the lists of a message, whose model is so much alike."""
        if reports:
            for other, said in sender.told.items():
                if other != self.number:
                    self.reports[other].append((sender.number, said))
        self.heard.append((sender.number, alike))
        self.heard_of |= sender.listed

    def settle(self) -> None:
        """Take over what was heard, once all messages of the round have been read."""
        for sender, alike in self.heard:
            self.cache[sender] = alike
            self.met.add(sender)
        self.known = (self.known | self.heard_of) - {self.number}


def simulated(x: np.ndarray, links: np.ndarray, rounds: int, every: int, arrive: Callable[[int], Any]) -> Iterator[Any]:
    """Yield (x, nodes, messages, bytes beside models) after every round, node after node."""
    nodes = [Node(i, np.flatnonzero(links[i]), np.flatnonzero(links[:, i])) for i in range(N)]
    for number in range(rounds):
        half, arrives = x - ETA * (x - targets()), arrive(number)
        if number and number % every == 0:
            for node, comes, goes in zip(nodes, *words_of(number), strict=True):
                node.swap(comes, goes)
        reports = (number + 1) % every == 0
        for node in nodes:
            node.begin()
        messages = sum(len(node.senders) for node in nodes)
        about = sum(4 * len(nodes[j].listed) + 8 * reports * len(nodes[j].told) for node in nodes for j in node.senders)
        x = half.copy()
        for node in nodes:
            i = node.number
            for j in node.senders:
                if arrives[i, j]:
                    node.hear(nodes[j], cosine(half[i], half[j]), reports=reports)
                    nodes[j].heard_of.add(i)
                    x[i] += (half[j] - half[i]) / (1 + len(node.senders))
        for node in nodes:
            node.settle()
        yield x, nodes, messages, about
