"""Contacts: unions, windows, whom nodes meet, and what gets through before they part."""

import itertools

import numpy as np
import pytest

from jaxgossip import topology
from jaxgossip.core.errors import InputError
from jaxgossip.schedule import Contacts, Fate, Kind, Messages, clocks, contacts, delays, peers, schedule, tokens
from jaxgossip.schedule.contacts.timeline import Timeline
from jaxgossip.schedule.schedule import Schedule

N = 5


def drawn(seed: int, m: int = 60) -> tuple[np.ndarray, ...]:
    """Return columns of contacts, many of which overlap or touch; times are dyadic, so that sums are exact."""
    rng = np.random.default_rng(seed)
    u = rng.integers(N, size=m)
    v = (u + rng.integers(1, N, size=m)) % N
    return rng.integers(400, size=m) / 16, u, v, rng.integers(40, size=m) / 16


def rows(found: Contacts) -> list[tuple]:
    return list(zip(*(column.tolist() for column in (found.t_s, found.u, found.v, found.duration_s)), strict=True))


def active(columns: tuple[np.ndarray, ...], time_s: float) -> set[tuple[int, int]]:
    """Return who is in contact at a time, by the plain definition."""
    t, u, v, lasts = columns
    now = (t <= time_s) & (time_s < t + lasts)
    return {(min(a, b), max(a, b)) for a, b in zip(u[now].tolist(), v[now].tolist(), strict=True)}


def test_contacts_are_the_unions_of_what_is_given() -> None:
    columns = drawn(0)
    found = Contacts.of(N, *columns)
    assert (found.u < found.v).all()
    assert rows(found) == sorted(rows(found))
    for time_s in np.arange(0, 28, 1 / 32):
        assert active((found.t_s, found.u, found.v, found.duration_s), time_s) == active(columns, time_s)
    for pair in itertools.combinations(range(N), 2):
        mine = (found.u == pair[0]) & (found.v == pair[1])
        assert (found.t_s[mine][1:] > found.end_s[mine][:-1]).all()  # none touches the next


def test_a_contact_may_be_split_in_two_and_written_either_way_round() -> None:
    t, u, v, lasts = drawn(1)
    expected = rows(Contacts.of(N, t, u, v, lasts))
    rng = np.random.default_rng(2)
    first = lasts * rng.integers(0, 17, lasts.size) / 16
    halves = (np.concatenate(both) for both in ((t, t + first), (u, v), (v, u), (first, lasts - first)))
    swapped = rng.permutation(2 * t.size)
    assert rows(Contacts.of(N, *(column[swapped] for column in halves))) == expected
    assert 0.7 + 0.1 < 0.8  # a gap that is but rounding
    assert len(Contacts.of(N, [0.7, 0.8], [0, 1], [1, 0], [0.1, 0.1])) == 1
    united = Contacts.together(
        [Contacts.of(N, t[::2], u[::2], v[::2], lasts[::2]), Contacts.of(N, t[1::2], u[1::2], v[1::2], lasts[1::2])]
    )
    assert rows(united) == expected


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (([0.0], [0], [5], [1.0]), "number 0: node 5 does not exist (nodes are numbered 0 to 4)"),
        (([0.0, 1.0], [0, 2], [1, 2], [1.0, 1.0]), "number 1: node 2 meets itself (a contact is between two nodes)"),
        (([-1.0], [0], [1], [1.0]), "number 0: it begins at -1 s (a run starts at time 0; times are finite)"),
        (([0.0], [0], [1], [-2.0]), "number 0: it lasts -2 s (a duration is a finite number of at least 0 seconds)"),
        (
            ([0.0], [0], [1, 2], [1.0]),
            "t_s, u, v and duration_s have shapes (1,), (1,), (2,), (1,) (one number each a contact)",
        ),
        (([0.0], [0.5], [1], [1.0]), "nodes are given as float64 and int64 (node numbers are integers)"),
    ],
)
def test_what_is_no_contact_is_named(columns: tuple, text: str) -> None:
    with pytest.raises(InputError) as caught:
        Contacts.of(N, *columns)
    assert str(caught.value) == f"contacts: {text}"


@pytest.mark.parametrize("length_s", [0.25, 3.0, 7.5, 100.0])
def test_windows_hold_what_falls_into_them_and_unite_to_all(length_s: float) -> None:
    trace = Contacts.of(N, *drawn(3))
    for source in (contacts.recorded(trace), stepping(trace)):
        windows = list(itertools.islice(source.windows(length_s), int(28 / length_s) + 2))
        for k, window in enumerate(windows):
            assert rows(window) == rows(trace.between(k * length_s, (k + 1) * length_s))
        assert rows(Contacts.together(windows)) == rows(trace)


def stepping(trace: Contacts) -> contacts.ContactSource:
    """Return the same contacts as those of nodes that move, looked at every 1/16 s."""

    def positions():
        return (np.full((N, 1), step / 16) for step in itertools.count())

    def near(place: np.ndarray) -> np.ndarray:
        now = (trace.t_s <= place[0, 0]) & (place[0, 0] < trace.end_s)
        return np.stack([trace.u[now], trace.v[now]], axis=1)[::-1]

    return contacts.moving(N, 1 / 16, positions, near)


