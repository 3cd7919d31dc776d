"""Liars of overlays: those of an adversary of the same draw, who take Newscast over but not Brahms."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from jaxgossip.core.errors import InputError
from jaxgossip.network.adversaries import chosen_liars
from jaxgossip.schedule import CHURNS, PEERS, Peers, clocks, schedule
from jaxgossip.schedule.peers.choice import members_of
from jaxgossip.schedule.peers.liars import Liars, drawn_liars
from jaxgossip.topology import complete

N = 400


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def liars_of(peers: Peers) -> Liars:
    assert peers.overlay is not None
    assert peers.overlay.liars is not None
    return peers.overlay.liars


def shares(peers: Peers, cycles: int, held: str = "views", n: int = N) -> list[float]:
    """Return the share of liars at first, and after each cycle."""
    drawn = schedule(complete(n), clock=clocks.fixed(n, rng()), peers=peers, seed=1)
    return [item[held] for item in itertools.islice(drawn.liar_shares(), cycles + 1)]


def test_they_are_those_of_an_adversary_of_the_same_share_and_generator() -> None:
    for share in (0.001, 0.07, 0.5):
        liars = drawn_liars("peers", 100, share, rng(3))
        assert liars is not None
        assert tuple(liars.nodes.tolist()) == chosen_liars(100, share, None, rng(3))
        assert sorted([*liars.nodes, *liars.honest]) == list(range(100))
        np.testing.assert_array_equal(np.flatnonzero(liars.lies), liars.nodes)
    assert drawn_liars("peers", 100, 0, 0) is None


def test_a_share_counts_known_entries_of_honest_nodes_alone() -> None:
    lies = np.array([False, True, False, True])
    liars = Liars(lies, np.array([1, 3], np.int32), np.array([0, 2], np.int32))
    members = np.array([[1, 2, -1], [3, 3, 3], [1, 3, 0], [0, 0, 0]], np.int32)
    assert liars.share(members) == 3 / 5
    assert liars.share(np.full((4, 3), -1, np.int32)) == 0


def test_liars_take_newscast_over_and_not_brahms() -> None:
    captured = shares(PEERS["newscast"](N, rng(), view=20, liars=0.1), 15)
    assert captured[0] == pytest.approx(0.1, abs=0.02)
    assert captured[-1] == 1.0
    bounded = shares(PEERS["brahms"](N, rng(), view=20, samples=10, liars=0.1), 30)
    assert bounded[0] == pytest.approx(0.1, abs=0.02)
    assert 0.3 < max(bounded) < 0.6


def test_fewer_liars_than_places_hold_no_more_than_their_number() -> None:
    found = shares(PEERS["newscast"](N, rng(), view=20, liars=0.01), 25)
    assert max(found) <= 4 / 20
    assert found[-1] > 3 / 20
    alone = shares(PEERS["newscast"](N, rng(), view=20, liars=0.001), 10)
    assert 0 < max(alone) <= 1 / 20


@pytest.mark.parametrize("kind", ["newscast", "brahms"])
def test_liars_call_honest_nodes_alone_each_alike_and_runs_replay(kind: str) -> None:
    peers = PEERS[kind](N, rng(), view=8, liars=0.2)
    liars = liars_of(peers)
    node = np.arange(N, dtype=np.int32)
    one, other = peers.begin("push"), peers.begin("pull")
    counts = np.zeros(N)
    for cycle in range(4):
        called = one(cycle, node, rng(cycle), None)
        np.testing.assert_array_equal(called, other(cycle, node, rng(cycle), None))
        assert ((called >= 0) & (called != node)).all()
        again = np.repeat(liars.nodes, 100)
        victims = one(cycle, again, rng(cycle + 9), None)
        assert not liars.lies[victims].any()
        counts += np.bincount(victims, minlength=N)
    expected = counts.sum() / liars.honest.size
    assert abs(counts[liars.honest] - expected).max() < 6 * np.sqrt(expected)


@pytest.mark.parametrize("kind", ["newscast", "brahms"])
def test_a_schedule_tells_of_the_overlay_in_which_its_messages_go(kind: str) -> None:
    overlay = PEERS[kind](N, rng(), view=8, liars=0.2).overlay
    assert overlay is not None
    seen: list[np.ndarray] = []

    def step(state, cycle, online, rng):
        after = overlay.step(state, cycle, online, rng)
        seen.append(overlay.held(after)["views"])
        return after

    watched = members_of(replace(overlay, step=step), N)
    churn = CHURNS["coin"](N, rng(), online=0.8, session_s=1.0)
    drawn = schedule(complete(N), clock=clocks.fixed(N, rng()), churn=churn, peers=watched, seed=1)
    sent = [(messages.sender, messages.receiver) for messages in itertools.islice(drawn.cycles(), 4)]
    in_run, told = seen[:], list(itertools.islice(drawn.liar_shares(), 5))
    assert len(in_run) == 4
    np.testing.assert_array_equal(in_run, seen[4:])
    liars = liars_of(watched)
    assert [one["views"] for one in told[1:]] == [liars.share(views) for views in in_run]
    for views, (sender, receiver) in zip(in_run, sent, strict=True):
        honest = ~liars.lies[sender]
        assert (views[sender[honest]] == receiver[honest, None]).any(axis=1).all()


def test_there_is_nothing_to_tell_without_liars() -> None:
    for peers in (None, PEERS["newscast"](N, rng()), PEERS["brahms"](N, rng())):
        drawn = schedule(complete(N), clock=clocks.fixed(N, rng()), peers=peers)
        assert list(drawn.liar_shares()) == []
    overlay = PEERS["newscast"](N, rng()).overlay
    assert overlay is not None
    with pytest.raises(InputError, match="overlay: no node lies"):
        next(overlay.liar_shares(rng, lambda _: None))


@pytest.mark.parametrize("kind", ["newscast", "brahms"])
def test_shares_out_of_range_are_refused(kind: str) -> None:
    with pytest.raises(InputError, match=rf"^{kind} peers: liars must be from 0 to 1, not 1.5"):
        PEERS[kind](50, 0, liars=1.5)
    with pytest.raises(InputError, match=rf"^{kind} peers: liars = 1 leaves none of 50 nodes honest") as caught:
        PEERS[kind](50, 0, liars=1.0)
    assert caught.value.hint == "a smaller share"
