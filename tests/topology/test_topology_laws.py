"""Random graphs of up to four nodes: all outcomes, with their exact probabilities."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import integrate

from jaxgossip import topology
from tests.laws import DRAWS, assert_follows, assert_uniform, law_of, rows

PAIRS = {n: tuple(itertools.combinations(range(n), 2)) for n in (2, 3, 4)}


def seen(make) -> list:
    return [tuple(map(tuple, make(seed).edges().tolist())) for seed in range(DRAWS)]


def coins(chances: dict[tuple, float]) -> dict[tuple, float]:
    """Return the law of graphs of which each pair is an edge with a chance of its own."""
    law = {}
    for there in itertools.product([False, True], repeat=len(chances)):
        edges = tuple(pair for pair, one in zip(chances, there, strict=True) if one)
        law[edges] = math.prod(p if one else 1 - p for p, one in zip(chances.values(), there, strict=True))
    return law


@pytest.mark.slow
def test_two_nodes_are_linked_as_often_as_they_should_be_also_where_hardly_any_graph_has_an_edge() -> None:
    for p in (0.1, 1e-3):
        edges = [topology.erdos_renyi(2, p, rng=seed).n_edges for seed in range(4000)]
        assert abs(np.mean(edges) - p) < 5 * math.sqrt(p / 4000)
    # Two blocks of ten, joined by 100 pairs at one in a thousand: all but one in ten fall apart.
    joined = [topology.stochastic_block(20, 2, 1.0, 0.001, rng=seed).is_connected for seed in range(1000)]
    assert abs(np.mean(joined) - (1 - 0.999**100)) < 5 * math.sqrt(0.09 / 1000)


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "p"), [(2, 0.1), (4, 0.02), (4, 0.5)])
def test_every_pair_of_an_erdos_renyi_graph_is_a_coin(nodes: int, p: float) -> None:
    assert_follows(seen(lambda seed: topology.erdos_renyi(nodes, p, rng=seed)), coins(dict.fromkeys(PAIRS[nodes], p)))


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "p_in", "p_out"), [(4, 0.7, 0.05), (3, 0.05, 0.5)])
def test_every_pair_of_a_stochastic_block_graph_is_a_coin_of_its_blocks(nodes: int, p_in: float, p_out: float) -> None:
    block = {4: (0, 0, 1, 1), 3: (0, 0, 1)}[nodes]
    law = coins({(a, b): p_in if block[a] == block[b] else p_out for a, b in PAIRS[nodes]})
    assert_follows(seen(lambda seed: topology.stochastic_block(nodes, 2, p_in, p_out, rng=seed)), law)


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "degree"), [(4, 1), (4, 2), (5, 2)])
def test_regular_graphs_are_uniform(nodes: int, degree: int) -> None:
    pairs, links = tuple(itertools.combinations(range(nodes), 2)), nodes * degree // 2
    every = [
        edges
        for edges in itertools.combinations(pairs, links)
        if all(sum(node in edge for edge in edges) == degree for node in range(nodes))
    ]
    assert_uniform(seen(lambda seed: topology.random_regular(nodes, degree, rng=seed)), every)


def rewired(nodes: int, beta: float) -> Iterator[tuple[tuple, float]]:
    """Yield the small worlds of two nearest neighbours and one way to each, edge by edge around the ring."""

    def on(edges: tuple[tuple[int, int], ...], at: int, chance: float) -> Iterator[tuple[tuple, float]]:
        if at == nodes:
            yield tuple(sorted(tuple(sorted(edge)) for edge in edges)), chance
            return
        kept = edges[at][0]
        taken = {a + b - kept for a, b in edges if kept in (a, b)} | {kept}
        free = sorted(set(range(nodes)) - taken)
        stays = 1 - beta if free else 1.0
        yield from on(edges, at + 1, chance * stays)
        for node in free:
            yield from on((*edges[:at], (kept, node), *edges[at + 1 :]), at + 1, chance * beta / len(free))

    yield from on(tuple((node, (node + 1) % nodes) for node in range(nodes)), 0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "beta"), [(4, 0.3), (5, 0.5)])
def test_small_worlds_are_rewired_edge_by_edge(nodes: int, beta: float) -> None:
    law = law_of(rewired(nodes, beta))
    assert_follows(seen(lambda seed: topology.watts_strogatz(nodes, 2, beta, rng=seed)), law)


def attached(nodes: int, m: int) -> Iterator[tuple[tuple, float]]:
    """Yield the preferential attachment graphs, and one way to each: m different ends, one after the other by degree."""

    def on(edges: tuple[tuple[int, int], ...], node: int, chosen: tuple[int, ...], chance: float):
        if node == nodes:
            yield tuple(sorted(edges)), chance
        elif len(chosen) == m:
            yield from on((*edges, *((old, node) for old in chosen)), node + 1, (), chance)
        else:
            degree = {old: sum(old in edge for edge in edges) for old in range(node) if old not in chosen}
            for old, ends in degree.items():
                yield from on(edges, node, (*chosen, old), chance * ends / sum(degree.values()))

    yield from on(tuple((0, node) for node in range(1, m + 1)), m + 1, (), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "m"), [(4, 1), (4, 2)])
def test_new_nodes_are_attached_by_degree(nodes: int, m: int) -> None:
    assert_follows(seen(lambda seed: topology.barabasi_albert(nodes, m, rng=seed)), law_of(attached(nodes, m)))


def closer_than(radius: float) -> float:
    """Return the probability that two uniform points of the unit square are closer, by quadrature of (1 − x)(1 − y)."""

    def across(x: float) -> float:
        y = min(1.0, math.sqrt(max(radius**2 - x**2, 0.0)))
        return (1 - x) * (y - y**2 / 2)

    edge = math.sqrt(max(radius**2 - 1, 0.0))
    return 4 * sum(integrate.quad(across, *ends)[0] for ends in ((0.0, edge), (edge, min(radius, 1.0))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nodes", "wanted", "chance"),
    [
        (2, {"radius": 0.6}, closer_than(0.6)),
        (2, {"radius": 1.2}, closer_than(1.2)),
        (4, {"mean_degree": 1.2}, 0.4),
    ],
)
def test_near_points_are_linked(nodes: int, wanted: dict[str, float], chance: float) -> None:
    found = [topology.random_geometric(nodes, **wanted, rng=seed).to_scipy()[[0], [1]][0] > 0 for seed in range(DRAWS)]
    assert_follows(found, {False: 1 - chance, True: chance})


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "degree"), [(4, 2)])
def test_equitopo_draws_offsets_with_repetition(nodes: int, degree: int) -> None:
    def shares(counts: tuple[int, ...]) -> tuple[float, ...]:
        return tuple(round(count * (nodes - 1) / (nodes * degree), 6) for count in counts)

    law = law_of(
        (shares(tuple(drawn.count(a) for a in range(1, nodes))), (nodes - 1.0) ** -degree)
        for drawn in itertools.product(range(1, nodes), repeat=degree)
    )
    first = np.array([
        topology.equi_static(nodes, degree, rng=seed).to_scipy().toarray()[0, 1:] for seed in range(DRAWS)
    ])  # fmt: skip
    assert_follows(rows(np.round(first, 6)), law)
