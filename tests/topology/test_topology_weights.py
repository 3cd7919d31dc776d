"""Weight rules: their formulas, their sums, the catalogue's figures, and no list where none is needed."""

import tracemalloc

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from jaxgossip import topology
from jaxgossip.core.errors import GraphError
from jaxgossip.topology import WEIGHT_RULES, Weights, from_matrix, lazy
from jaxgossip.topology.graph import from_links

SYMMETRIC = ["metropolis_hastings", "max_degree", "best_constant", "sinkhorn"]
GRAPHS = {
    "path": topology.path(7),
    "pair": topology.path(2),
    "star": topology.star(9),
    "ring": topology.ring(8),
    "torus": topology.torus(15, (3, 5)),
    "grid": topology.grid(12),
    "hypercube": topology.hypercube(8),
    "complete": topology.complete(6),
    "karate": topology.from_networkx(nx.karate_club_graph()),
    "tree": topology.barabasi_albert(40, 1),
    "power law": topology.barabasi_albert(60, 3),
    "lollipop": topology.from_networkx(nx.lollipop_graph(8, 8)),
}
KARATE = GRAPHS["karate"]
TREE_WITH_LONER = from_links(5, np.array([0, 0, 1]), np.array([1, 2, 3]), name="with a loner")


def dense(weights):
    return weights.to_scipy().toarray()


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("rule", SYMMETRIC)
def test_symmetric_doubly_stochastic_and_on_the_links(name, rule):
    graph = GRAPHS[name]
    weights = WEIGHT_RULES[rule](graph)
    W = dense(weights)
    assert np.abs(W - W.T).max() < 1e-12
    assert np.abs(W.sum(axis=1) - 1).max() < 1e-12
    assert weights.is_symmetric
    assert weights.is_doubly_stochastic
    assert weights.doubly_stochastic
    adjacency = graph.to_scipy().toarray().astype(bool)
    assert ((W > 0) == adjacency)[~np.eye(graph.n_nodes, dtype=bool)].all()
    if rule != "best_constant":
        assert W.diagonal().min() > 0


@pytest.mark.parametrize("name", GRAPHS)
def test_formulas(name):
    graph = GRAPHS[name]
    A, d = graph.to_scipy().toarray(), graph.degrees
    L = np.diag(d) - A
    off = A / (1 + np.maximum.outer(d, d))
    assert dense(topology.metropolis_hastings(graph)) == pytest.approx(off + np.diag(1 - off.sum(axis=1)), abs=1e-14)
    assert dense(topology.max_degree(graph)) == pytest.approx(np.eye(len(d)) - L / (d.max() + 1), abs=1e-14)
    assert dense(topology.uniform(graph)) == pytest.approx((A + np.eye(len(d))) / (d + 1)[:, None], abs=1e-14)
    mu = np.linalg.eigvalsh(L)
    assert dense(topology.best_constant(graph)) == pytest.approx(np.eye(len(d)) - 2 / (mu[1] + mu[-1]) * L, abs=1e-12)
    W = dense(topology.sinkhorn(graph))
    # W_ij = x_i x_j on A + I: products around any square of entries agree
    scale = np.sqrt(W.diagonal())
    assert pytest.approx(np.outer(scale, scale) * (A + np.eye(len(d))), abs=1e-10) == W


def test_figures_of_the_karate_club():
    rho = {rule: topology.second_largest_modulus(WEIGHT_RULES[rule](KARATE)) for rule in SYMMETRIC}
    expected = {"metropolis_hastings": 0.96876, "max_degree": 0.97397, "best_constant": 0.94964, "sinkhorn": 0.96980}
    assert rho == pytest.approx(expected, abs=5e-6)


def test_best_constant_of_the_eight_ring():
    assert topology.best_constant(topology.ring(8)).edge * 3 == pytest.approx(1.3084, abs=5e-5)


@pytest.mark.parametrize("name", GRAPHS)
def test_best_constant_is_the_best_constant(name):
    graph = GRAPHS[name]
    best = topology.best_constant(graph)
    L = np.diag(graph.degrees) - graph.to_scipy().toarray()
    n = graph.n_nodes

    def rho(alpha):
        return np.linalg.norm(np.eye(n) - alpha * L - 1 / n, 2)

    assert topology.second_largest_modulus(best) == pytest.approx(rho(best.edge), abs=1e-10)
    assert rho(best.edge) <= min(rho(best.edge * 0.98), rho(best.edge * 1.02)) + 1e-12


def test_uniform_is_row_stochastic_only():
    weights = topology.uniform(KARATE)
    assert not weights.is_doubly_stochastic
    assert not weights.is_symmetric
    assert topology.uniform(GRAPHS["torus"]).is_doubly_stochastic


@pytest.mark.parametrize("rule", ["metropolis_hastings", "max_degree", "uniform", "sinkhorn"])
def test_directed_circulants_are_doubly_stochastic(rule):
    graph = topology.static_exponential(11)
    W = dense(WEIGHT_RULES[rule](graph))
    assert W.sum(axis=0) == pytest.approx(np.ones(11), abs=1e-12)
    assert set(np.unique(W).round(12)) == {0.0, 0.2}
    assert not WEIGHT_RULES[rule](graph).is_symmetric


