"""Schedules: what each exchange sends, what becomes of it, and that cycles hold what they promise."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxgossip.topology as t
from jaxgossip.core.errors import InputError
from jaxgossip.schedule import (
    CHURNS,
    CLOCKS,
    DELAYS,
    PEERS,
    TOKEN_ACCOUNTS,
    Churn,
    Clock,
    Delay,
    Fate,
    Kind,
    Messages,
    Peers,
    Schedule,
    schedule,
)
from jaxgossip.schedule.exchanges import EXCHANGES

N = 60
GRAPH = t.ring(N)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def fixed(n: int = N) -> Any:
    return CLOCKS["fixed"](n, rng())


def lossy(**changes: Any) -> Schedule:
    """Return a network in which everything happens."""
    parts: dict[str, Any] = {
        "clock": CLOCKS["normal"](N, rng()),
        "delay": DELAYS["uniform"](high_s=2.5),
        "churn": CHURNS["exponential"](N, rng(), 40.0, mean_online_s=4.0, mean_offline_s=1.0),
        "drop": 0.1,
        "split": 2,
        "split_at_s": 5.0,
        "heal_at_s": 8.0,
        "seed": 3,
    }
    return schedule(GRAPH, **(parts | changes))


def read(network: Schedule, cycles: int) -> Messages:
    return Messages.together(list(islice(network.cycles(), cycles)))


VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {"exchange": name} for name in EXCHANGES},
    "pass_through": {"receive": "pass_through", "parts": 4},
    "cached": {"receive": "cached", "parts": 4},
    "tokens": {"tokens": TOKEN_ACCOUNTS["randomised"](capacity=4, reaction=2)},
    "newer": {"tokens": TOKEN_ACCOUNTS["generalised"](capacity=4, reaction=2), "useful": "newer"},
    "newscast": {"peers": PEERS["newscast"](N, rng(), view=5)},
    "matching": {"peers": PEERS["matching"](N), "clock": CLOCKS["synchronous"](N), "exchange": "pairwise"},
}


@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_schedule_replays_and_is_well_formed(name: str) -> None:
    network = lossy(**VARIANTS[name])
    cycles = list(islice(network.cycles(), 15))
    for one, other in zip(cycles, islice(network.cycles(), 15), strict=True):
        for field in ("sender", "receiver", "sent_s", "arrives_s", "event", "kind", "fate", "part"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    for k, messages in enumerate(cycles):
        assert (messages.sent_s >= k - 1e-12).all(), "whatever is sent in a cycle has come by its item"
    found = Messages.together(cycles)
    assert len(found) > 10 * N / 4
    assert (found.arrives_s >= found.sent_s).all()
    alone = (found.kind == Kind.SPLIT) | (found.kind == Kind.LEARN)
    np.testing.assert_array_equal(found.sender == found.receiver, alone)
    models = (found.kind == Kind.MODEL) | (found.kind == Kind.PASSED)
    assert set(np.unique(found.part[models])) == set(range(network.parts))
    assert not found.part[~models].any()
    assert (np.diff([messages.event.min() for messages in cycles if len(messages)]) > 0).all()
    dtypes = [getattr(found, field).dtype for field in ("sender", "sent_s", "event", "kind", "fate", "part")]
    assert dtypes == [np.int32, np.float64, np.int64, np.int8, np.int8, np.int16]


@pytest.mark.parametrize("name", list(VARIANTS))
def test_fates_are_what_the_network_says(name: str) -> None:
    network = lossy(**VARIANTS[name])
    found = read(network, 15)
    fate = found.fate
    online = network.faults.online
    sent = online(found.sender, found.sent_s)
    assert online(found.receiver[fate == Fate.DELIVERED], found.arrives_s[fate == Fate.DELIVERED]).all()
    crossing = found.sender * 2 // N != found.receiver * 2 // N
    if "peers" not in VARIANTS[name]:  # on a ring few messages cross
        crossing &= np.abs(found.sender - found.receiver) == 1
    apart = [(time >= 5) & (time < 8) for time in (found.sent_s, found.arrives_s)]
    assert not (crossing & apart[0] & (fate != Fate.DIVIDED)).any()
    assert not (~crossing & (fate == Fate.DIVIDED) & (np.abs(found.sender - found.receiver) == 1)).any()
    two_way = name in ("pairwise", "compute_pairwise", "matching")
    offline = fate == Fate.OFFLINE
    if two_way:
        assert sent[~offline & (fate == Fate.DELIVERED)].all()
    else:
        assert sent.all()
        assert not online(found.receiver[offline], found.arrives_s[offline]).any()
    travels = found.sender != found.receiver
    share = (fate[travels] == Fate.DROPPED).mean()
    assert abs(share - 0.1) < 5 * np.sqrt(0.09 / (travels.sum() / (2 if two_way else 1)))


def test_without_faults_everything_is_delivered_once_a_tick() -> None:
    network = schedule(GRAPH, clock=fixed())
    for messages in islice(network.cycles(), 3):
        np.testing.assert_array_equal(np.sort(messages.sender), np.arange(N))
        assert not messages.fate.any()
        np.testing.assert_array_equal(messages.arrives_s, messages.sent_s)
        assert (np.isin((messages.receiver - messages.sender) % N, (1, N - 1))).all()


def test_a_pull_is_answered_where_its_request_arrives() -> None:
    found = read(lossy(exchange="pull"), 15)
    request, model = (found.take(found.kind == kind) for kind in (Kind.REQUEST, Kind.MODEL))
    heard = request.take(request.fate == Fate.DELIVERED)
    assert len(model) == len(heard) < len(request)
    np.testing.assert_array_equal(model.sender, heard.receiver)
    np.testing.assert_array_equal(model.receiver, heard.sender)
    np.testing.assert_array_equal(model.sent_s, heard.arrives_s)
    assert (model.event > heard.event).all()
    assert (model.fate != Fate.DELIVERED).any()


def test_a_push_is_answered_after_it_has_acted() -> None:
    found = read(schedule(GRAPH, clock=fixed(), exchange="push_pull", delay=DELAYS["constant"](seconds=0.3)), 1)
    there, back = found.take(slice(N)), found.take(slice(N, None))
    np.testing.assert_array_equal(back.sender, there.receiver)
    np.testing.assert_array_equal(back.sent_s, there.arrives_s)
    assert (back.event > there.event).all()
    assert (found.kind == Kind.MODEL).all()


@pytest.mark.parametrize("exchange", ["pairwise", "compute_pairwise"])
def test_both_models_cross_or_neither(exchange: Any) -> None:
    network = lossy(exchange=exchange)
    found = read(network, 15)
    models = found.take(found.kind == Kind.MODEL)
    models = models.take(np.argsort(models.event, kind="stable"))
    one, other = models.take(slice(0, None, 2)), models.take(slice(1, None, 2))
    for mine, yours in (("event", "event"), ("sender", "receiver"), ("receiver", "sender"), ("sent_s", "sent_s")):
        np.testing.assert_array_equal(getattr(one, mine), getattr(other, yours))
    np.testing.assert_array_equal(one.arrives_s, other.arrives_s)
    np.testing.assert_array_equal(one.fate, other.fate)
    assert (np.diff(one.event) > 0).all(), "each exchange is an event of its own"
    crossed = models.take(models.fate == Fate.DELIVERED)
    for node, time_s in ((crossed.sender, crossed.sent_s), (crossed.receiver, crossed.sent_s)):
        assert network.faults.online(node, time_s).all()


def test_a_node_divides_its_mass_only_for_a_half_that_will_arrive() -> None:
    found = read(lossy(exchange="split_push"), 15)
    split, model = (found.take(found.kind == kind) for kind in (Kind.SPLIT, Kind.MODEL))
    arriving = model.take(model.fate == Fate.DELIVERED)
    assert 0 < len(split) == len(arriving) < len(model)
    np.testing.assert_array_equal(split.sender, arriving.sender)
    np.testing.assert_array_equal(split.sent_s, arriving.sent_s)
    np.testing.assert_array_equal(split.arrives_s, split.sent_s)
    assert (split.event < arriving.event).all()


def test_a_gradient_is_of_the_tick_and_acts_after_the_exchange() -> None:
    compute_s = np.linspace(0.1, 0.6, N)
    found = read(schedule(GRAPH, clock=fixed(), exchange="compute_pairwise", compute_s=compute_s), 1)
    learn, model = (found.take(found.kind == kind) for kind in (Kind.LEARN, Kind.MODEL))
    np.testing.assert_allclose(learn.arrives_s - learn.sent_s, compute_s[learn.sender])
    np.testing.assert_array_equal(model.sent_s[:N], learn.arrives_s)
    np.testing.assert_array_equal(model.sender[:N], learn.sender)
    assert (model.event[:N] < learn.event).all()


def test_a_synchronous_clock_makes_one_event_of_all_sends() -> None:
    clock = CLOCKS["synchronous"](N)
    for exchange, events in (("push", 1), ("push_pull", 2), ("split_push", 2), ("pairwise", N)):
        assert len(np.unique(read(schedule(GRAPH, clock=clock, exchange=exchange), 1).event)) == events
    first = read(schedule(GRAPH, clock=clock, exchange="split_push"), 1)
    assert first.event[first.kind == Kind.SPLIT].max() < first.event[first.kind == Kind.MODEL].min()


def test_models_are_passed_through_by_the_degrees_of_both_ends() -> None:
    star = t.star(21)
    found = read(schedule(star, clock=CLOCKS["fixed"](21, rng()), receive="pass_through", exchange="push"), 300)
    inward = found.receiver == 0
    assert (found.kind[~inward] == Kind.MODEL).all(), "from degree 20 to degree 1"
    accepted = (found.kind[inward] == Kind.MODEL).mean()
    assert abs(accepted - 1 / 20) < 4 * np.sqrt(0.05 / inward.sum())
    assert set(found.kind[inward]) == {Kind.MODEL, Kind.PASSED}


def test_nobody_calls_into_a_split_network() -> None:
    found = read(schedule(t.complete(9), clock=CLOCKS["fixed"](9, rng()), split=3, split_at_s=0, heal_at_s=10), 20)
    crossing = found.sender // 3 != found.receiver // 3
    np.testing.assert_array_equal(found.fate == Fate.DIVIDED, crossing & (found.sent_s < 10))


def test_pushes_go_along_directed_links_and_pulls_ask_against_them() -> None:
    graph = t.graph.from_links(
        3, np.array([1, 2, 0]), np.array([0, 1, 2]), name="cycle", directed=True
    )  # 0 → 1 → 2 → 0
    clock = CLOCKS["fixed"](3, rng())
    for exchange in ("push", "split_push"):
        found = read(schedule(graph, clock=clock, exchange=exchange), 5)
        models = found.take(found.kind == Kind.MODEL)
        np.testing.assert_array_equal(models.receiver, (models.sender + 1) % 3)
    found = read(schedule(graph, clock=clock, exchange="pull"), 5)
    models = found.take(found.kind == Kind.MODEL)
    np.testing.assert_array_equal(models.receiver, (models.sender + 1) % 3)
    with pytest.raises(InputError, match="cycle is directed: not every node can answer whom it hears"):
        schedule(graph, clock=clock, exchange="push_pull")


@settings(max_examples=25, deadline=None)
@given(
    exchange=st.sampled_from(sorted(EXCHANGES)),
    drop=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 5),
    n=st.integers(1, 9),
)
def test_small_networks_of_any_kind(exchange: Any, drop: float, seed: int, n: int) -> None:
    network = schedule(t.complete(n), clock=CLOCKS["poisson"](n), exchange=exchange, drop=drop, seed=seed)
    found = read(network, 6)
    travels = found.sender != found.receiver
    assert n > 1 or not travels.any()
    if drop in (0.0, 1.0):
        assert (found.fate[travels] == (Fate.DROPPED if drop else Fate.DELIVERED)).all()
    assert (found.kind == Kind.SPLIT).sum() == (
        (travels & (found.fate == Fate.DELIVERED)).sum() if exchange == "split_push" else 0
    )


def test_cycles_differ_and_seeds_differ() -> None:
    def receivers(seed: int) -> Iterator[np.ndarray]:
        return (one.receiver for one in islice(schedule(GRAPH, clock=fixed(), seed=seed).cycles(), 2))

    first, second = receivers(0)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, next(receivers(1)))


ACCOUNT = TOKEN_ACCOUNTS["simple"]()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"exchange": "pushpull"}, r"schedule: exchange cannot be 'pushpull' \(did you mean 'push_pull'\?"),
        ({"receive": "later"}, r"schedule: receive cannot be 'later' \("),
        ({"useful": "old"}, r"schedule: useful cannot be 'old' \("),
        ({"drop": 1.5}, "network: drop must be from 0 to 1, not 1.5"),
        ({"split": 2, "split_at_s": 3.0, "heal_at_s": 3.0}, "split at 3.0 s and whole again at 3.0 s: never split"),
        (
            {"tokens": ACCOUNT, "exchange": "pull"},
            "token accounts react to models that are pushed, not those of exchange",
        ),
        (
            {"tokens": ACCOUNT, "receive": "cached"},
            "token accounts react as models arrive, receive 'cached' does otherwise",
        ),
        ({"receive": "cached", "exchange": "pairwise"}, "receive 'cached' keeps models that are pushed, not those of"),
        ({"receive": "pass_through", "exchange": "pairwise"}, "exchange 'pairwise' passes no model through"),
        ({"parts": 2, "exchange": "split_push"}, "models do not travel in parts by exchange 'split_push'"),
        ({"parts": 0}, "schedule: parts must be a whole number of at least 1, not 0"),
        ({"compute_s": np.ones(3)}, "compute_s has to hold 60 finite numbers"),
        ({"clock": CLOCKS["synchronous"](3)}, "a clock of 3 nodes does not fit ring.* of 60 nodes"),
    ],
)
def test_what_does_not_go_together(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lossy(**parts)


def test_a_users_own_parts_go_in_at_the_same_doors() -> None:
    def far(sender: np.ndarray, receiver: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.abs(sender - receiver) / 10

    network = schedule(GRAPH, clock=fixed(), delay=Delay(far), churn=Churn(lambda node, _: node % 7 > 0))
    found = read(network, 3)
    np.testing.assert_allclose(found.arrives_s - found.sent_s, np.abs(found.sender - found.receiver) / 10)
    np.testing.assert_array_equal(found.fate == Fate.OFFLINE, found.receiver % 7 == 0)
    assert (found.sender % 7 > 0).all()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"clock": Clock(N, 1.0, lambda *_: (np.array([3], np.int32), np.array([1.5])))},
            r"clock: node 3 ticks at 1.5 s in cycle 0 \(nodes are numbered 0 to 59, and this cycle is from 0 s to before 1 s",
        ),
        ({"churn": Churn(lambda *_: np.ones(3, bool))}, r"churn: \d+ questions got answers of shape \(3,\)"),
        (
            {"peers": Peers(lambda _: lambda _, node, *__: node.copy())},
            r"peers: node \d+ calls node \d+ \(call another of the nodes 0 to 59, or -1 for nobody\)",
        ),
        ({"delay": Delay(lambda sender, *_: -1.0 * (sender == 7))}, "a message of node 7 to node [68] takes -1.0 s"),
    ],
)
def test_a_users_own_part_that_is_wrong_is_named(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(schedule(GRAPH, **({"clock": fixed()} | parts)), 1)
