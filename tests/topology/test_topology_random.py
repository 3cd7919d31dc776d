"""Random graphs follow their laws: exact ones where they are known, networkx's elsewhere."""

import collections

import networkx as nx
import numpy as np
import pytest
from scipy import stats

from jaxgossip import topology
from jaxgossip.topology.generators import random_degrees
from jaxgossip.topology.generators.edge_keys import EdgeSet

SURE = 1e-4
"""A law is refuted when what was seen has a smaller probability (seeds are fixed: no test can fail by chance)."""


def code(graph):
    return tuple(map(tuple, graph.edges().tolist()))


def to_networkx(graph):
    found = nx.empty_graph(graph.n_nodes)
    found.add_edges_from(graph.edges().tolist())
    return found


def same_law(first, second):
    """Return the p-value of two Counters having one law."""
    keys = sorted(set(first) | set(second))
    return stats.chi2_contingency([[counts[key] for key in keys] for counts in (first, second)]).pvalue


def same_mean(first, second):
    return stats.ttest_ind(first, second, equal_var=False).pvalue


@pytest.mark.by_default("4-1-3", "5-2-12")
@pytest.mark.parametrize(("nodes", "degree", "graphs"), [(6, 2, 70), (6, 3, 70), (4, 1, 3), (5, 2, 12)])
def test_small_random_regular_graphs_are_uniform(nodes, degree, graphs):
    rng = np.random.default_rng(0)
    seen = collections.Counter(code(topology.random_regular(nodes, degree, rng=rng)) for _ in range(20 * graphs))
    assert len(seen) == graphs
    assert stats.chisquare(list(seen.values())).pvalue > SURE


@pytest.mark.parametrize("degree", [3, 5, 8])
def test_random_regular_has_the_short_cycles_of_the_limit(degree):
    # Bollobás 1980: triangles are Poisson with mean (d − 1)³/6. Switches must neither break nor make them.
    rng = np.random.default_rng(1)
    triangles = []
    for _ in range(60):
        matrix = topology.random_regular(500, degree, rng=rng).to_scipy()
        triangles.append((matrix @ matrix).multiply(matrix).sum() / 6)
    mean = (degree - 1) ** 3 / 6
    assert np.mean(triangles) == pytest.approx(mean, abs=4 * np.sqrt(mean / 60) + mean * degree**2 / 500)


@pytest.mark.parametrize(
    ("nodes", "degree"), [(20, 3), (20, 9), (20, 10), (20, 18), (21, 4), (400, 150), (400, 399), (5, 2), (2, 1)]
)
def test_random_regular_degrees(nodes, degree):
    for seed in range(3):
        graph = topology.random_regular(nodes, degree, rng=seed)
        assert (np.diff(graph.indptr) == degree).all()


@pytest.mark.slow
def test_erdos_renyi_edges_are_independent_coins():
    rng = np.random.default_rng(2)
    graphs = [topology.erdos_renyi(6, p=0.3, rng=rng) for _ in range(3000)]
    edges = collections.Counter(edge for graph in graphs for edge in code(graph))
    assert len(edges) == 15
    assert stats.chisquare(list(edges.values())).pvalue > SURE
    counts = np.bincount([graph.n_edges for graph in graphs], minlength=16)[:11]
    expected = stats.binom.pmf(np.arange(11), 15, 0.3)
    assert stats.chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > SURE
    pairs = collections.Counter(((0, 1) in code(graph), (4, 5) in code(graph)) for graph in graphs)
    assert stats.chi2_contingency([[pairs[a, b] for a in (0, 1)] for b in (0, 1)]).pvalue > SURE


def test_erdos_renyi_mean_degree():
    graph = topology.erdos_renyi(20_000, mean_degree=8.0, rng=3)
    assert graph.n_edges == pytest.approx(80_000, abs=5 * np.sqrt(80_000))
    assert graph.degrees.var() == pytest.approx(8.0, rel=0.05)  # Poisson


