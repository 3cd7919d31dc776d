"""networkx's edges; graphs of cliques, networks of people and EquiTopo circulants: the catalogue's figures."""

import networkx as nx
import numpy as np
import pytest

from jaxgossip import topology as t
from jaxgossip.core.errors import GraphError


def edge_set(graph):
    return {frozenset(edge) for edge in graph.edges().tolist()}


def numbered(graph):
    return nx.convert_node_labels_to_integers(graph, ordering="default")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (t.ring(9), nx.cycle_graph(9)),
        (t.path(9), nx.path_graph(9)),
        (t.star(9), nx.star_graph(8)),
        (t.complete(9), nx.complete_graph(9)),
        (t.k_nearest_ring(11, 6), nx.watts_strogatz_graph(11, 6, 0)),
        (t.watts_strogatz(11, 6, 0.0), nx.watts_strogatz_graph(11, 6, 0)),
        (t.erdos_renyi(9, p=1.0), nx.complete_graph(9)),
        (t.random_geometric(9, radius=2**0.5), nx.complete_graph(9)),
        (t.stochastic_block(10, 3, 1.0, 0.0), nx.disjoint_union_all(map(nx.complete_graph, (4, 3, 3)))),
        (t.stochastic_block(10, 3, 0.0, 1.0), nx.complete_multipartite_graph(4, 3, 3)),
        (t.barbell(12), nx.barbell_graph(6, 0)),
        (t.barbell(13, path=3), nx.barbell_graph(5, 3)),
        (t.two_cliques(12), nx.barbell_graph(6, 0)),
        (t.lollipop(32), nx.lollipop_graph(16, 16)),
        (t.lollipop(9, clique=3), nx.lollipop_graph(3, 6)),
        (t.lollipop(5, clique=5), nx.complete_graph(5)),
        (t.connected_caveman(12, 4), nx.connected_caveman_graph(4, 3)),
        (t.connected_caveman(12, 2), nx.connected_caveman_graph(2, 6)),
        (t.karate(), nx.karate_club_graph()),
        (t.davis(), numbered(nx.davis_southern_women_graph())),
    ],
    ids=lambda graph: getattr(graph, "name", ""),
)
def test_same_edges_as_networkx(ours, theirs):
    assert edge_set(ours) == {frozenset(edge) for edge in theirs.edges()}


def test_davis_is_bipartite():
    women = t.davis().edges() < 18
    assert (women.sum(1) == 1).all()


@pytest.mark.parametrize(
    ("graph", "rule", "rho"),
    [
        (t.lollipop(32), t.metropolis_hastings, 0.99656),
        (t.davis(), t.metropolis_hastings, 0.91790),
        (t.karate(), t.metropolis_hastings, 0.96876),
        (t.karate(), t.max_degree, 0.97397),
        (t.karate(), t.best_constant, 0.94964),
    ],
    ids=lambda value: getattr(value, "name", getattr(value, "__name__", "")),
)
def test_figures_of_the_catalogue(graph, rule, rho):
    assert t.second_largest_modulus(rule(graph)) == pytest.approx(rho, abs=5.1e-6)


@pytest.mark.parametrize(("nodes", "scaled"), [(16, 5.8), (32, 6.7), (64, 7.3)])
def test_the_gap_of_a_barbell(nodes, scaled):
    m = nodes // 2
    gap = t.spectral_gap(t.metropolis_hastings(t.barbell(nodes)))
    assert gap * nodes**2 == pytest.approx(scaled, abs=0.05)
    assert gap == pytest.approx((m + 2 - (m**2 + 4 * m - 4) ** 0.5) / (2 * (m + 1)), rel=1e-10)


def test_bridges_share_no_node():
    graph = t.two_cliques(10, bridges=5)
    crossing = graph.edges()[(graph.edges() < 5).sum(1) == 1]
    assert sorted(crossing.ravel().tolist()) == list(range(10))
    assert graph.regular_degree == 5


def test_degrees_in_a_caveman_graph():
    assert t.connected_caveman(20, 4).degrees.reshape(4, 5).tolist() == [[4, 3, 4, 4, 5]] * 4


@pytest.mark.parametrize(("nodes", "degree"), [(2, 3), (7, 30), (64, 5), (300, 12)])
@pytest.mark.parametrize("build", [t.equi_static, t.u_equi_static])
def test_equi_static_is_its_formula(build, nodes, degree):
    weights = build(nodes, degree, rng=3)
    shift = np.roll(np.eye(nodes), 1, axis=1)  # row i is node i + 1
    drawn = np.random.default_rng(3).integers(1, nodes, degree)
    powers = sum(np.linalg.matrix_power(shift, int(a)) for a in drawn) / degree
    expected = (nodes - 1) / nodes * powers + np.eye(nodes) / nodes
    if build is t.u_equi_static:
        expected = (expected + expected.T) / 2
    W = weights.to_scipy().toarray()
    np.testing.assert_allclose(W, expected, atol=1e-14)
    assert weights.doubly_stochastic
    assert weights.is_symmetric or build is t.equi_static
    modulus = np.abs(np.fft.fft(W[0]))[1:].max()
    assert t.second_largest_modulus(weights) == pytest.approx(modulus, abs=1e-12)


def test_equi_static_contracts_alike_at_any_size():
    rho = [t.second_largest_modulus(t.u_equi_static(n, 3 * n.bit_length(), rng=0)) for n in (64, 256, 1024)]
    assert max(rho) < 0.75


@pytest.mark.parametrize(
    ("build", "message", "hint"),
    [
        (lambda: t.barbell(3), "barbell: nodes must be at least 4, not 3", "each clique needs two nodes"),
        (
            lambda: t.barbell(9),
            "barbell: 9 nodes without a path of 0 are no two cliques of equal size",
            "10 nodes, or path = 1",
        ),
        (
            lambda: t.barbell(9, path=6),
            "barbell: a path of 6 leaves 3 of 9 nodes for two cliques",
            "path at most 5, or at least 10 nodes",
        ),
        (lambda: t.two_cliques(9), "two_cliques: 9 nodes are no two cliques of equal size", "8 or 10 nodes"),
        (
            lambda: t.two_cliques(8, bridges=5),
            "two_cliques: 5 bridges between cliques of 4 nodes share nodes",
            "bridges at most 4",
        ),
        (lambda: t.lollipop(8, clique=9), "lollipop: a clique of 9 has no room on 8 nodes", "clique at most 8"),
        (
            lambda: t.connected_caveman(13, 3),
            "connected_caveman: 13 nodes are no 3 cliques of equal size",
            "12 or 15 nodes",
        ),
        (
            lambda: t.connected_caveman(8, 4),
            "connected_caveman: 4 cliques of 8 nodes have 2 each",
            "each needs three: at most 2 cliques, or use ring",
        ),
        (lambda: t.karate(33), "karate: the network has 34 nodes, not 33", "leave nodes out"),
        (lambda: t.davis(34), "davis: the network has 32 nodes, not 34", "leave nodes out"),
        (
            lambda: t.two_cliques(1_000_000),
            "two_cliques: cliques of 500,000 nodes have 499,999,000,000 directed links, too many to list",
            "fewer nodes, or smaller cliques",
        ),
        (lambda: t.equi_static(1, 3), "equi_static: nodes must be at least 2, not 1", "one node is a complete graph"),
        (lambda: t.u_equi_static(5, 0), "u_equi_static: degree must be at least 1, not 0", "a node must hear somebody"),
    ],
)
def test_impossible_graphs(build, message, hint):
    with pytest.raises(GraphError) as caught:
        build()
    assert (caught.value.message, caught.value.hint) == (message, hint)
