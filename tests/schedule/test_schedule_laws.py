"""Who acts when, whom it calls, how long that travels and who is there: exact laws on up to four nodes."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from jaxgossip import topology
from jaxgossip.schedule import TOKEN_ACCOUNTS, TokenAccount, churn, clocks, delays, peers, schedule
from jaxgossip.schedule.faults import Faults
from jaxgossip.schedule.messages import Fate
from jaxgossip.schedule.peers.newscast import draw, random_views
from jaxgossip.topology.graph import from_links
from tests.laws import DRAWS, assert_distributed, assert_follows, assert_uniform, law_of, rows


def chosen(kind: peers.Peers, n: int, way: str = "push") -> list[tuple]:
    """Return whom all nodes call, in so many cycles, one outcome a cycle."""
    choose, rng, node = kind.begin(way), np.random.default_rng(0), np.arange(n, dtype=np.int32)
    return [tuple(choose(cycle, node, rng, None).tolist()) for cycle in range(DRAWS)]


@pytest.mark.parametrize(
    "graph",
    [topology.complete(4), *(pytest.param(g, marks=pytest.mark.slow) for g in (topology.ring(4), topology.star(4), topology.path(3)))],
    ids=lambda graph: graph.name,
)  # fmt: skip
def test_any_neighbour_is_called_alike(graph: topology.Graph) -> None:
    near = [graph.indices[graph.indptr[node] : graph.indptr[node + 1]].tolist() for node in range(graph.n_nodes)]
    assert_uniform(chosen(peers.uniform(graph), graph.n_nodes), itertools.product(*near))


@pytest.mark.slow
@pytest.mark.parametrize("graph", [topology.path(3), topology.ring(4)], ids=lambda graph: graph.name)
def test_weighted_calls_have_the_weights_probabilities(graph: topology.Graph) -> None:
    W = topology.metropolis_hastings(graph).to_scipy().toarray()
    n = graph.n_nodes
    law = {}
    for way in itertools.product(range(n), repeat=n):
        called = tuple(-1 if peer == node else peer for node, peer in enumerate(way))
        law[called] = math.prod(W[node, peer] for node, peer in enumerate(way))
    assert_follows(chosen(peers.weighted(graph), n), law)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 4])
def test_matchings_are_uniform_and_in_an_exchange_either_may_call(n: int) -> None:
    every = [
        partner
        for partner in itertools.permutations(range(n))
        if all(partner[partner[i]] == i for i in range(n)) and sum(partner[i] == i for i in range(n)) == n % 2
    ]
    silent = [tuple(-1 if peer == node else peer for node, peer in enumerate(one)) for one in every]
    assert_uniform(chosen(peers.matching(n), n), silent)
    ways = []
    for one in every:
        pairs = [(node, peer) for node, peer in enumerate(one) if node < peer]
        for callers in itertools.product((0, 1), repeat=len(pairs)):
            calls = [-1] * n
            for pair, caller in zip(pairs, callers, strict=True):
                calls[pair[caller]] = pair[1 - caller]
            ways.append(tuple(calls))
    assert_uniform(chosen(peers.matching(n), n, "both"), ways)


@pytest.mark.slow
def test_first_views_are_any_others_alike_and_any_member_is_called() -> None:
    n, views = 4, [random_views(4, 2, np.random.default_rng(seed)) for seed in range(DRAWS)]
    each = [list(itertools.combinations([other for other in range(n) if other != node], 2)) for node in range(n)]
    assert_uniform(
        [tuple(tuple(sorted(row)) for row in view.member.tolist()) for view in views], itertools.product(*each)
    )
    rng = np.random.default_rng(1)
    called = [tuple(draw(view, np.arange(4), rng).tolist()) for view in views]
    assert_uniform(called, itertools.product(*([other for other in range(n) if other != node] for node in range(n))))


def test_delays_are_drawn_from_the_laws_that_are_named() -> None:
    node, rng = np.zeros(DRAWS, np.int32), np.random.default_rng(0)
    assert (delays.constant(seconds=0.3).draw(node, node, rng) == 0.3).all()
    assert_distributed(delays.uniform(low_s=1.0, high_s=3.0).draw(node, node, rng), stats.uniform(1.0, 2.0).cdf)
    assert_distributed(
        delays.lognormal(median_s=2.0, sigma=0.7).draw(node, node, rng), stats.lognorm(0.7, scale=2.0).cdf
    )


@pytest.mark.slow
def test_clocks_tick_by_the_laws_that_are_named() -> None:
    n, rng = DRAWS, np.random.default_rng(0)
    node, time_s = clocks.fixed(n, rng, period_s=2.0).ticks(3, rng)
    assert (node == np.arange(n)).all()
    assert_distributed(time_s, stats.uniform(6.0, 2.0).cdf)
    each = [tuple(clocks.synchronous(3).ticks(cycle, rng)[0].tolist()) for cycle in range(DRAWS)]
    assert_uniform(each, itertools.permutations(range(3)))

    spread, sigma = 0.4, 0.5
    short = 3.5  # two periods and a phase below that end within eight cycles
    truncated = stats.truncnorm((clocks.SHORTEST - 1) / spread, np.inf, 1.0, spread)
    fast = stats.lognorm(sigma, scale=math.exp(-(sigma**2) / 2))
    for clock, law in ((clocks.normal(n, rng, spread=spread), truncated), (clocks.by_speed(n, rng, sigma=sigma), fast)):
        ticks = [clock.ticks(cycle, rng) for cycle in range(8)]
        node, time_s = (np.concatenate(part) for part in zip(*ticks, strict=True))
        order = np.lexsort((time_s, node))
        node, time_s = node[order], time_s[order]
        first = np.flatnonzero(np.diff(node, prepend=-1))
        period = np.full(n, np.nan)
        twice = first[np.append(first[1:], node.size) - first > 1]
        period[node[twice]] = time_s[twice + 1] - time_s[twice]
        assert_distributed(period[period < short], lambda x, law=law: law.cdf(x) / law.cdf(short))
        phase = np.full(n, np.nan)
        phase[node[first]] = time_s[first]
        known = period < short
        assert_distributed(phase[known] / period[known], stats.uniform.cdf)


@pytest.mark.slow
def test_poisson_clocks_tick_by_independent_poisson_processes() -> None:
    rng, most = np.random.default_rng(0), 5
    ticks = [clocks.poisson(2).ticks(0, rng) for _ in range(DRAWS)]
    counts = np.minimum([np.bincount(node, minlength=2) for node, _ in ticks], most)
    one = [*stats.poisson(1).pmf(range(most)), stats.poisson(1).sf(most - 1)]
    assert_follows(rows(counts), {(a, b): one[a] * one[b] for a, b in itertools.product(range(most + 1), repeat=2)})
    assert_distributed(np.concatenate([time_s for _, time_s in ticks]), stats.uniform.cdf)


def asked(make, times_s: list[float]) -> list[tuple]:
    """Return who of so many nodes is there at each time: nodes are draws."""
    there = make(DRAWS, np.random.default_rng(0))
    node = np.arange(DRAWS)
    return rows(np.stack([there.online(node, np.full(DRAWS, time_s)) for time_s in times_s], axis=1))


def chain(times_s: list[float], on: float, stays) -> dict[tuple, float]:
    """Return the law of a stationary process of two states, of which ``stays(t)`` is the autocorrelation."""
    law = {}
    for way in itertools.product([False, True], repeat=len(times_s)):
        chance = on if way[0] else 1 - on
        for (a, b), (s, t) in zip(itertools.pairwise(way), itertools.pairwise(times_s), strict=True):
            share = on if b else 1 - on
            chance *= share + (float(a == b) - share) * stays(t - s)
        law[way] = chance
    return law


@pytest.mark.slow
def test_who_is_there_by_coins_by_exponential_sessions_and_by_lognormal_ones() -> None:
    def coin(n: int, rng: np.random.Generator) -> churn.Churn:
        return churn.coin(n, rng, online=0.3, session_s=2.0)

    # One time: a coin. Two times half a session apart: the same session as often as not.
    assert_follows(asked(coin, [5.0, 6.0]), chain([5.0, 6.0], 0.3, lambda t: 1 - t / 2))
    assert_follows(asked(coin, [0.0, 2.0, 4.0]), chain([0.0, 2.0, 4.0], 0.3, lambda t: 0.0))  # noqa: ARG005

    def exponential(n: int, rng: np.random.Generator) -> churn.Churn:
        return churn.exponential(n, rng, 10.0, mean_online_s=1.0, mean_offline_s=3.0)

    times_s = [0.0, 0.5, 2.0]
    assert_follows(asked(exponential, times_s), chain(times_s, 0.25, lambda t: math.exp(-t * (1 + 1 / 3))))

    def lognormal(n: int, rng: np.random.Generator) -> churn.Churn:
        return churn.lognormal(n, rng, 50.0, median_online_s=1.0, median_offline_s=2.0, sigma=1.5)

    for time_s in (0.0, 0.3, 3.0, 40.0):  # stationary from the start
        assert_follows(asked(lognormal, [time_s]), {(True,): 1 / 3, (False,): 2 / 3})

    def diurnal(n: int, rng: np.random.Generator) -> churn.Churn:
        return churn.diurnal(n, rng, online=0.5, swing=0.4, day_s=24.0, session_s=1e-6, zones=0.0)

    for hour in (0.0, 3.0, 6.0, 12.0):
        chance = 0.5 + 0.4 * math.cos(2 * math.pi * hour / 24)
        assert_follows(asked(diurnal, [hour]), {(True,): chance, (False,): 1 - chance})


def test_messages_are_dropped_one_by_one() -> None:
    zero, second = np.zeros(2 * DRAWS, np.int32), np.zeros(2 * DRAWS)
    fates = Faults(2, drop=0.3).fates(zero, zero + 1, second, second, np.random.default_rng(0)).reshape(DRAWS, 2)
    coin = {Fate.DELIVERED: 0.7, Fate.DROPPED: 0.3}
    law = law_of(((int(a), int(b)), coin[a] * coin[b]) for a, b in itertools.product(coin, repeat=2))
    assert_follows(rows(fates), law)


@pytest.mark.slow
def test_token_accounts_send_by_coins_and_round_what_is_no_whole_number_either_way() -> None:
    n, cycles = DRAWS, 4
    # Nothing arrives: accounts fill up, and send with the probability of what they hold, keeping their tokens.
    account = TOKEN_ACCOUNTS["randomised"](capacity=3, reaction=1)
    network = schedule(topology.complete(n), clock=clocks.synchronous(n), tokens=account, drop=1.0)
    sent = np.zeros((n, cycles), bool)
    for cycle, messages in enumerate(itertools.islice(network.cycles(), cycles)):
        sent[messages.sender, cycle] = True
    law = {}
    for way in itertools.product([False, True], repeat=cycles):
        chance, tokens = 1.0, 0
        for one in way:
            acts = tokens / 3
            chance *= acts if one else 1 - acts
            tokens += not one
        law[way] = chance
    assert_follows(rows(sent), law)

    # Pairs of nodes far from each other: one sends once, the other reacts with 1.3 messages on average.
    reacts = TokenAccount(lambda _: 0.0, lambda _, __: 1.3, begins=True, overdraws=True)
    ends = np.arange(2 * DRAWS)
    pairs = from_links(2 * DRAWS, ends[::2], ends[1::2], name="pairs")
    first = np.arange(0, 2 * DRAWS, 2, dtype=np.int32)

    def ticks(cycle: int, _: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return (first, np.zeros(DRAWS)) if cycle == 0 else (first[:0], np.zeros(0))

    clock = clocks.Clock(2 * DRAWS, 1.0, ticks)
    network = schedule(pairs, clock=clock, delay=delays.constant(seconds=0.4), tokens=reacts)
    messages = next(network.cycles())
    answers = np.bincount(messages.sender[messages.sent_s == 0.4], minlength=2 * DRAWS)[1::2]
    assert_follows(answers.tolist(), {1: 0.7, 2: 0.3})
