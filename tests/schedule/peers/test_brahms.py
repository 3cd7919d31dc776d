"""Brahms: views and samples of others, the rule of their renewal, and the share of liars by the formula."""

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxgossip.core.errors import InputError
from jaxgossip.schedule import PEERS
from jaxgossip.schedule.peers import Overlay, liar_share
from jaxgossip.schedule.peers.brahms import Protocol, State
from jaxgossip.schedule.peers.samplers import tell_one_by_one

N = 300


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def overlay(n: int = N, **keys) -> Overlay:
    found = PEERS["brahms"](n, rng(), **keys).overlay
    assert found is not None
    return found


def protocol(found: Overlay) -> Protocol:
    return found.step.__self__  # pyright: ignore[reportFunctionMemberAccess]


def after(found: Overlay, cycles: int, online: np.ndarray | None = None) -> State:
    state = found.first
    for cycle in range(cycles):
        state = found.step(state, cycle, online, rng(cycle + 1))
    return state


def shares(found: Overlay, cycles: int) -> list[dict[str, float]]:
    return list(itertools.islice(found.liar_shares(lambda cycle: rng(cycle + 1), lambda _: None), cycles + 1))


@pytest.mark.parametrize(("n", "view"), [(N, 20), (21, 20), (3, 2)])
@pytest.mark.parametrize("liars", [0, 0.2])
def test_views_and_samples_are_of_others(n: int, view: int, liars: float) -> None:
    found = overlay(n, view=view, samples=7, liars=liars)
    online = rng(5).random(n) < 0.7
    for state in (after(found, 0), after(found, 10), after(found, 10, online)):
        for held, size in ((state.view, view), (state.samplers.nodes, 7)):
            assert held.shape == (n, size)
            assert ((held >= 0) & (held < n)).all()
        honest = np.arange(n) if found.liars is None else found.liars.honest
        assert (state.view[honest] != honest[:, None]).all()
        assert (state.samplers.nodes != np.arange(n)[:, None]).all()


def test_samples_of_an_honest_network_become_uniform() -> None:
    found = overlay(150, samples=30)
    samples = after(found, 40).samplers.nodes
    counts = np.bincount(samples.ravel(), minlength=150)
    assert stats.chisquare(counts).pvalue > 1e-4
    # All have been heard of, so that nothing changes any more.
    np.testing.assert_array_equal(samples, after(found, 50).samplers.nodes)


@pytest.mark.parametrize("offline", [0, 0.5])
def test_views_take_from_pushes_pulls_and_samplers_what_the_rule_says(offline: float) -> None:
    found = overlay(view=10, alpha=0.5, beta=0.3, gamma=0.2)
    before, online = after(found, 4), rng(8).random(N) >= offline
    pushes = protocol(found)._pushes(before.view, online, online, rng(9))
    new = found.step(before, 4, online, rng(9))
    assert set(pushes.sender) <= set(np.flatnonzero(online))
    renewed = 0
    for node in range(N):
        senders = pushes.sender[pushes.receiver == node]
        assert pushes.received[node] == senders.size <= online[node] * N
        assert (before.view[senders] == node).any(axis=1).all()
        asked = before.view[node][online[before.view[node]]]
        if 0 < senders.size <= 5 and asked.size == 10:  # so that the node pulls something for sure
            renewed += 1
            assert set(new.view[node, :5]) <= set(senders.tolist())
            assert set(new.view[node, 8:]) <= set(before.samplers.nodes[node].tolist())
        elif not 0 < senders.size <= 5:
            np.testing.assert_array_equal(new.view[node], before.view[node])
        if (new.view[node] != before.view[node]).any():
            assert set(new.view[node, 5:8]) <= set(before.view[asked].ravel().tolist())
    assert renewed > 0.4 * N or offline
    # Samplers have been told of the pushes: what they are told again makes no difference.
    held = new.samplers.nodes
    tell_one_by_one(new.samplers, pushes.receiver, pushes.sender)
    assert (new.samplers.nodes == held).mean() > (0.9 if offline else 0.9999)  # but for samplers with new keys


