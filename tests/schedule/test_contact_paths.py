"""Time-respecting paths: by the plain definition, and as a bound on what any gossip run has merged."""

import itertools

import numpy as np
import pytest

from jaxgossip import topology
from jaxgossip.schedule import Contacts, Fate, clocks, contacts, delays, schedule
from jaxgossip.schedule.contacts.measures import ContactMeasures, tail

N = 7


def trace(seed: int) -> Contacts:
    rng = np.random.default_rng(seed)
    u = rng.integers(N, size=12)
    return Contacts.of(
        N, rng.integers(30, size=12) / 2, u, (u + rng.integers(1, N, size=12)) % N, rng.integers(9, size=12) / 2
    )


def earliest(found: Contacts) -> np.ndarray:
    """Return (n, n) when the news of the column can first be at the row: contacts carry it until nothing changes."""
    arrives = np.where(np.eye(N, dtype=bool), 0.0, np.inf)
    while True:
        before = arrives.copy()
        for t, u, v, lasts in zip(found.t_s, found.u, found.v, found.duration_s, strict=True):
            for a, b in ((u, v), (v, u)):
                when = np.maximum(arrives[b], t)
                arrives[a] = np.where(when < t + lasts, np.minimum(arrives[a], when), arrives[a])
        if (arrives == before).all():
            return arrives


@pytest.mark.parametrize("seed", range(6))
def test_news_is_where_contacts_can_have_carried_it(seed: int) -> None:
    found = trace(seed)
    reach = contacts.reachability(found)
    np.testing.assert_array_equal(reach.arrives_s, earliest(found))
    assert reach.share == (np.isfinite(reach.arrives_s).sum() - N) / (N * (N - 1))
    assert reach.delays_s.tolist() == sorted(
        reach.arrives_s[np.isfinite(reach.arrives_s) & ~np.eye(N, dtype=bool)].tolist()
    )
    some = contacts.reachability(found, np.array([4, 1]))
    np.testing.assert_array_equal(some.arrives_s, reach.arrives_s[:, [4, 1]])


def test_order_of_time_decides() -> None:
    first = contacts.reachability(Contacts.of(3, [0.0, 2.0], [0, 1], [1, 2], [1.0, 1.0])).arrives_s
    assert first.tolist() == [[0, 0, np.inf], [0, 0, 2], [2, 2, 0]]  # 0 reaches 2 by 1, and 2 never reaches 0
    assert contacts.reachability(Contacts.of(1, [], [], [], [])).share == 1.0
    # A contact that begins as another ends is too late for it.
    late = contacts.reachability(Contacts.of(3, [0.0, 1.0], [0, 1], [1, 2], [1.0, 1.0])).arrives_s
    assert late[0, 2] == np.inf


@pytest.mark.parametrize("exchange", ["push", "pull", "push_pull", "pairwise", "split_push"])
def test_no_run_merges_what_no_path_has_carried(exchange: str) -> None:
    n = 40
    walks = contacts.random_waypoint(n, 3, side_m=200.0, range_m=15.0, speed_m_s=2.0)
    options = {"transfer_s": 0.25, "delay": delays.uniform(high_s=0.5), "drop": 0.1, "exchange": exchange}
    network = schedule(topology.complete(n), clock=clocks.poisson(n), contacts=walks, **options)
    cycles = 40
    reach = contacts.reachability(walks.until(cycles + 10.0)).arrives_s
    messages = list(itertools.islice(network.cycles(), cycles))
    events = []
    for found in messages:
        carried = np.flatnonzero((found.fate == Fate.DELIVERED) & (found.kind == 0))
        for k in carried.tolist():
            events.append((found.sent_s[k], 0, k, found))
            events.append((found.arrives_s[k], 1, k, found))
    knows, held, merged = np.eye(n, dtype=bool), {}, 0
    for now_s, arrives, k, found in sorted(events, key=lambda event: event[:2]):
        if not arrives:
            held[id(found), k] = knows[found.sender[k]].copy()
            continue
        receiver = found.receiver[k]
        knows[receiver] |= held.pop((id(found), k))
        merged += 1
        assert (reach[receiver][knows[receiver]] <= now_s).all()
    assert merged > 100
    assert np.isfinite(reach).mean() >= knows.mean() > 0.3


def test_measures_are_those_of_the_contacts() -> None:
    found = Contacts.of(3, [0.0, 1.0, 4.0, 9.0], [0, 1, 0, 0], [1, 2, 1, 1], [2.0, 1.0, 3.0, 1.0])
    measures = ContactMeasures(found, 10.0)
    assert measures.durations_s.tolist() == [1.0, 1.0, 2.0, 3.0]
    assert measures.gaps_s.tolist() == [2.0, 2.0]  # of 0 and 1: from 2 to 4 s, and from 7 to 9 s
    assert measures.in_contact == 2 * 7 / (3 * 10)
    assert measures.meetings_a_pair_s == 3 / (10 * 3)
    record = measures.record()
    assert record["contact_s"] == {
        "count": 4, "mean": 1.75, "median": 1.5, "quantiles": {"0.5": 1.5, "0.9": pytest.approx(2.7), "0.99": pytest.approx(2.97)},
        "ccdf": {"at_least": [1.0, 2.0, 3.0], "share": [1.0, 0.5, 0.25]},
    }  # fmt: skip
    assert record["reachable"]["share"] == 1.0
    assert record["reachable"]["delay_s"]["mean"] == 4 / 6  # at 1 s all three are in contact
    x, share = tail(np.sort(np.random.default_rng(0).exponential(size=5000)))
    assert 40 <= x.size <= 80
    np.testing.assert_allclose(share, np.exp(-x), atol=0.03)
    empty = ContactMeasures(Contacts.none(2), 5.0).record()
    assert (empty["contact_s"]["mean"], empty["reachable"]["share"], empty["meetings_a_pair_s"]) == (None, 0.0, 0.0)
