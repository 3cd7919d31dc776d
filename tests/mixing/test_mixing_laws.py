"""What mixing draws on up to four nodes: all outcomes, with their exact probabilities."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip import mixing, topology
from jaxgossip.mixing import Faults
from jaxgossip.mixing.bijection import random_bijection
from jaxgossip.topology import Graph
from tests.laws import assert_follows, assert_uniform, drawn, law_of, rows

NO_ROUND = jnp.int32(0)


def neighbours(graph: Graph) -> list[list[int]]:
    return [graph.indices[graph.indptr[node] : graph.indptr[node + 1]].tolist() for node in range(graph.n_nodes)]


@pytest.mark.parametrize("n", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3, 5))])
def test_all_permutations_of_few_numbers_are_equally_likely(n: int) -> None:
    def both(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        bijection, number = random_bijection(key, n), jnp.arange(n, dtype=jnp.uint32)
        return bijection(number), bijection.inverse(number)

    images, origins = drawn(both)
    assert (np.take_along_axis(origins, images.astype(int), 1) == np.arange(n)).all()
    assert_uniform(rows(images), itertools.permutations(range(n)))


@pytest.mark.slow
@pytest.mark.parametrize("n", [17, 24, 64])
def test_any_two_of_more_numbers_go_anywhere_and_each_is_paired_with_any_other(n: int) -> None:
    ends = jnp.array([0, 1, n - 1], jnp.uint32)

    def pair(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        bijection = random_bijection(key, n)
        place = bijection(ends)
        met = bijection.inverse(jnp.minimum(place ^ 1, n - 1))
        return place, jnp.where(place ^ 1 < n, met, ends)

    place, met = drawn(pair, 200_000)
    for one, other in ((0, 1), (1, 2)):
        assert_uniform(
            (place[:, one] * n + place[:, other]).tolist(), [a * n + b for a in range(n) for b in range(n) if a != b]
        )
    for number, column in zip(np.asarray(ends).tolist(), met.T, strict=True):
        others = [other for other in range(n) if other != number or n % 2]
        assert_uniform(column.tolist(), others)


@pytest.mark.parametrize("n", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3))])
def test_matchings_of_everybody_are_uniform(n: int) -> None:
    schedule = mixing.matching(topology.complete(n))
    every = [
        partner
        for partner in itertools.permutations(range(n))
        if all(partner[partner[i]] == i for i in range(n)) and sum(partner[i] == i for i in range(n)) == n % 2
    ]
    assert_uniform(rows(drawn(schedule.partners)), every)


def handshakes(graph: Graph, attempts: int) -> dict[tuple, float]:
    """Return the law of a matching by handshakes: coins, calls, and answers drawn among the callers of a listener."""
    near, n = neighbours(graph), graph.n_nodes
    law: dict[tuple, float] = {tuple(range(n)): 1.0}
    for _ in range(attempts):
        ways = []
        for partner, chance in law.items():
            free = [node for node in range(n) if partner[node] == node]
            for coins in itertools.product([False, True], repeat=len(free)):
                calls = [node for node, coin in zip(free, coins, strict=True) if coin]
                listens = set(free) - set(calls)
                for called in itertools.product(*(near[node] for node in calls)):
                    by = {}
                    for caller, callee in zip(calls, called, strict=True):
                        if callee in listens:
                            by.setdefault(callee, []).append(caller)
                    share = chance * 0.5 ** len(free) / math.prod(len(near[node]) for node in calls)
                    for answered in itertools.product(*by.values()):
                        now = list(partner)
                        for callee, caller in zip(by, answered, strict=True):
                            now[callee], now[caller] = caller, callee
                        ways.append((tuple(now), share / math.prod(map(len, by.values()))))
        law = law_of(ways)
    return law


@pytest.mark.slow
@pytest.mark.parametrize("graph", [topology.path(3), topology.star(4), topology.ring(4)], ids=lambda graph: graph.name)
def test_matchings_on_a_graph_are_handshakes(graph: Graph) -> None:
    schedule = mixing.matching(graph, attempts=2)
    assert_follows(rows(drawn(schedule.partners)), handshakes(graph, attempts=2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "graph", [topology.complete(3), topology.path(3), topology.star(4)], ids=lambda graph: graph.name
)
def test_one_pair_a_round_is_any_node_and_any_of_its_neighbours(graph: Graph) -> None:
    schedule, near, n = mixing.pairwise(graph), neighbours(graph), graph.n_nodes
    sources = drawn(lambda key: schedule.at(NO_ROUND, key).sources[0])
    ways = []
    for caller in range(n):
        for called in near[caller]:
            partner = list(range(n))
            partner[caller], partner[called] = called, caller
            ways.append((tuple(partner), 1 / (n * len(near[caller]))))
    assert_follows(rows(sources), law_of(ways))


@pytest.mark.slow
@pytest.mark.parametrize("graph", [topology.complete(4), topology.star(4)], ids=lambda graph: graph.name)
@pytest.mark.parametrize("fanout", [1, 2])
def test_each_node_draws_distinct_peers_of_its_own(graph: Graph, fanout: int) -> None:
    near = neighbours(graph)
    each = [[tuple(sorted(few)) for few in itertools.combinations(some, min(fanout, len(some)))] for some in near]
    law = dict.fromkeys(itertools.product(*each), 1 / math.prod(map(len, each)))
    pulled = drawn(lambda key: jnp.stack(mixing.pull(graph, fanout=fanout).at(NO_ROUND, key).sources, 1))
    pushed = drawn(lambda key: mixing.push(graph, fanout=fanout).at(NO_ROUND, key).targets, first=10**6)
    for peers in (pulled, pushed):
        assert_follows(
            [
                tuple(tuple(sorted(set(row) - {node})) for node, row in enumerate(one))
                for one in peers.reshape(-1, graph.n_nodes, fanout).tolist()
            ],
            law,
        )


@pytest.mark.slow
@pytest.mark.parametrize("degree", [1, 2])
def test_fresh_regular_graphs_are_random_offsets_between_random_seats(degree: int) -> None:
    n = 4
    schedule = mixing.fresh_regular(topology.complete(n), degree=degree)
    ways = []
    for seats in itertools.permutations(range(n)):
        for offsets in itertools.permutations(range(1, n), degree):
            at = {seat: node for node, seat in enumerate(seats)}
            ways.append((tuple(at[(seat + offset) % n] for offset in offsets for seat in seats), 1.0))
    law = law_of((way, 1 / len(ways)) for way, _ in ways)
    assert_follows(rows(drawn(lambda key: jnp.stack(schedule.at(NO_ROUND, key).sources))), law)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 4])
def test_one_offset_a_round_is_uniform_and_pairs_up_from_a_uniform_node_on(n: int) -> None:
    graph = topology.complete(n)
    heard = drawn(lambda key: mixing.od_equi_dyn(graph).at(NO_ROUND, key).sources[0])
    assert_uniform(rows(heard), [tuple((node + offset) % n for node in range(n)) for offset in range(1, n)])
    ways = []
    for offset, start in itertools.product(range(1, n), range(n)):
        nearer, partner = min(offset, n - offset), list(range(n))
        for place in range(n):
            node, other = (start + place) % n, (start + place + nearer) % n
            if partner[node] == node and partner[other] == other and place + nearer < n:
                partner[node], partner[other] = other, node
        ways.append((tuple(partner), 1 / (n * (n - 1))))
    assert_follows(rows(drawn(mixing.ou_equi_dyn(graph).partners)), law_of(ways))


@pytest.mark.slow
def test_each_message_is_lost_by_itself_and_each_link_both_ways() -> None:
    to, by = (jnp.array(ends) for ends in zip(*itertools.permutations(range(3), 2), strict=True))
    pairs = list(zip(np.asarray(to).tolist(), np.asarray(by).tolist(), strict=True))
    drop, link_drop = 0.3, 0.2
    lost = drawn(lambda key: Faults(key, drop).arrive(to, by))
    alone = {
        arrive: math.prod(1 - drop if one else drop for one in arrive)
        for arrive in itertools.product([False, True], repeat=6)
    }
    assert_follows(rows(lost), alone)
    assert_follows(rows(drawn(lambda key: Faults(key, drop).reversed().arrive(by, to))), alone)
    ways = []
    for up in itertools.product([False, True], repeat=3):
        chance = math.prod(1 - link_drop if one else link_drop for one in up)
        whole = dict(zip(itertools.combinations(range(3), 2), up, strict=True))
        ways += [
            (tuple(a and whole[min(pair), max(pair)] for a, pair in zip(arrive, pairs, strict=True)), chance * share)
            for arrive, share in alone.items()
        ]
    both = drawn(lambda key: Faults(key, drop, link_drop=link_drop).arrive(to, by))
    assert_follows(rows(both), law_of(ways))