def test_one_cycle_has_the_three_terms_of_the_formula() -> None:
    f, n, view = 0.2, 1500, 60
    found = overlay(n, view=view, samples=4, alpha=0.4, beta=0.3, gamma=0.3, liars=f)
    liars, before, new = found.liars, found.first, found.step(found.first, 0, None, rng(1))
    assert liars is not None
    x, honest = liars.share(before.view), ~liars.lies
    stream = rng(1)
    view_and_answers = protocol(found)._answers(before.view, stream)
    pushes = protocol(found)._pushes(view_and_answers, np.ones(n, bool), honest, stream)
    assert liars.lies[pushes.sender].mean() == pytest.approx(f / (f + (1 - f) * (1 - x)), abs=0.005)
    changed = np.flatnonzero((before.view != new.view).any(axis=1) & honest)
    eligible = (pushes.received > 0) & (pushes.received <= 24)
    np.testing.assert_array_equal(changed, np.flatnonzero(eligible))
    lies = liars.lies[new.view[changed]]
    # Those renew their views that received few honest pushes, so that theirs are liars' more often than others'.
    of_liars = np.bincount(pushes.receiver, liars.lies[pushes.sender], minlength=n)[changed]
    assert lies[:, :24].mean() == pytest.approx((of_liars / pushes.received[changed]).mean(), abs=0.02)
    assert lies[:, 24:42].mean() == pytest.approx(x + (1 - x) * x, abs=0.015)
    assert lies[:, 42:].mean() == pytest.approx(f, abs=0.015)


@pytest.mark.parametrize(("liars", "force"), [(0.1, 1.0), pytest.param(0.05, 1.5, marks=pytest.mark.slow)])
def test_the_share_of_liars_stays_near_the_fixed_point(liars: float, force: float) -> None:
    found = overlay(400, view=60, samples=1, alpha=0.5, beta=0.5, gamma=0.0, liars=liars, force=force)
    measured = np.mean([item["views"] for item in shares(found, 24)[16:]])
    assert measured == pytest.approx(liar_share(liars, force=force, alpha=0.5, beta=0.5, gamma=0.0), abs=0.06)


@pytest.mark.slow
def test_large_views_have_the_share_of_the_fixed_point_and_samples_that_of_liars() -> None:
    found = overlay(1000, view=200, samples=4, liars=0.1)
    held = shares(found, 40)
    views, samples = (np.mean([item[name] for item in held[30:]]) for name in ("views", "samples"))
    assert views == pytest.approx(liar_share(0.1), abs=0.015)
    assert samples == pytest.approx(0.1, abs=0.015)
    small = np.mean([item["views"] for item in shares(overlay(1000, liars=0.1), 60)[40:]])
    assert views < small < 0.5


def test_the_fixed_point_has_the_closed_form_of_pushes_and_pulls() -> None:
    for p in (0.01, 0.1, 0.2, 0.3):
        closed = (p + np.sqrt(4 * p - 3 * p**2)) / (2 * (1 - p))
        assert liar_share(p, alpha=0.5, beta=0.5, gamma=0.0) == pytest.approx(closed, abs=1e-8)
        # Twice the pushes of a share f are those of a share 2 f / (1 + f).
        assert liar_share(p / (2 - p), force=2, alpha=0.5, beta=0.5, gamma=0.0) == pytest.approx(closed, abs=1e-8)
    assert liar_share(0.4, alpha=0.5, beta=0.5, gamma=0.0) == pytest.approx(1, abs=1e-6)
    assert (liar_share(0.0), liar_share(1.0)) == (0, 1)
    x = liar_share(0.1)
    assert x == pytest.approx(0.45 * 0.1 / (0.1 + 0.9 * (1 - x)) + 0.45 * x * (2 - x) + 0.01, abs=1e-9)
    assert x == pytest.approx(0.304, abs=1e-3)


def test_samples_forget_lies_as_views_do_not() -> None:
    found = overlay(150, samples=20, liars=0.1)
    last = shares(found, 40)[-1]
    assert last["samples"] == pytest.approx(0.1, abs=0.025)
    assert last["views"] > 0.25