def test_directed_graphs_with_balance_and_with_ways_back():
    # a two-way pair and a one-way triangle share node 0: as many hear as are heard everywhere
    balanced = from_links(4, np.array([0, 3, 1, 2, 0]), np.array([3, 0, 0, 1, 2]), name="test", directed=True)
    W = dense(topology.max_degree(balanced))
    assert W.sum(axis=0) == pytest.approx(np.ones(4), abs=1e-12)
    unbalanced = from_links(4, np.array([0, 1, 2, 3, 0]), np.array([3, 0, 1, 2, 2]), name="test", directed=True)
    weights = topology.sinkhorn(unbalanced)
    W = dense(weights)
    assert W.sum(axis=0) == pytest.approx(np.ones(4), abs=1e-10)
    assert W.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-12)
    assert not weights.is_symmetric
    for rule in (topology.max_degree, topology.metropolis_hastings, topology.best_constant):
        with pytest.raises(GraphError, match="is directed"):
            rule(unbalanced)


@pytest.mark.parametrize("rule", ["metropolis_hastings", "max_degree", "uniform", "sinkhorn"])
def test_nodes_without_links_keep_their_own_model(rule):
    W = dense(WEIGHT_RULES[rule](TREE_WITH_LONER))
    assert W[4].tolist() == [0, 0, 0, 0, 1]
    one = WEIGHT_RULES[rule](topology.complete(1))
    assert dense(one).tolist() == [[1.0]]


def test_a_single_node_and_best_constant():
    assert dense(topology.best_constant(topology.complete(1))).tolist() == [[1.0]]
    assert dense(topology.best_constant(topology.path(2))) == pytest.approx(np.full((2, 2), 0.5), abs=1e-15)


@pytest.mark.parametrize("name", GRAPHS)
def test_lazy_is_half_way_to_the_identity(name):
    weights = topology.metropolis_hastings(GRAPHS[name])
    assert dense(lazy(weights)) == pytest.approx((np.eye(GRAPHS[name].n_nodes) + dense(weights)) / 2, abs=1e-14)
    assert topology.eigenvalues(lazy(weights)).min() > -1e-12
    assert lazy(weights).doubly_stochastic


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array, sp.coo_matrix, lambda m: m.tolist()])
def test_from_matrix_keeps_the_matrix(convert):
    W = np.array([[0.5, 0.5, 0, 0], [0.25, 0.25, 0.5, 0], [0, 1.25, -0.25, 0], [0, 0, 0, 1.0]])
    weights = from_matrix(convert(W))
    assert dense(weights).tolist() == W.tolist()
    assert weights.graph.edges().tolist() == [[0, 1], [1, 2]]
    assert not weights.is_doubly_stochastic
    assert not weights.graph.directed
    assert from_matrix(dense(topology.uniform(topology.static_exponential(9)))).graph.directed


@pytest.mark.parametrize("rule", WEIGHT_RULES)
def test_from_matrix_is_the_inverse_of_to_scipy(rule):
    weights = WEIGHT_RULES[rule](KARATE)
    again = from_matrix(weights.to_scipy())
    assert (dense(again) == dense(weights)).all()
    assert (again.graph.indices == KARATE.indices).all()


def test_false_weights_are_refused():
    ring = topology.ring(5)
    with pytest.raises(GraphError, match=r"row 0 of the weights sums to 1\.1, not 1"):
        Weights(ring, 0.3, 0.5, "mine")
    with pytest.raises(GraphError, match=r"row 3 of the weights sums to 1\.5"):
        Weights(ring, 0.25, np.array([0.5, 0.5, 0.5, 1.0, 0.5]), "mine")
    with pytest.raises(GraphError, match=r"edge has shape \(5,\), not \(10,\)"):
        Weights(ring, np.full(5, 0.25), 0.5, "mine")
    with pytest.raises(GraphError, match=r"self_weight has shape \(4,\), not \(5,\)"):
        Weights(ring, 0.25, np.full(4, 0.5), "mine")
    with pytest.raises(GraphError, match="sums to nan"):
        Weights(ring, float("nan"), 0.5, "mine")
    uniform = topology.uniform(KARATE)
    with pytest.raises(GraphError, match=r"mine: column 33 of the weights sums to 4\.2"):
        Weights(KARATE, uniform.edge, uniform.self_weight, "mine", doubly_stochastic=True)


LARGE = [
    topology.ring(1_000_000),
    topology.torus(1_000_000, (100, 100, 100)),
    topology.hypercube(2**20),
    topology.complete(1_000_000),
    topology.static_exponential(1_000_000),
    topology.k_nearest_ring(1_000_000, 10),
]
# Best constants are for undirected graphs, and those of general circulants need all n eigenvalues.
NOT_THESE = {("best_constant", "static_exponential"), ("best_constant", "k_nearest_ring")}


@pytest.mark.parametrize(
    ("rule", "graph"),
    [(rule, graph) for rule in WEIGHT_RULES for graph in LARGE if (rule, graph.name) not in NOT_THESE],
    ids=lambda value: getattr(value, "name", value),
)
def test_structured_graphs_of_a_million_nodes_need_no_list(graph, rule):
    tracemalloc.start()
    weights = WEIGHT_RULES[rule](graph)
    assert weights.is_doubly_stochastic
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(weights.edge, float)
    assert isinstance(weights.self_weight, float)
    assert peak < 100_000
    assert "_csr" not in vars(graph)


@pytest.mark.parametrize(
    "graph",
    [
        topology.path(50_000),
        topology.star(50_000),
        topology.grid(40_000),
        topology.barabasi_albert(50_000, 3),
        topology.erdos_renyi(50_000, mean_degree=5),
    ],
    ids=lambda graph: graph.name,
)
def test_sinkhorn_converges_where_its_own_iteration_would_not(graph):
    weights = topology.sinkhorn(graph)
    assert weights.is_doubly_stochastic
    assert weights.is_symmetric
    assert np.min(weights.self_weight) > 0
