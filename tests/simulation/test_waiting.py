"""Messages that wait for a time, and the chronological order of a segment, against brute force."""

import numpy as np
import pytest

from jaxgossip.schedule import Messages
from jaxgossip.simulation.events.chronology import MOST_BY_INSERTION, chronological
from jaxgossip.simulation.events.waiting import Numbered, Waiting

TIMES = {
    "spread": lambda rng, m: rng.uniform(0, 8, m),
    "heavy tails": lambda rng, m: 0.01 * (rng.pareto(0.3, m) + 1),
    "equal": lambda rng, m: rng.integers(0, 3, m) / 2,
    "far": lambda rng, m: 1e9 + rng.uniform(0, 1, m),
}


def messages_of(sent_s: np.ndarray, arrives_s: np.ndarray, event: np.ndarray | int = 0) -> Messages:
    nodes = np.arange(len(sent_s))
    return Messages.of(nodes, nodes[::-1], sent_s, arrives_s, np.broadcast_to(event, nodes.shape))


@pytest.mark.parametrize("kind", TIMES)
def test_who_is_due_is_who_has_a_time_before(kind: str):
    rng, waiting, held, number = np.random.default_rng(3), Waiting(), {}, 0
    for cycle in range(12):
        m = int(rng.integers(0, 200))
        time_s = cycle + TIMES[kind](rng, m)
        waiting = waiting.with_more(Numbered.unsent(messages_of(time_s, time_s), number), time_s, float(cycle), 0.5)
        held |= dict(zip(range(number, number + m), time_s.tolist(), strict=True))
        number += m
        until_s = cycle + float(rng.choice([0.0, 0.3, 1.0]))
        before = waiting
        due, waiting = waiting.due(until_s, 0.5)
        assert sorted(due.number.tolist()) == [k for k, time_s in held.items() if time_s < until_s]
        np.testing.assert_array_equal(due.messages.sent_s, [held[k] for k in due.number.tolist()])
        assert len(before) == len(held)  # a value, which stays as it is
        held = {k: time_s for k, time_s in held.items() if time_s >= until_s}
        assert len(waiting) == len(held)
        assert waiting.all().number.tolist() == sorted(held)


def test_those_that_wait_long_keep_no_others_in_memory():
    time_s = np.r_[np.linspace(0, 0.4, 1000), 50.0]
    waiting = Waiting().with_more(Numbered.unsent(messages_of(time_s, time_s)), time_s, 0.0, 0.5)
    _, left = waiting.due(10.0, 0.5)
    (group,) = left.groups
    assert group.messages.number.base is None
    assert group.messages.messages.sent_s.base is None


@pytest.mark.parametrize("buckets", ["small", "one large", "both"])
def test_the_order_is_by_time_sends_first_then_by_number(buckets: str):
    rng, m, held = np.random.default_rng(5), 6 * MOST_BY_INSERTION, 50
    sent_s = rng.uniform(0, 2, m)
    many = slice(held, {"small": held, "one large": m, "both": m // 2}[buckets])
    sent_s[many] = np.where(rng.random(len(sent_s[many])) < 0.5, 1.0, 1.0 + 1e-9)
    sent_s[:held] = -1.0
    arrives_s = np.where(rng.random(m) < 0.5, np.maximum(sent_s, 0), rng.uniform(0, 4, m))
    arrives_s = np.maximum(arrives_s, sent_s)
    arriving = (arrives_s < 2) & (rng.random(m) < 0.8)
    event, number = rng.integers(0, 3, m), rng.permutation(m) + 7
    order = chronological(messages_of(sent_s, arrives_s, event), number, arriving, held, 0.0, 2.0)

    k = np.r_[np.arange(held, m), np.flatnonzero(arriving)]
    delivery = np.arange(k.size) >= m - held
    time_s = np.where(delivery, arrives_s[k], sent_s[k])
    expected = (k + m * delivery)[np.lexsort((number[k], delivery, event[k], time_s))]
    np.testing.assert_array_equal(order, expected)


def test_nothing_that_happens_has_an_order_too():
    nothing = np.empty(0)
    assert chronological(Messages.none(), nothing.astype(int), nothing.astype(bool), 0, 0.0, 1.0).size == 0
