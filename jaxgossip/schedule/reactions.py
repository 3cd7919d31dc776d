"""What has to be played through in order, since what nodes send depends on what has reached them.

**Token accounts** (:mod:`.tokens`; Danner and Jelasity 2018, "Token account algorithms: the best of the proactive and
reactive worlds", algorithm 4). Once a cycle: with probability PROACTIVE(a) send the model, else a ← a + 1. When a model
arrives: x ← randRound(REACTIVE(a, u)), its receiver sends x messages at that instant, a ← a − x. It is useful always, or
if it is newer, of an age t_s above the receiver's t_r; then t_r ← max(t_r, t_s) + 1.

**Cached neighbours** (Giaretta and Girdzijauskas 2019, "Gossip learning: off the beaten path"). A model that
arrives is kept, one a neighbour. At its own tick a node takes one of those at random, merges it and learns, and then sends
its model. What has become of a message is known only when it is taken or replaced, so that the play runs ahead of what
it yields; a model sent more than a hundred cycles ago is forgotten as if replaced.
"""

from collections import deque
from collections.abc import Iterator
from itertools import count, islice
from typing import Literal

import numpy as np

from jaxgossip.schedule.messages import Fate, Messages
from jaxgossip.schedule.post import Post, Run
from jaxgossip.schedule.tokens import TokenAccount

Useful = Literal["always", "newer"]
"""Which models are of use to those whom they reach."""

KEPT_CYCLES = 100
"""A node forgets models that were sent longer ago."""


def token_messages(run: Run, account: TokenAccount, useful: Useful) -> Iterator[Messages]:
    """Yield what nodes with token accounts send, cycle by cycle, without end.

    Args:
        run: what the play is made of.
        account: how nodes spend tokens.
        useful: which models are of use.

    Raises:
        InputError: the messages multiply.
    """
    post, always = Post(run), useful == "always"
    tokens, age = [0] * post.n_nodes, [0] * post.n_nodes
    begun = [not account.begins] * post.n_nodes

    def receive(until_s: float, *, inclusive: bool) -> None:
        for time_s, _, _, _, node, sender_age in post.arrived(until_s, inclusive=inclusive):
            own = tokens[node]
            wanted = account.reactive(own, always or sender_age > age[node])
            age[node] = max(age[node], sender_age) + 1
            if not wanted:
                continue
            x = int(wanted)
            if x < wanted:
                x += next(luck) < wanted - x
            x = x if account.overdraws else min(x, own)
            tokens[node] = own - x
            for _ in range(x):
                post.send(node, time_s, age[node])

    for cycle in count():
        post.begin(cycle)
        luck = _uniforms(run.rng("tokens", cycle))
        for node, time_s in _listed(run.ticks(cycle)):
            receive(time_s, inclusive=True)
            if not begun[node] or next(luck) < account.proactive(tokens[node]):
                begun[node] = True
                post.send(node, time_s, age[node])
            else:
                tokens[node] += 1
        receive((cycle + 1) * run.period_s, inclusive=False)
        yield post.messages()


def cached_messages(run: Run) -> Iterator[Messages]:
    """Yield what nodes send that keep what arrives until they tick, cycle by cycle, without end.

    Args:
        run: what the play is made of.
    """
    post = Post(run)
    kept: list[dict[int, tuple[int, int]]] = [{} for _ in range(post.n_nodes)]  # sender to (cycle, event), by node
    played: deque[Messages] = deque()  # cycles not yet yielded, of which the first is ``oldest``
    taken: dict[int, float] = {}  # of the present cycle: event to when
    undecided = {}  # by cycle, how many of its messages are under way or kept
    oldest = 0

    def receive(until_s: float, *, inclusive: bool) -> None:
        for _, event, cycle, sender, node, _ in post.arrived(until_s, inclusive=inclusive):
            if cycle < oldest:
                continue
            older = kept[node].get(sender)
            if older is not None and older[1] > event:
                undecided[cycle] -= 1  # it was overtaken
                continue
            if older is not None and older[0] >= oldest:
                undecided[older[0]] -= 1
            kept[node][sender] = (cycle, event)

    for cycle in count():
        post.begin(cycle)
        undecided[cycle] = 0
        luck = _uniforms(run.rng("cache", cycle))
        for node, time_s in _listed(run.ticks(cycle)):
            receive(time_s, inclusive=True)
            mine = kept[node]
            while mine:
                sender = next(islice(mine, int(next(luck) * len(mine)), None))
                since, event = mine.pop(sender)
                if since >= oldest:
                    undecided[since] -= 1
                    if since == cycle:
                        taken[event] = time_s
                    else:
                        _take(played[since - oldest], event, time_s)
                    break
            post.send(node, time_s)
        receive((cycle + 1) * run.period_s, inclusive=False)
        messages = post.messages()
        # Until it is taken, what will arrive counts as replaced.
        will_arrive = messages.fate == Fate.DELIVERED
        undecided[cycle] += int(will_arrive.sum())
        messages.fate[will_arrive] = Fate.REPLACED
        for event, time_s in taken.items():
            _take(messages, event, time_s)
        taken.clear()
        played.append(messages)
        while played and (not undecided[oldest] or cycle - oldest >= KEPT_CYCLES):
            del undecided[oldest]
            oldest += 1
            yield played.popleft()


def _take(messages: Messages, event: int, time_s: float) -> None:
    place = event - int(messages.event[0])
    messages.fate[place] = Fate.DELIVERED
    messages.arrives_s[place] = time_s


def _listed(ticks: tuple[np.ndarray, np.ndarray]) -> Iterator[tuple[int, float]]:
    return zip(ticks[0].tolist(), ticks[1].tolist(), strict=True)


def _uniforms(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(1024).tolist()
