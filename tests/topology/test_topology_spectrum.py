"""Spectra: closed forms equal dense ones, sparse solvers equal dense ones, and both the catalogue's figures."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from jaxgossip import topology
from jaxgossip.core.errors import GraphError
from jaxgossip.topology import eigenvalues, laplacian, second_largest_modulus, spectral_gap
from jaxgossip.topology.graph import from_links
from jaxgossip.topology.laplacian import closed_extremes, closed_form, laplacian_extremes
from jaxgossip.topology.spectra import spectrum

STRUCTURED = [
    *(topology.ring(n) for n in (3, 4, 9, 16, 33)),
    *(topology.k_nearest_ring(n, k) for n, k in ((7, 4), (8, 6), (31, 10), (30, 4))),
    *(topology.path(n) for n in (2, 3, 10, 17)),
    *(topology.grid(n, shape) for n, shape in ((12, (3, 4)), (30, (2, 3, 5)), (16, (4, 4)))),
    *(topology.torus(n, shape) for n, shape in ((9, (3, 3)), (20, (4, 5)), (216, (6, 6, 6)), (63, (7, 9)), (5, (5,)))),
    *(topology.star(n) for n in (2, 3, 8, 21)),
    *(topology.hypercube(2**d) for d in (1, 2, 5)),
    *(topology.complete(n) for n in (2, 7, 12)),
    *(topology.static_exponential(n) for n in (2, 3, 7, 12, 16, 25, 100)),
]
RULES = [topology.max_degree, topology.best_constant, topology.metropolis_hastings, topology.uniform]


def label(graph):
    return f"{graph.name}-{graph.n_nodes}"


def dense(weights):
    return weights.to_scipy().toarray()


def dense_rho(weights):
    return np.linalg.norm(dense(weights) - 1 / weights.graph.n_nodes, 2)


def from_lists(graph):
    """Return the same graph without its structure, so that nothing knows its closed form."""
    return from_links(graph.n_nodes, *graph.edges().T, name="lists", directed=graph.directed)


def same_set(found, expected):
    """Return the largest distance of a matched pair of two sets of complex numbers."""
    found, expected = list(found), list(expected)
    worst = 0.0
    for value in found:
        nearest = int(np.argmin(np.abs(np.array(expected) - value)))
        worst = max(worst, abs(expected.pop(nearest) - value))
    return worst


@pytest.mark.parametrize("graph", STRUCTURED, ids=label)
def test_laplacian_closed_forms_are_the_dense_eigenvalues(graph):
    A = graph.to_scipy().toarray()
    L = np.diag(A.sum(axis=1)) - A
    values = closed_form(graph)
    if graph.directed:
        assert same_set(values, np.linalg.eigvals(L)) < 1e-10
        return
    expected = np.linalg.eigvalsh(L)
    assert values == pytest.approx(expected, abs=1e-10)
    assert closed_extremes(graph) == pytest.approx((expected[1], expected[-1]), abs=1e-10)
    assert laplacian_extremes(from_lists(graph)) == pytest.approx((expected[1], expected[-1]), abs=1e-10)


@pytest.mark.parametrize("graph", STRUCTURED, ids=label)
@pytest.mark.parametrize("rule", RULES)
def test_closed_form_spectra_of_weights_are_the_dense_ones(graph, rule):
    if graph.directed and rule is topology.best_constant:
        return
    for weights in (rule(graph), topology.lazy(rule(graph))):
        W = dense(weights)
        values = eigenvalues(weights)
        assert values[0] == pytest.approx(1, abs=1e-12)
        assert second_largest_modulus(weights) == pytest.approx(dense_rho(weights), abs=1e-10)
        if weights.is_symmetric:
            assert values == pytest.approx(np.linalg.eigvalsh(W)[::-1], abs=1e-10)
        else:
            assert same_set(values, np.linalg.eigvals(W)) < 1e-10
            ordered = np.abs(values) if np.iscomplexobj(values) else values
            assert (np.diff(ordered) < 1e-10).all()


@pytest.mark.parametrize("rule", ["metropolis_hastings", "uniform", "sinkhorn", "best_constant"])
@pytest.mark.parametrize("graph", [topology.grid(30), topology.barabasi_albert(50, 2), topology.star(12)], ids=label)
def test_spectra_without_closed_form(graph, rule):
    weights = topology.WEIGHT_RULES[rule](graph)
    assert second_largest_modulus(weights) == pytest.approx(dense_rho(weights), abs=1e-12)
    found = eigenvalues(weights)
    assert found.dtype == np.float64  # also for uniform weights: they are similar to a symmetric matrix
    assert found == pytest.approx(np.sort(np.linalg.eigvals(dense(weights)).real)[::-1], abs=1e-9)


@pytest.mark.by_default("barabasi_albert-300", "watts_strogatz-200")
@pytest.mark.parametrize(
    "graph",
    [
        topology.barabasi_albert(300, 3),
        topology.erdos_renyi(200, mean_degree=12),
        topology.random_regular(200, 6),
        topology.watts_strogatz(200, 6, 0.1),
        topology.random_geometric(250, mean_degree=25),
        topology.stochastic_block(200, 2, 0.2, 0.002),
        from_lists(topology.ring(300)),
        from_lists(topology.path(301)),
        from_lists(topology.grid(200)),
        from_lists(topology.star(200)),
        from_lists(topology.hypercube(128)),
    ],
    ids=label,
)
def test_sparse_solvers_are_the_dense_ones(graph, monkeypatch):
    for module in (laplacian, spectrum):
        monkeypatch.setattr(module, "DENSE_NODES", 60)
    assert graph.is_connected
    L = np.diag(graph.degrees) - graph.to_scipy().toarray()
    mu = np.linalg.eigvalsh(L)
    assert laplacian_extremes(graph) == pytest.approx((mu[1], mu[-1]), rel=1e-7)
    for rule in (topology.metropolis_hastings, topology.uniform):
        weights = rule(graph)
        assert second_largest_modulus(weights) == pytest.approx(dense_rho(weights), abs=1e-9)


LARGE = {
    "ring": {"nodes": 500}, "k_nearest_ring": {"nodes": 499, "degree": 8}, "path": {"nodes": 500}, "grid": {"nodes": 500},
    "torus": {"nodes": 490}, "star": {"nodes": 500}, "binary_tree": {"nodes": 400}, "hypercube": {"nodes": 256},
    "complete": {"nodes": 300}, "static_exponential": {"nodes": 500}, "random_regular": {"nodes": 500, "degree": 4},
    "erdos_renyi": {"nodes": 400, "mean_degree": 14}, "watts_strogatz": {"nodes": 500, "degree": 6, "beta": 0.1},
    "barabasi_albert": {"nodes": 500, "m": 3}, "random_geometric": {"nodes": 300, "mean_degree": 30},
    "stochastic_block": {"nodes": 300, "blocks": 3, "p_in": 0.2, "p_out": 0.01}, "barbell": {"nodes": 200, "path": 20},
    "lollipop": {"nodes": 200}, "two_cliques": {"nodes": 300, "bridges": 2}, "connected_caveman": {"nodes": 300, "cliques": 30},
    "karate": {"nodes": 34}, "davis": {"nodes": 32},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in topology.TOPOLOGIES if kind != "edge_list"])
def test_the_spectrum_of_every_topology_is_the_dense_one(kind, monkeypatch):
    """With its closed form, if it has one, and without, by the solvers of large graphs."""
    graph = topology.TOPOLOGIES[kind](**LARGE[kind])
    assert graph.is_connected
    weights = topology.metropolis_hastings(graph)
    found = eigenvalues(weights)
    if weights.is_symmetric:
        assert found == pytest.approx(np.linalg.eigvalsh(dense(weights))[::-1], abs=1e-8)
    else:
        assert same_set(found, np.linalg.eigvals(dense(weights))) < 1e-8
    for module in (laplacian, spectrum):
        monkeypatch.setattr(module, "DENSE_NODES", 10)
    for one in (weights, topology.metropolis_hastings(from_lists(graph))):
        assert spectral_gap(one) == pytest.approx(1 - dense_rho(weights), abs=1e-8)


@pytest.mark.parametrize(
    ("graph", "factorises"), [(topology.barabasi_albert(2000, 3), False), (topology.path(2000), True)], ids=str
)
def test_inverse_of_a_laplacian(graph, factorises, monkeypatch):
    factorised = []
    monkeypatch.setattr(laplacian, "splu", lambda *args, **options: factorised.append(1) or splu(*args, **options))
    L = sp.csr_array(sp.diags_array(graph.degrees.astype(float)) - graph.to_scipy())
    solve = laplacian._inverse(L, singular=True)
    b = np.random.default_rng(0).standard_normal(2000)
    x = solve(b)
    assert x.mean() == pytest.approx(0, abs=1e-9)
    assert L @ x == pytest.approx(b - b.mean(), abs=1e-7)
    assert bool(factorised) is factorises
    monkeypatch.setattr(laplacian, "FACTOR_NODES", 100)
    if factorises:  # too large to factorise: an error, never a wrong solution
        with pytest.raises(GraphError, match="did not converge"):
            laplacian._inverse(L, singular=True)


def test_sparse_solvers_of_directed_weights():
    weights = topology.uniform(from_lists(topology.static_exponential(1000)))
    assert second_largest_modulus(weights) == pytest.approx(1 - 2 / 11, abs=1e-10)


def test_negative_weights_and_disconnected_graphs():
    ring = topology.metropolis_hastings(from_lists(topology.ring(600))).to_scipy()
    wild = topology.from_matrix(1.9 * np.eye(600) - 0.9 * ring.toarray())  # λ -> 1.9 − 0.9 λ, from 1 to 2.2
    assert second_largest_modulus(wild) == pytest.approx(2.2, abs=1e-8)
    for n in (10, 400):
        halves = topology.stochastic_block(2 * n, 2, 1.0, 0.0)
        assert second_largest_modulus(topology.metropolis_hastings(halves)) == pytest.approx(1.0, abs=1e-12)


def test_one_node_agrees_at_once():
    weights = topology.uniform(topology.complete(1))
    assert second_largest_modulus(weights) == 0.0
    assert eigenvalues(weights).tolist() == [1.0]


def test_the_most_negative_eigenvalue_can_decide():
    weights = topology.metropolis_hastings(topology.from_networkx(nx.complete_bipartite_graph(5, 5)))
    assert eigenvalues(weights)[[1, -1]] == pytest.approx([1 / 6, -4 / 6], abs=1e-12)
    assert second_largest_modulus(weights) == pytest.approx(4 / 6, abs=1e-12)


def test_small_gaps_keep_their_digits():
    for n in (10**3, 10**6):
        gap = spectral_gap(topology.metropolis_hastings(topology.ring(n)))
        assert gap == pytest.approx(4 / 3 * np.sin(np.pi / n) ** 2, rel=1e-12)
    assert spectral_gap(topology.metropolis_hastings(topology.path(10**6))) == pytest.approx(np.pi**2 / 3e12, rel=1e-6)


def test_all_eigenvalues_of_large_graphs_are_refused():
    with pytest.raises(GraphError, match="6,000 nodes need a dense matrix"):
        eigenvalues(topology.metropolis_hastings(topology.random_regular(6000, 3)))
    assert eigenvalues(topology.metropolis_hastings(topology.torus(10_000))).size == 10_000


@pytest.mark.parametrize(("n", "expected"), [(16, 0.949253), (64, 0.996790), (256, 0.999799)])
def test_figures_of_rings(n, expected):
    assert second_largest_modulus(topology.metropolis_hastings(topology.ring(n))) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("d", [1, 3, 6])
def test_figures_of_hypercubes(d):
    weights = topology.metropolis_hastings(topology.hypercube(2**d))
    assert second_largest_modulus(weights) == pytest.approx((d - 1) / (d + 1), abs=1e-12)


@pytest.mark.parametrize("n", range(2, 40))
def test_figures_of_exponential_graphs(n):
    tau = int(np.ceil(np.log2(n)))
    rho = second_largest_modulus(topology.metropolis_hastings(topology.static_exponential(n)))
    if n % 2:
        assert rho < 1 - 2 / (tau + 1) - 1e-6
    else:
        assert rho == pytest.approx(1 - 2 / (tau + 1), abs=1e-12)


@pytest.mark.slow
def test_figures_of_other_graphs():
    def rho(graph):
        return second_largest_modulus(topology.metropolis_hastings(graph))

    assert rho(topology.grid(64)) == pytest.approx(0.96770, abs=5e-6)
    assert rho(topology.from_networkx(nx.davis_southern_women_graph())) == pytest.approx(0.91790, abs=5e-6)
    assert rho(topology.from_networkx(nx.lollipop_graph(16, 16))) == pytest.approx(0.99656, abs=5e-6)
    assert rho(topology.random_regular(1000, 4)) == pytest.approx(0.8894, abs=0.006)
    assert rho(topology.complete(12)) == 0.0
    star = eigenvalues(topology.metropolis_hastings(topology.star(9)))
    assert star == pytest.approx([1] + [1 - 1 / 9] * 7 + [0], abs=1e-12)
    gaps = [spectral_gap(topology.uniform(topology.watts_strogatz(500, 6, beta))) for beta in (0.0, 0.1, 1.0)]
    assert gaps[0] == pytest.approx(0.000316, abs=5e-7)
    assert gaps[1:] == pytest.approx([0.0267, 0.173], rel=0.15)
    for n, expected in ((15, 0.36), (63, 0.29)):
        tree = topology.from_networkx(nx.balanced_tree(2, n.bit_length() - 1))
        assert tree.n_nodes == n
        assert (1 - rho(tree)) * n == pytest.approx(expected, abs=0.005)
    for n, expected in ((16, 5.8), (32, 6.7)):
        assert (1 - rho(topology.from_networkx(nx.barbell_graph(n // 2, 0)))) * n**2 == pytest.approx(
            expected, abs=0.05
        )
    blocks = topology.stochastic_block(1000, 2, 0.05, 0.01).to_scipy().toarray()
    scale = 1 / np.sqrt(blocks.sum(axis=1))
    assert np.linalg.eigvalsh(scale[:, None] * blocks * scale)[-2] == pytest.approx(0.681, abs=0.03)