def test_who_is_met_is_any_of_those_in_contact() -> None:
    columns = drawn(4, 200)
    timeline = Timeline(contacts.recorded(Contacts.of(N, *columns)), 2.0)
    rng = np.random.default_rng(0)
    prefers = np.zeros((N, N), bool)
    prefers[:, 2] = True
    for cycle in range(14):
        timeline.forget(2.0 * cycle)
        node, time_s = np.repeat(np.arange(N, dtype=np.int32), 40), 2.0 * cycle + 2 * rng.random(40 * N)
        time_s[::40] = 2.0 * cycle
        some, likely = timeline.choose(node, time_s, rng), timeline.choose(node, time_s, rng, prefers)
        for a, b, c, now in zip(node.tolist(), some.tolist(), likely.tolist(), time_s, strict=True):
            near = {x + y - a for x, y in active(columns, now) if a in (x, y)}
            assert b in (near or {-1})
            assert c in (({2} & near) or near or {-1})
    everybody = Contacts.of(4, np.zeros(6), *np.array([*itertools.combinations(range(4), 2)]).T, np.full(6, 9.0))
    timeline = Timeline(contacts.recorded(everybody), 1.0)
    called = timeline.choose(np.zeros(3000, np.int32), np.full(3000, 0.5), rng)
    assert (np.bincount(called, minlength=4)[1:] > 900).all()


def sent(network: Schedule, cycles: int) -> Messages:
    return Messages.together(list(itertools.islice(network.cycles(), cycles)))


def meeting(*columns: object, n: int = 2, **options: object) -> Schedule:
    source = contacts.recorded(Contacts.of(n, *columns))
    options = {"clock": clocks.synchronous(n), **options}
    return schedule(topology.complete(n), contacts=source, **options)


def test_a_message_arrives_if_its_contact_lasts() -> None:
    # Nodes tick at 0, 1, 2, …; a model takes 1.5 s, and the contact is [1, 3.5).
    found = sent(meeting([1.0], [0], [1], [2.5], transfer_s=1.5), 5)
    assert sorted(zip(found.sent_s, found.arrives_s, found.fate, strict=True)) == (
        [(1.0, 2.5, Fate.DELIVERED)] * 2 + [(2.0, 3.5, Fate.DELIVERED)] * 2 + [(3.0, 4.5, Fate.PARTED)] * 2
    )
    # Delays are part of it; what is parted is not said to be lost otherwise.
    late = sent(meeting([1.0], [0], [1], [2.5], transfer_s=1.0, delay=delays.constant(seconds=1.0), drop=1.0), 5)
    assert late.fate.tolist() == [Fate.DROPPED] * 2 + [Fate.PARTED] * 4
    # A request has no bytes: only the answer takes time, and only what was heard is answered.
    pulled = sent(meeting([1.0], [0], [1], [2.5], transfer_s=1.5, exchange="pull"), 5)
    requests, models = (pulled.take(pulled.kind == kind) for kind in (Kind.REQUEST, Kind.MODEL))
    assert (requests.arrives_s == requests.sent_s).all()
    assert (requests.fate == Fate.DELIVERED).all()
    assert (models.arrives_s - models.sent_s).tolist() == [1.5] * 6
    assert models.fate.tolist() == [Fate.DELIVERED] * 4 + [Fate.PARTED] * 2
    both = sent(meeting([1.0], [0], [1], [2.5], transfer_s=1.0, exchange="push_pull"), 5)
    assert sorted(zip(both.sent_s, both.fate, strict=True)) == (
        [(1.0, Fate.DELIVERED)] * 2 + [(2.0, Fate.DELIVERED)] * 4 + [(3.0, Fate.PARTED)] * 4
    )


def test_exchanges_at_once_take_a_transfer_and_what_is_computed_meanwhile() -> None:
    paired = sent(meeting([1.0], [0], [1], [2.5], transfer_s=1.5, exchange="pairwise"), 5)
    assert (paired.arrives_s - paired.sent_s == 1.5).all()
    assert [Fate(fate) for fate in paired.fate] == [Fate.DELIVERED] * 8 + [Fate.PARTED] * 4
    computed = sent(meeting([1.0], [0], [1], [2.5], exchange="compute_pairwise", compute_s=np.ones(2)), 5)
    models = computed.take(computed.kind == Kind.MODEL)
    assert (
        sorted(zip(models.sent_s, models.fate, strict=True))
        == [(2.0, 0)] * 4 + [(3.0, 0)] * 4 + [(4.0, Fate.PARTED)] * 4
    )


