"""Schedules that are simulated in order of events, since what nodes send depends on what has reached them.

**Token accounts** (:mod:`.tokens`; Danner and Jelasity 2018, "Token account algorithms: the best of the proactive and
reactive worlds", algorithm 4). Once a cycle: with probability PROACTIVE(a) send the model, else a ← a + 1. When a model
arrives: x ← randRound(REACTIVE(a, u)), its receiver sends x messages at that instant, a ← a − x. It is useful always, or
if it is newer: if its age t_s is above the receiver's t_r; then t_r ← max(t_r, t_s) + 1.

**Cached neighbours** (Giaretta and Girdzijauskas 2019, "Gossip learning: off the beaten path"). The latest model from each
neighbour is cached. At its own tick a node takes one of those at random, merges it and learns, and then sends its model.
The fate of a message is known only when it is taken or replaced, so that the simulation runs ahead of what it yields; a
model sent more than a hundred cycles ago is forgotten as if replaced.
"""

from collections import deque
from collections.abc import Iterator
from itertools import count, islice
from typing import Literal

import numpy as np

from jaxgossip.schedule.event_queue import EventQueue, Network
from jaxgossip.schedule.messages import Fate, Messages
from jaxgossip.schedule.tokens import TokenAccount

Useful = Literal["always", "newer"]
"""Which models are useful to their receivers."""

KEPT_CYCLES = 100
"""Age in cycles at which a node forgets a cached model."""


def token_messages(network: Network, account: TokenAccount, useful: Useful) -> Iterator[Messages]:
    """Yield the messages of nodes with token accounts, cycle by cycle, endlessly.

    Args:
        network: the network to simulate.
        account: how nodes spend tokens.
        useful: which models are useful.

    Raises:
        InputError: the messages multiply without bound.
    """
    queue, always = EventQueue(network), useful == "always"
    tokens, age = [0] * queue.n_nodes, [0] * queue.n_nodes
    begun = [not account.begins] * queue.n_nodes

    def receive(until_s: float, *, inclusive: bool) -> None:
        for time_s, _, _, _, node, sender_age in queue.arrivals(until_s, inclusive=inclusive):
            own = tokens[node]
            wanted = account.reactive(own, always or sender_age > age[node])
            age[node] = max(age[node], sender_age) + 1
            if not wanted:
                continue
            x = int(wanted)
            if x < wanted:
                x += next(uniforms) < wanted - x
            x = x if account.overdraws else min(x, own)
            tokens[node] = own - x
            for _ in range(x):
                queue.send(node, time_s, age[node])

    for cycle in count():
        queue.begin(cycle)
        uniforms = _uniforms(network.rng("tokens", cycle))
        for node, time_s in _listed(network.ticks(cycle)):
            receive(time_s, inclusive=True)
            if not begun[node] or next(uniforms) < account.proactive(tokens[node]):
                begun[node] = True
                queue.send(node, time_s, age[node])
            else:
                tokens[node] += 1
        receive((cycle + 1) * network.period_s, inclusive=False)
        yield queue.messages()


def cached_messages(network: Network) -> Iterator[Messages]:
    """Yield the messages of nodes that cache what arrives until they tick, cycle by cycle, endlessly.

    Args:
        network: the network to simulate.
    """
    queue = EventQueue(network)
    cache: list[dict[int, tuple[int, int]]] = [{} for _ in range(queue.n_nodes)]  # by node: sender to (cycle, event)
    simulated: deque[Messages] = deque()  # cycles not yet yielded, from cycle ``oldest`` on
    taken: dict[int, float] = {}  # of the present cycle: event to the time at which it was taken
    undecided = {}  # by cycle: number of its messages in flight or cached
    oldest = 0

    def receive(until_s: float, *, inclusive: bool) -> None:
        for _, event, cycle, sender, node, _ in queue.arrivals(until_s, inclusive=inclusive):
            if cycle < oldest:
                continue
            older = cache[node].get(sender)
            if older is not None and older[1] > event:
                undecided[cycle] -= 1  # a newer message has overtaken it
                continue
            if older is not None and older[0] >= oldest:
                undecided[older[0]] -= 1
            cache[node][sender] = (cycle, event)

    for cycle in count():
        queue.begin(cycle)
        undecided[cycle] = 0
        uniforms = _uniforms(network.rng("cache", cycle))
        for node, time_s in _listed(network.ticks(cycle)):
            receive(time_s, inclusive=True)
            cached = cache[node]
            while cached:
                sender = next(islice(cached, int(next(uniforms) * len(cached)), None))
                sent_cycle, event = cached.pop(sender)
                if sent_cycle >= oldest:
                    undecided[sent_cycle] -= 1
                    if sent_cycle == cycle:
                        taken[event] = time_s
                    else:
                        _take(simulated[sent_cycle - oldest], event, time_s)
                    break
            queue.send(node, time_s)
        receive((cycle + 1) * network.period_s, inclusive=False)
        messages = queue.messages()
        # Messages that will arrive count as replaced until they are taken.
        will_arrive = messages.fate == Fate.DELIVERED
        undecided[cycle] += int(will_arrive.sum())
        messages.fate[will_arrive] = Fate.REPLACED
        for event, time_s in taken.items():
            _take(messages, event, time_s)
        taken.clear()
        simulated.append(messages)
        while simulated and (not undecided[oldest] or cycle - oldest >= KEPT_CYCLES):
            del undecided[oldest]
            oldest += 1
            yield simulated.popleft()


def _take(messages: Messages, event: int, time_s: float) -> None:
    place = event - int(messages.event[0])
    messages.fate[place] = Fate.DELIVERED
    messages.arrives_s[place] = time_s


def _listed(ticks: tuple[np.ndarray, np.ndarray]) -> Iterator[tuple[int, float]]:
    return zip(ticks[0].tolist(), ticks[1].tolist(), strict=True)


def _uniforms(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(1024).tolist()