def test_those_whom_liars_flood_keep_their_views() -> None:
    found = overlay(liars=0.2, targets=0.1)
    assert found.liars is not None
    targets = protocol(found).targets
    assert targets.size == 24
    assert not found.liars.lies[targets].any()
    state = after(found, 5)
    # 540 pushes of liars a cycle are 22 or 23 for each, and nine are the limit.
    np.testing.assert_array_equal(state.view[targets], found.first.view[targets])
    others = np.setdiff1d(found.liars.honest, targets)
    assert (state.view[others] != found.first.view[others]).any(axis=1).mean() > 0.9
    # They go on listening: their samplers hear of everybody.
    assert (state.samplers.nodes[targets] != found.first.samplers.nodes[targets]).mean() > 0.5


def test_liars_deal_their_pushes_evenly() -> None:
    found = overlay(view=20, liars=0.1, force=0.5)
    assert found.liars is not None
    pushes = protocol(found)._pushes(found.first.view, np.ones(N, bool), ~found.liars.lies, rng())
    lying = found.liars.lies[pushes.sender]
    assert lying.sum() == 0.5 * 9 * 30
    per_node = np.bincount(pushes.receiver[lying], minlength=N)[found.liars.honest]
    assert per_node.max() - per_node.min() == 1


def test_offline_nodes_are_out_of_samples_and_keep_what_they_had() -> None:
    found, online = overlay(), np.arange(N) >= 90
    before, state = found.first, after(found, 15, np.arange(N) >= 90)
    assert (state.samplers.nodes[online] >= 90).all()
    np.testing.assert_array_equal(state.view[:90], before.view[:90])
    np.testing.assert_array_equal(state.samplers.nodes[:90], before.samplers.nodes[:90])
    assert (state.view[online] < 90).mean() < 0.15
    dead = after(found, 2, np.zeros(N, bool))
    np.testing.assert_array_equal(dead.view, before.view)


@pytest.mark.parametrize("call", ["view", "sample"])
def test_nodes_call_members_of_what_they_are_to_call(call: str) -> None:
    found = overlay(view=5, samples=6, call=call)
    state, node = after(found, 3), np.repeat(np.arange(N, dtype=np.int32), 150)
    called = found.call(state, node, rng())
    assert called.dtype == np.int32
    held = state.view if call == "view" else state.samplers.nodes
    for one in range(N):
        assert set(called[node == one]) == set(held[one])


ERRORS = {
    "a view of 300 is larger than the number of other nodes, 299": ({"view": 300}, "view = 299"),
    "alpha + beta + gamma = 1.1, not 1": ({"alpha": 0.55}, "alpha = 0.45, beta = 0.45, gamma = 0.1"),
    "a view of 1 has no entry from pushes": ({"view": 1}, "a larger view, or larger alpha and beta"),
    "a view of 4 has no entry from pulls": (
        {"view": 4, "alpha": 0.9, "beta": 0.1, "gamma": 0.0},
        "a larger view, or larger alpha and beta",
    ),
    "gamma must be at least 0, not -0.1": ({"alpha": 0.55, "beta": 0.55, "gamma": -0.1}, ""),
    "view must be a whole number of at least 1, not 0": ({"view": 0}, ""),
    "samples must be a whole number of at least 1, not 0": ({"samples": 0}, ""),
    "force is that of liars, and there are none": ({"force": 2.0}, "liars = 0.1"),
    "targets is that of liars, and there are none": ({"targets": 0.5}, "liars = 0.1"),
    "force must be at least 0, not -1.0": ({"force": -1.0, "liars": 0.1}, ""),
    "targets must be above 0 and at most 1, not 0.0": ({"targets": 0.0, "liars": 0.1}, ""),
}


@pytest.mark.parametrize("message", ERRORS)
def test_what_cannot_be_is_refused(message: str) -> None:
    keys, hint = ERRORS[message]
    with pytest.raises(InputError) as caught:
        PEERS["brahms"](N, rng(), **keys)
    assert (caught.value.message, caught.value.hint) == (f"brahms peers: {message}", hint)
