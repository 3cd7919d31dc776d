"""Reactions: who sends when on account of what, by hand and against a loop that knows the rules."""

from itertools import islice
from typing import Any

import numpy as np
import pytest

import jaxgossip.topology as t
from jaxgossip.core.errors import InputError
from jaxgossip.schedule import (
    CHURNS,
    CLOCKS,
    DELAYS,
    PEERS,
    TOKEN_ACCOUNTS,
    Clock,
    Fate,
    Kind,
    Messages,
    TokenAccount,
    schedule,
)
from jaxgossip.schedule.reactions import KEPT_CYCLES

N = 50


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def read(network: Any, cycles: int) -> Messages:
    return Messages.together(list(islice(network.cycles(), cycles)))


def listed(*ticks: tuple[int, float], n: int) -> Clock:
    """Return a clock with just these ticks (node, seconds)."""

    def of(cycle: int, _: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        now = [(node, time_s) for node, time_s in ticks if cycle <= time_s < cycle + 1]
        return np.array([node for node, _ in now], np.int32), np.array([time_s for _, time_s in now], float)

    return Clock(n, 1.0, of)


PAIR = t.complete(2)


def test_the_receiver_reacts_at_the_instant_of_arrival() -> None:
    # Both save a token. Node 0 sends at 1.25, when its account of one is full, and keeps it; node 1 answers for its own,
    # node 0 answers that for its own, and node 1 has none left.
    account = TokenAccount(lambda tokens: float(tokens >= 1), lambda tokens, _: float(tokens > 0))
    clock = listed((0, 0.25), (1, 0.125), (0, 1.25), n=2)
    found = read(schedule(PAIR, clock=clock, delay=DELAYS["constant"](seconds=0.5), tokens=account), 5)
    assert found.sender.tolist() == [0, 1, 0]
    assert found.receiver.tolist() == [1, 0, 1]
    assert found.sent_s.tolist() == [1.25, 1.75, 2.25]
    assert found.arrives_s.tolist() == [1.75, 2.25, 2.75]
    assert (np.diff(found.event) > 0).all()


def test_a_reaction_of_several_messages_takes_as_many_tokens() -> None:
    # After ten ticks without a message node 1 has ten tokens: ⌊(2 − 1 + 10)/2⌋ = 5 messages, then ⌊6/2⌋ = 3 more.
    account = TOKEN_ACCOUNTS["generalised"](capacity=10, reaction=2)
    saving = [(1, k / 16) for k in range(10)]
    sending = [(0, 0.9 + k / 256) for k in range(11)]  # ten tokens, then a message
    network = schedule(
        PAIR, clock=listed(*saving, *sending, n=2), delay=DELAYS["constant"](seconds=5.0), tokens=account
    )
    found = read(network, 16)
    by_time = {time: (found.sent_s == time).sum() for time in np.unique(found.sent_s)}
    first = 0.9 + 10 / 256
    # 0 → 1; five back, at once; node 0 has ten tokens: 5, 3, 1, 1, 0 of them in reaction to those five.
    assert by_time[first] == 1
    assert by_time[first + 5] == 5
    assert by_time[first + 10] == 5 + 3 + 1 + 1
    assert (found.sender[found.sent_s == first + 5] == 1).all()


def test_only_a_model_of_a_greater_age_is_newer() -> None:
    # With k = 1 each useful arrival causes one message. At first all ages are 0, and nothing is newer.
    keys: dict[str, Any] = {"clock": CLOCKS["synchronous"](2), "delay": DELAYS["constant"](seconds=0.25)}
    account = TOKEN_ACCOUNTS["reactive"]()
    assert len(read(schedule(PAIR, tokens=account, useful="newer", **keys), 30)) == 2
    # Always useful, both messages are walks for ever: one message every quarter of a second each.
    assert abs(len(read(schedule(PAIR, tokens=account, **keys), 30)) - 2 * 30 * 4) <= 8
    # One that has been told is newer than who was not: 0 tells 1, whose age is 1; it tells 2 with age 1 > 0, who tells on.
    line = t.graph.from_links(4, np.array([1, 2, 3]), np.array([0, 1, 2]), name="line", directed=True)
    clock = listed((0, 0.0), n=4)
    found = read(schedule(line, clock=clock, delay=DELAYS["constant"](seconds=0.25), tokens=account), 5)
    assert found.sender.tolist() == [0, 1, 2]
    clock = listed((0, 0.0), (1, 0.5), n=4)
    found = read(schedule(line, clock=clock, delay=DELAYS["constant"](seconds=0.25), tokens=account, useful="newer"), 5)
    assert found.sender.tolist() == [0, 1, 2], "1 tells by itself, at its first tick, of age 1; 2 tells on, of age 2"


@pytest.mark.parametrize("name", ["simple", "generalised", "randomised", "proactive"])
def test_no_node_sends_more_than_its_ticks_and_capacity_allow(name: str) -> None:
    keys = {"simple": {"capacity": 5}, "proactive": {}}.get(name, {"capacity": 5, "reaction": 2})
    graph, cycles = t.complete(N), 60
    network = schedule(
        graph, clock=CLOCKS["fixed"](N, rng()), delay=DELAYS["uniform"](high_s=0.2), tokens=TOKEN_ACCOUNTS[name](**keys)
    )
    found = read(network, cycles)
    sent = np.bincount(found.sender, minlength=N)
    assert sent.max() <= cycles
    # In the long run all tokens are spent: what is not sent is in the accounts.
    assert sent.min() >= cycles - 5
    for start in range(5, cycles - 10, 10):
        window = found.take((found.sent_s >= start) & (found.sent_s < start + 10))
        assert np.bincount(window.sender, minlength=N).max() <= 10 + 5 + 1


def test_losses_and_churn_meet_reactions_too() -> None:
    churn = CHURNS["coin"](N, rng(), online=0.8, session_s=2.0)
    network = schedule(
        t.complete(N),
        clock=CLOCKS["poisson"](N),
        delay=DELAYS["uniform"](high_s=0.5),
        churn=churn,
        drop=0.2,
        tokens=TOKEN_ACCOUNTS["randomised"](capacity=4, reaction=2),
    )
    found = read(network, 40)
    assert churn.online(found.sender, found.sent_s).all()
    there = churn.online(found.receiver, found.arrives_s)
    np.testing.assert_array_equal(
        there[found.fate != Fate.DROPPED], found.fate[found.fate != Fate.DROPPED] == Fate.DELIVERED
    )
    assert abs((found.fate == Fate.DROPPED).mean() - 0.2) < 5 * np.sqrt(0.16 / len(found))
    reactions = np.isin(found.sent_s, found.arrives_s[found.fate == Fate.DELIVERED])
    assert 0.2 < reactions.mean() < 1
    arrival = {(node, time) for node, time in zip(found.receiver.tolist(), found.arrives_s.tolist(), strict=True)}
    pairs = zip(found.sender[reactions].tolist(), found.sent_s[reactions].tolist(), strict=True)
    assert all(pair in arrival for pair in pairs), "whoever reacts is the one that has received"


def test_messages_that_multiply_are_stopped() -> None:
    network = schedule(PAIR, clock=CLOCKS["fixed"](2, rng()), tokens=TOKEN_ACCOUNTS["reactive"](k=2))
    with pytest.raises(InputError, match="more than 1000 messages a node within one cycle: they multiply"):
        next(network.cycles())


def test_a_cached_model_acts_at_the_receivers_next_tick() -> None:
    clock = listed((0, 0.0), (1, 0.75), (0, 1.5), (1, 1.75), (1, 2.5), n=2)
    found = read(schedule(PAIR, clock=clock, delay=DELAYS["constant"](seconds=0.25), receive="cached"), 3)
    # 0 sends at 0: taken at 0.75. 1 sends at 0.75: taken at 1.5. 0 sends at 1.5: arrives at 1.75, before 1 ticks then.
    assert found.sender.tolist() == [0, 1, 0, 1, 1]
    assert found.arrives_s.tolist()[:3] == [0.75, 1.5, 1.75]
    assert found.fate.tolist()[:3] == [Fate.DELIVERED] * 3
    # 1 sends at 1.75 and 2.5 to 0, which never ticks again: the first is replaced, the second forgotten in the end.
    assert found.fate.tolist()[3:] == [Fate.REPLACED] * 2
    assert (found.event == np.arange(5)).all()


def test_caches_hold_one_model_a_neighbour() -> None:
    graph = t.star(6)
    network = schedule(graph, clock=CLOCKS["poisson"](6), receive="cached", delay=DELAYS["constant"](seconds=0.3))
    found = read(network, 80)
    acting = found.take(found.fate == Fate.DELIVERED)
    key = list(zip(acting.receiver.tolist(), acting.arrives_s.tolist(), strict=True))
    assert len(set(key)) == len(key), "one model a tick"
    ticks = {(node, time) for node, time in zip(found.sender.tolist(), found.sent_s.tolist(), strict=True)}
    assert set(key[: len(key) // 2]) <= ticks, "and only then"
    for sender in range(1, 6):
        order = np.argsort(acting.arrives_s[acting.sender == sender])
        assert (np.diff(acting.sent_s[acting.sender == sender][order]) > 0).all(), "none after a newer one"
    assert (found.fate == Fate.REPLACED).any()
    leaves = acting.take(acting.receiver > 0)
    waits = leaves.arrives_s - leaves.sent_s
    assert waits.max() < KEPT_CYCLES


def test_cached_messages_of_who_left_do_not_hold_up_the_others() -> None:
    clock = listed((0, 0.0), *((1, k + 0.5) for k in range(3 * KEPT_CYCLES)), n=3)
    network = schedule(
        t.graph.from_links(3, np.array([0, 1]), np.array([1, 2]), name="p"), clock=clock, receive="cached"
    )
    found = read(network, 5)
    assert found.sender.tolist() == [0, 1, 1, 1, 1, 1]
    assert found.fate[0] == Fate.DELIVERED
    assert set(found.fate[1:]) == {Fate.REPLACED}


def test_reactions_go_by_any_choice_of_peers() -> None:
    for peers in (PEERS["newscast"](N, rng(), view=5), PEERS["weighted"](t.ring(N))):
        network = schedule(
            t.ring(N), clock=CLOCKS["fixed"](N, rng()), peers=peers, tokens=TOKEN_ACCOUNTS["simple"](capacity=3)
        )
        found = read(network, 20)
        assert (found.kind == Kind.MODEL).all()
        assert (found.sender != found.receiver).all()
        assert len(found) > 5 * N