def test_pairs_are_numbered_without_gaps_also_beyond_double_precision():
    from jaxgossip.topology.generators.random_graphs import _pair_of

    first, second = _pair_of(np.arange(45))
    assert [(i, j) for i in range(10) for j in range(i)] == list(zip(first.tolist(), second.tolist(), strict=True))
    for n in (94_906_267, 2**31 - 1):  # the square root of 8k + 1 no longer fits 53 bits
        last = n * (n - 1) // 2
        first, second = _pair_of(np.array([last - n, last - n + 1, last - 1]))
        assert first.tolist() == [n - 2, n - 1, n - 1]
        assert second.tolist() == [n - 3, 0, n - 2]
    rows = np.random.default_rng(0).integers(2**25, 2**31, 10_000)
    for place in (np.zeros_like(rows), rows - 1):  # the first and the last pair of a row
        first, second = _pair_of(rows * (rows - 1) // 2 + place)
        assert (first == rows).all()
        assert (second == place).all()


def test_stochastic_block_counts():
    rng = np.random.default_rng(4)
    inside, across = [], []
    for _ in range(300):
        edges = topology.stochastic_block(30, 3, 0.5, 0.1, rng=rng).edges()
        same = edges[:, 0] // 10 == edges[:, 1] // 10
        inside.append(same.sum())
        across.append((~same).sum())
    assert np.mean(inside) == pytest.approx(135 * 0.5, abs=4 * np.sqrt(135 * 0.25 / 300))
    assert np.mean(across) == pytest.approx(300 * 0.1, abs=4 * np.sqrt(300 * 0.09 / 300))
    assert np.var(inside) == pytest.approx(135 * 0.25, rel=0.35)


@pytest.mark.slow
def test_watts_strogatz_is_networkx_in_distribution():
    ours = [to_networkx(topology.watts_strogatz(24, 4, 0.4, rng=seed)) for seed in range(150)]
    theirs = [nx.watts_strogatz_graph(24, 4, 0.4, seed=seed) for seed in range(150)]

    def kept(graph):
        return sum(min((a - b) % 24, (b - a) % 24) <= 2 for a, b in graph.edges())

    for measure in (nx.average_clustering, kept, lambda g: np.var([d for _, d in g.degree()])):
        assert same_mean(*([measure(graph) for graph in graphs] for graphs in (ours, theirs))) > SURE


@pytest.mark.parametrize(("nodes", "degree"), [(3, 2), (5, 4), (6, 4), (9, 6), (12, 10), (501, 10)])
@pytest.mark.parametrize("beta", [0.0, 0.2, 1.0])
def test_watts_strogatz_keeps_the_number_of_edges(nodes, degree, beta):
    graph = topology.watts_strogatz(nodes, degree, beta)
    assert graph.n_edges == nodes * degree // 2
    assert graph.degrees.min() >= degree // 2


def test_watts_strogatz_rewires_the_share_it_should():
    graph = topology.watts_strogatz(20_000, 6, 0.25, rng=5)
    first, second = graph.edges().T
    near = np.minimum((first - second) % 20_000, (second - first) % 20_000) <= 3
    assert near.mean() == pytest.approx(0.75, abs=0.01)


@pytest.mark.slow
def test_barabasi_albert_in_spans_is_the_sequential_process(monkeypatch):
    rng = np.random.default_rng(6)
    seen = {}
    for how in (0, 10**6):
        monkeypatch.setattr(random_degrees, "ONE_BY_ONE", how)
        seen[how] = collections.Counter(code(topology.barabasi_albert(6, 2, rng=rng)) for _ in range(4000))
    assert len(seen[0]) == 180
    assert same_law(seen[0], seen[10**6]) > SURE
    theirs = collections.Counter(
        tuple(sorted(tuple(sorted(edge)) for edge in nx.barabasi_albert_graph(6, 2, seed=seed).edges()))
        for seed in range(4000)
    )
    assert same_law(seen[0], theirs) > SURE


class Scripted(np.random.Generator):
    """Stands in for a generator: the edge ends that are drawn next, each out of so many."""

    def __init__(self, *draws):
        super().__init__(np.random.PCG64(0))
        self.draws = [[(end + 0.5) / of for end, of in draw] for draw in draws]

    def random(self, size):
        draw = self.draws.pop(0)
        assert len(draw) == size
        return np.array(draw)


def test_barabasi_albert_judges_no_draw_before_what_it_rests_on_is_settled():
    # Edge ends are numbered edge by edge, newer node first; nodes 1 and 2 have joined node 0, nodes 3 and 4 come.
    newer, older = np.array([1, 2, 3, 3, 4, 4]), np.array([0, 0, 9, 9, 9, 9])
    rng = Scripted(
        # Node 3 draws node 0 twice. Node 4 draws the older end of node 3's second edge, and node 0: these are only
        # the same as long as node 3 has not drawn again, so node 4 must keep them.
        [(1, 4), (3, 4), (7, 8), (1, 8)],
        [(0, 4)],
    )
    random_degrees._attach_span(newer, older, 2, range(3, 5), rng)
    assert older.tolist() == [0, 0, 0, 1, 1, 0]
    assert not rng.draws
    # What rests on something unsettled is unsettled too.
    chain = random_degrees._downstream(6, np.array([1]), child=np.array([2, 3, 5]), parent=np.array([1, 2, 4]))
    assert chain.tolist() == [False, False, True, True, False, False]


def test_barabasi_albert_degrees_are_networkx_in_distribution():
    ours = np.concatenate([topology.barabasi_albert(400, 3, rng=seed).degrees for seed in range(20)])
    theirs = np.concatenate(
        [[d for _, d in nx.barabasi_albert_graph(400, 3, seed=seed).degree()] for seed in range(20)]
    )
    assert stats.ks_2samp(ours, theirs).pvalue > SURE
    hubs = [topology.barabasi_albert(400, 3, rng=seed).degrees.max() for seed in range(60)]
    their_hubs = [max(d for _, d in nx.barabasi_albert_graph(400, 3, seed=seed).degree()) for seed in range(60)]
    assert same_mean(hubs, their_hubs) > SURE


@pytest.mark.by_default("erdos_renyi", "stochastic_block")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda rng: topology.erdos_renyi(30, p=0.2, rng=rng), lambda seed: nx.gnp_random_graph(30, 0.2, seed=seed)),
        (lambda rng: topology.random_regular(30, 4, rng=rng), lambda seed: nx.random_regular_graph(4, 30, seed=seed)),
        (lambda rng: topology.barabasi_albert(30, 3, rng=rng), lambda seed: nx.barabasi_albert_graph(30, 3, seed=seed)),
        (
            lambda rng: topology.random_geometric(30, radius=0.3, rng=rng),
            lambda seed: nx.random_geometric_graph(30, 0.3, seed=seed),
        ),
        (
            lambda rng: topology.stochastic_block(30, 3, 0.5, 0.1, rng=rng),
            lambda seed: nx.planted_partition_graph(3, 10, 0.5, 0.1, seed=seed),
        ),
    ],
    ids=["erdos_renyi", "random_regular", "barabasi_albert", "random_geometric", "stochastic_block"],
)
def test_degrees_and_clustering_are_those_of_networkx_in_distribution(ours, theirs):
    mine, its = [to_networkx(ours(seed)) for seed in range(200)], [theirs(seed) for seed in range(200)]
    for measure in (nx.average_clustering, lambda g: np.var([d for _, d in g.degree()]), lambda g: g.number_of_edges()):
        values = [[measure(graph) for graph in graphs] for graphs in (mine, its)]
        if np.ptp(values):
            assert same_mean(*values) > SURE
    degrees = [[d for graph in graphs for _, d in graph.degree()] for graphs in (mine, its)]
    assert stats.ks_2samp(*degrees).pvalue > SURE


