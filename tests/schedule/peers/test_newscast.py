"""Newscast: full fresh views without oneself, near-random in-degrees, and news of who left."""

import numpy as np
import pytest

from jaxgossip.schedule import PEERS
from jaxgossip.schedule.peers.liars import Liars, drawn_liars
from jaxgossip.schedule.peers.newscast import Views, draw, random_views, step

N, VIEW = 400, 20


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def after(cycles: int, n: int = N, size: int = VIEW, online: np.ndarray | None = None) -> Views:
    views = random_views(n, size, rng())
    for cycle in range(cycles):
        views = step(views, cycle, online, rng(cycle + 1))
    return views


@pytest.mark.parametrize("cycles", [0, 1, 15])
@pytest.mark.parametrize(("n", "size"), [(N, VIEW), (5, 4), (21, 20), (2, 1)])
def test_views_are_full_of_distinct_others(cycles: int, n: int, size: int) -> None:
    member = after(cycles, n, size).member
    assert member.shape == (n, size)
    assert ((member >= 0) & (member < n)).all()
    assert (member != np.arange(n)[:, None]).all()
    assert (np.diff(np.sort(member, axis=1), axis=1) > 0).all()


def test_first_views_are_uniform() -> None:
    member = np.concatenate([random_views(30, 5, rng(seed)).member for seed in range(200)])
    counts = np.bincount(member.ravel(), minlength=30)
    assert abs(counts.std() / np.sqrt(counts.mean()) - 1) < 0.35


def test_descriptors_are_fresh() -> None:
    cycles = 30
    age = cycles - after(cycles).made / N
    assert 0 < age.min() < 0.1
    # Each node is news twice a cycle in two views, so the views of c places turn over within a few cycles.
    assert age.max() < 12
    assert age.mean() < 5


def test_in_degrees_stay_near_the_mean() -> None:
    counts = np.mean([np.bincount(after(cycles).member.ravel(), minlength=N) for cycles in (20, 24, 28, 32)], axis=0)
    assert counts.mean() == VIEW
    # At an instant in-degrees of Newscast vary more than of a random graph; over time everybody's is alike.
    assert counts.max() < 5 * VIEW
    assert counts.min() > 0


def test_those_who_left_are_forgotten_and_keep_what_they_knew() -> None:
    views = after(10)
    online = np.arange(N) >= 100
    for cycle in range(10, 40):
        views = step(views, cycle, online, rng(cycle + 1))
    assert (views.member[100:] >= 100).all()
    np.testing.assert_array_equal(views.member[:100], after(10).member[:100])


def test_one_exchange_keeps_the_freshest_of_both() -> None:
    member = np.array([[1, 2], [0, 3], [3, 0], [0, 1]], np.int32)
    made = np.array([[-1, -4], [-5, -2], [-9, -9], [-9, -9]], np.int64)
    online = np.array([True, True, False, False])
    found = next(
        views
        for seed in range(50)
        for views in [step(Views(member, made), 0, online, rng(seed))]
        if not np.array_equal(views.made[0], made[0])
    )
    # Of 0's {1: −1, 2: −4}, 1's {0: −5, 3: −2} and the fresh 0 and 1: each has the other, fresh, and 3 of age −2.
    assert set(found.member[0]) == {1, 3}
    assert set(found.member[1]) == {0, 3}
    assert found.made[0][found.member[0] == 3] == -2
    assert found.made[0][found.member[0] == 1] >= 0


def one_at_a_time(
    views: Views, cycle: int, online: np.ndarray, rng: np.random.Generator, liars: Liars | None, sent: Views
) -> list[dict[int, int]]:
    """Return each node's {member: made} by the plain protocol, with the draws of ``step``; liars send their rows of ``sent``."""
    n, size = views.member.shape
    known = [dict(zip(*map(np.ndarray.tolist, row), strict=True)) for row in zip(views.member, views.made, strict=True)]
    caller = rng.permutation(np.arange(n, dtype=np.int32))
    peer = draw(views, caller, rng)
    lying = [] if liars is None else liars.nodes.tolist()
    if liars is not None:
        peer[liars.lies[caller]] = liars.victims(len(lying), rng)
    pairs = [(i, j) for i, j in zip(caller, peer, strict=True) if online[i] and online[j]]
    for turn, (i, j) in enumerate((int(i), int(j)) for i, j in pairs):
        now = cycle * n + turn
        shown = [dict.fromkeys(sent.member[one].tolist(), now) if one in lying else known[one] for one in (i, j)]
        union = [*shown[0].items(), *shown[1].items(), (i, now), (j, now)]
        freshest = {node: max(made for one, made in union if one == node) for node, _ in union}
        for mine in (i, j):
            # Of equal age, the lower number: only descriptors of first views can have that.
            kept = sorted((-made, node) for node, made in freshest.items() if node != mine)[:size]
            known[mine] = {node: -negative for negative, node in kept}
    return known


@pytest.mark.parametrize("share", [0, 0.15])
def test_exchanges_done_together_are_those_done_one_at_a_time(share: float) -> None:
    online, liars = rng(7).random(60) < 0.8, drawn_liars("newscast", 60, share, 1)
    honest = range(60) if liars is None else liars.honest.tolist()
    views = random_views(60, 6, rng())
    for cycle in range(6):
        before, views = views, step(views, cycle, online, rng(cycle), liars)
        expected = one_at_a_time(before, cycle, online, rng(cycle), liars, views)
        for node in honest:
            assert dict(zip(views.member[node].tolist(), views.made[node].tolist(), strict=True)) == expected[node]


def test_a_choice_replays_and_takes_members_of_views() -> None:
    peers = PEERS["newscast"](N, rng(), view=VIEW)
    node = np.arange(N, dtype=np.int32)
    one, other = peers.begin("push"), peers.begin("push")
    for cycle in range(3):
        called = one(cycle, node, rng(cycle), None)
        np.testing.assert_array_equal(called, other(cycle, node, rng(cycle), None))
        assert ((called >= 0) & (called != node)).all()
    assert (PEERS["newscast"](1, rng()).begin("push")(0, np.zeros(1, np.int32), rng(), None) == -1).all()