def test_of_models_in_parts_those_arrive_that_fit() -> None:
    # Five parts of 1/2 s each; of the contacts of 1.25 s two fit, the third is under way, and the rest is never sent.
    network = meeting([1.0, 4.0], [0, 0], [1, 1], [1.25, 5.0], transfer_s=0.5, parts=5)
    found = sent(network, 5)
    first = found.take((found.sender == 0) & (found.sent_s < 2.5))
    assert first.sent_s.tolist() == [1.0, 1.5, 2.0, 2.0]  # at 2 s it calls once more, as they are still in contact
    assert first.fate.tolist() == [Fate.DELIVERED, Fate.DELIVERED, Fate.PARTED, Fate.PARTED]
    assert not (
        (found.sent_s > 2.25) & (found.sent_s < 4)
    ).any()  # what was cut off is not taken up in the next contact
    whole = found.take((found.sender == 0) & (found.sent_s >= 4))
    assert sorted(whole.part.tolist()) == [0, 1, 2, 3, 4]
    assert whole.arrives_s.tolist() == [4.5, 5.0, 5.5, 6.0, 6.5]
    orders = {
        tuple(sent(meeting([0.0], [0], [1], [9.0], parts=3, seed=seed), 1).part[:3].tolist()) for seed in range(25)
    }
    assert orders == set(itertools.permutations(range(3)))
    # The answer to a model in parts answers its last one.
    answered = sent(meeting([0.0], [0], [1], [2.0], transfer_s=0.5, parts=2, exchange="push_pull"), 1)
    assert sorted(answered.sent_s.tolist()) == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.5, 1.5]
    assert (answered.fate == Fate.DELIVERED).all()


def test_a_trace_of_all_pairs_in_contact_is_the_complete_graph() -> None:
    n, cycles = 6, 200
    pairs = np.array([*itertools.combinations(range(n), 2)]).T
    options = {"clock": clocks.poisson(n), "seed": 3}
    met = sent(meeting(np.zeros(15), *pairs, np.full(15, 1e6), n=n, **options), cycles)
    free = sent(schedule(topology.complete(n), **options), cycles)
    assert (met.fate == Fate.DELIVERED).all()
    for column in ("sender", "sent_s", "arrives_s", "event", "kind"):
        np.testing.assert_array_equal(getattr(met, column), getattr(free, column))
    for found in (met, free):  # and anybody is called alike
        calls = np.bincount(found.sender * n + found.receiver, minlength=n * n).reshape(n, n)
        assert (np.diag(calls) == 0).all()
        assert np.abs(calls[~np.eye(n, dtype=bool)] - cycles / (n - 1)).max() < 4.5 * np.sqrt(cycles / (n - 1))


def test_a_schedule_of_contacts_restarts_alike_and_reads_no_more_than_it_needs() -> None:
    walks = contacts.random_waypoint(30, 0, side_m=60.0, range_m=10.0)
    network = schedule(topology.complete(30), clock=clocks.fixed(30, 1), contacts=walks, transfer_s=0.5)
    once, again = (sent(network, 20) for _ in range(2))
    for column in ("sender", "receiver", "sent_s", "arrives_s", "fate"):
        np.testing.assert_array_equal(getattr(once, column), getattr(again, column))
    assert {Fate.DELIVERED, Fate.PARTED} == set(map(Fate, once.fate.tolist()))
    # Windows of any length hold the same contacts, and so the same calls.
    timelines = [Timeline(walks, length_s) for length_s in (0.3, 5.0)]
    for time_s in np.arange(0.0, 20.0, 0.7):
        node, at = np.arange(30, dtype=np.int32), np.full(30, time_s)
        one, other = (timeline.choose(node, at, np.random.default_rng(5)) for timeline in timelines)
        np.testing.assert_array_equal(one, other)
        for timeline in timelines:
            timeline.forget(time_s)
    held = [len(timeline._held) for timeline in timelines]
    assert max(held) < len(walks.until(20.0))
    timelines[0]._reach(500.0)
    timelines[0].forget(499.0)
    timelines[0]._reach(501.0)
    assert len(timelines[0]._held) < 100 < len(walks.until(500.0))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tokens": tokens.simple()}, "token accounts know no contacts (receive 'at_once', without tokens)"),
        ({"receive": "cached"}, "receive 'cached' knows no contacts (receive 'at_once', without tokens)"),
        ({"receive": "pass_through"}, "receive 'pass_through' knows no contacts (receive 'at_once', without tokens)"),
        ({"peers": peers.matching(2)}, "nodes that meet call whom they are in contact with (leave out the peers)"),
        ({"transfer_s": -1.0}, "schedule: transfer_s must be at least 0, not -1.0"),
    ],
)  # fmt: skip
def test_what_knows_no_contacts_is_refused(options: dict, text: str) -> None:
    with pytest.raises(InputError) as caught:
        meeting([1.0], [0], [1], [1.0], **options)
    assert str(caught.value) == text


def test_a_transfer_needs_contacts_and_contacts_the_same_nodes() -> None:
    with pytest.raises(
        InputError, match="transfer_s is the time of a transfer in a contact, and there are no contacts"
    ):
        schedule(topology.complete(2), clock=clocks.synchronous(2), transfer_s=1.0)
    with pytest.raises(InputError, match="a source of contacts of 3 nodes does not fit complete of 2 nodes"):
        schedule(topology.complete(2), clock=clocks.synchronous(2), contacts=contacts.recorded(Contacts.none(3)))