@pytest.mark.parametrize("m", [1, 2, 5])
def test_barabasi_albert_tail(m):
    # P(degree >= k) = m(m + 1)/(k(k + 1)), Bollobás et al. 2001
    graph = topology.barabasi_albert(50_000, m, rng=7)
    assert graph.n_edges == m * (50_000 - m)
    assert graph.is_connected
    assert graph.degrees.min() >= min(m, 1)
    for k in (m + 1, 2 * m, 4 * m, 10 * m):
        expected = m * (m + 1) / (k * (k + 1))
        assert (graph.degrees >= k).mean() == pytest.approx(expected, abs=5 * np.sqrt(expected / 50_000))


def test_barabasi_albert_brings_m_different_neighbours():
    graph = topology.barabasi_albert(3000, 4, rng=8)
    first, second = graph.edges().T
    older = np.bincount(np.maximum(first, second), minlength=3000)
    assert older[:5].tolist() == [0, 1, 1, 1, 1]  # the star
    assert (older[5:] == 4).all()


def test_random_geometric_is_who_is_near():
    graph = topology.random_geometric(80, radius=0.2, rng=9)
    apart = np.linalg.norm(graph.positions[:, None] - graph.positions, axis=2)
    assert (graph.to_scipy().toarray().astype(bool) == ((apart <= 0.2) & (apart > 0))).all()
    assert graph.positions.shape == (80, 2)


@pytest.mark.parametrize("mean_degree", [0.5, 6.0, 300.0])
def test_random_geometric_mean_degree_counts_borders(mean_degree):
    found = [topology.random_geometric(500, mean_degree=mean_degree, rng=seed).degrees.mean() for seed in range(40)]
    assert np.mean(found) == pytest.approx(mean_degree, abs=4 * np.std(found) / np.sqrt(40))


@pytest.mark.parametrize(
    ("build", "keywords", "links"),
    [
        (topology.random_regular, {"degree": 20}, 2_000_000),
        (topology.erdos_renyi, {"mean_degree": 10}, None),
        (topology.watts_strogatz, {"degree": 10, "beta": 0.1}, 1_000_000),
        (topology.barabasi_albert, {"m": 5}, 2 * 5 * (100_000 - 5)),
        (topology.random_geometric, {"mean_degree": 10}, None),
        (topology.stochastic_block, {"blocks": 1000, "p_in": 0.1, "p_out": 1e-5}, None),
    ],
)
def test_a_hundred_thousand_nodes(build, keywords, links):
    graph = build(100_000, **keywords)
    assert graph.n_links == (graph.n_links if links is None else links)
    assert graph.n_links > 900_000
    receivers = np.repeat(np.arange(100_000), graph.degrees)
    assert (receivers != graph.indices).all()
    forward, backward = (
        receivers * 100_000 + graph.indices,
        np.sort(graph.indices.astype(np.int64) * 100_000 + receivers),
    )
    assert (np.diff(forward) > 0).all()
    assert (forward == backward).all()


def test_edge_set_answers_like_a_set():
    first, second = np.array([0, 1, 2, 2, 4]), np.array([1, 0, 3, 3, 4])
    edges = EdgeSet(5, first, second)
    assert edges.repeated().tolist() == [1, 3]
    asked = edges.could_add(np.array([1, 3, 3, 0, 2, 2]), np.array([0, 1, 2, 0, 4, 4]))
    assert asked.tolist() == [False, True, False, False, True, False]
    first[4], second[4] = 4, 2  # the owner moves the loop
    edges.add(first[4:], second[4:])
    assert not edges.could_add(np.array([2]), np.array([4]))[0]
