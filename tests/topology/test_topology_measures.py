"""Effective neighbours against the catalogue's figures, estimates against exact values, shape against networkx."""

import json
import math

import networkx as nx
import numpy as np
import pytest

from jaxgossip import topology
from jaxgossip.core.errors import GraphError
from jaxgossip.topology import laplacian
from jaxgossip.topology.graph import from_links
from jaxgossip.topology.spectra import spectrum
from jaxgossip.topology.spectra.clustering import average_clustering
from jaxgossip.topology.spectra.distances import diameter, distances
from jaxgossip.topology.spectra.effective_neighbours import effective_neighbours, spectral_measure
from jaxgossip.topology.spectra.measures import measure

GRAPHS = [
    topology.ring(9),
    topology.k_nearest_ring(30, 6),
    topology.path(7),
    topology.grid(30, (2, 3, 5)),
    topology.torus(63, (7, 9)),
    topology.torus(9),
    topology.star(6),
    topology.hypercube(32),
    topology.complete(2),
    topology.complete(7),
    topology.binary_tree(40),
    topology.watts_strogatz(300, 4, 0.1),
    topology.barabasi_albert(200, 2),
    topology.random_regular(200, 3),
    topology.static_exponential(33),
    from_links(5, np.array([0, 1, 2, 3, 4, 0]), np.array([1, 2, 3, 4, 0, 2]), name="own", directed=True),
]


def as_networkx(graph: topology.Graph) -> nx.Graph:
    return nx.from_scipy_sparse_array(graph.to_scipy(), create_using=nx.DiGraph if graph.directed else nx.Graph)


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (topology.ring(32), (3.72, 6.63, 17.08)),
        (topology.torus(32, (4, 8)), (7.12, 15.74, 28.54)),
        (topology.hypercube(32), (8.90, 19.64, 30.01)),
        (topology.star(32), (1.16, 1.67, 6.44)),
        (topology.static_exponential(32), (9.18, 20.40, 30.22)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_effective_neighbours_are_those_of_the_catalogue(graph: topology.Graph, expected: tuple[float, ...]) -> None:
    found = effective_neighbours(topology.metropolis_hastings(graph))
    assert [round(one.value, 2) for one in found] == list(expected)
    assert not any(one.standard_error for one in found)


def test_a_node_alone_has_itself_and_a_complete_graph_everybody() -> None:
    assert all(one.value == 1 for one in effective_neighbours(topology.metropolis_hastings(topology.complete(1))))
    for one in effective_neighbours(topology.metropolis_hastings(topology.complete(50))):
        assert one.value == pytest.approx(50)


def test_a_covariance_by_doubling_is_the_sum_over_powers() -> None:
    W = topology.uniform(topology.barabasi_albert(40, 2))
    matrix, total, power = W.to_scipy().toarray(), 0.0, np.eye(40)
    for k in range(400):
        power = matrix @ power
        total += 0.9**k * (power**2).sum()
    (found,) = effective_neighbours(W, [0.9])
    assert found.value == pytest.approx(40 / (0.1 * total), rel=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [topology.metropolis_hastings, topology.uniform], ids=["symmetric", "not symmetric"])
def test_an_estimate_lies_within_four_standard_errors(rule, monkeypatch: pytest.MonkeyPatch) -> None:
    W = rule(topology.watts_strogatz(900, 6, 0.2))
    exact = effective_neighbours(W)
    monkeypatch.setattr("jaxgossip.topology.spectra.effective_neighbours.ALL_EIGENVALUES_NODES", 10)
    monkeypatch.setattr("jaxgossip.topology.spectra.effective_neighbours.LYAPUNOV_NODES", 10)
    for one, true in zip(effective_neighbours(W, rng=3), exact, strict=True):
        assert 0 < one.standard_error < 0.05 * one.value
        assert abs(one.value - true.value) < 4 * one.standard_error


def test_a_decay_of_one_is_refused() -> None:
    with pytest.raises(GraphError, match="decays from 0 to below 1"):
        effective_neighbours(topology.metropolis_hastings(topology.ring(5)), [1.0])


def test_a_spectral_measure_has_the_moments_of_the_spectrum() -> None:
    W = topology.metropolis_hastings(topology.random_regular(1000, 4))
    values, shares = spectral_measure(W, probes=20)
    assert shares.sum() == pytest.approx(1)
    true = np.linalg.eigvalsh(W.to_scipy().toarray())[:-1]
    assert (shares * values**2).sum() == pytest.approx((true**2).mean(), rel=0.02)


@pytest.mark.slow
def test_plain_lanczos_finds_both_ends_of_the_spectrum(monkeypatch: pytest.MonkeyPatch) -> None:
    for graph in (
        topology.watts_strogatz(1200, 4, 0.1),
        topology.random_regular(1200, 3),
        topology.grid(1200, (30, 40)),
    ):
        matrix = topology.metropolis_hastings(graph).to_scipy()
        dense = np.linalg.eigvalsh(np.eye(1200) - matrix.toarray())
        monkeypatch.setattr(laplacian, "FACTOR_NODES", 600)
        ends = spectrum.complement_extremes(topology.from_matrix(matrix))
        assert ends == pytest.approx((dense[1], dense[-1]), rel=1e-6)


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: f"{graph.name}-{graph.n_nodes}")
def test_diameter_and_clustering_are_those_of_networkx(graph: topology.Graph) -> None:
    oracle = as_networkx(graph)
    found = diameter(graph)
    assert found is not None
    assert found.exact
    assert found.hops == nx.diameter(oracle)
    clustering = average_clustering(graph)
    assert (clustering is None) == graph.directed
    if clustering is not None:
        assert clustering == pytest.approx(nx.average_clustering(oracle), abs=1e-12)


def test_distances_are_those_of_networkx_and_minus_one_where_no_way_leads() -> None:
    graph = from_links(6, np.array([0, 1, 3]), np.array([1, 2, 4]), name="parts")
    assert distances(graph, 0).tolist() == [0, 1, 2, -1, -1, -1]
    large = topology.barabasi_albert(150, 2)
    expected = nx.single_source_shortest_path_length(as_networkx(large), 7)
    assert distances(large, 7).tolist() == [expected[node] for node in range(150)]


def test_a_large_diameter_that_is_not_settled_is_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxgossip.topology.spectra.distances.EXACT_NODES", 10)
    monkeypatch.setattr("jaxgossip.topology.spectra.distances.SEARCHES", 3)
    graph = topology.random_regular(400, 3)
    found = diameter(graph)
    assert found is not None
    assert not found.exact
    assert found.hops <= nx.diameter(as_networkx(graph)) <= 2 * found.hops


def test_measures_of_a_ring() -> None:
    found = measure(topology.metropolis_hastings(topology.ring(64)))
    assert found.gap == pytest.approx((2 - 2 * math.cos(2 * math.pi / 64)) / 3)
    assert found.lambda_2 == pytest.approx(1 - (found.gap or 0))
    assert found.lambda_min == pytest.approx(-1 / 3)
    assert found.rounds == pytest.approx(math.log(1e-3) / math.log(1 - (found.gap or 0)))
    assert found.messages == 128
    assert json.loads(json.dumps(found.record()))["diameter"] == 32


def test_components_never_agree_and_equal_weights_on_a_complete_graph_do_at_once() -> None:
    parts = measure(topology.metropolis_hastings(from_links(4, np.array([0, 2]), np.array([1, 3]), name="parts")))
    assert (parts.connected, parts.components, parts.diameter, parts.gap) == (False, 2, None, 0.0)
    assert parts.rounds == math.inf
    assert parts.record()["rounds_to_1e-3"] is None
    assert measure(topology.metropolis_hastings(topology.complete(8))).rounds == 1


def test_a_directed_graph_has_the_modulus_of_its_second_eigenvalue() -> None:
    found = measure(topology.metropolis_hastings(topology.static_exponential(32)))
    assert found.lambda_2 is None
    assert found.modulus_2 == pytest.approx(1 - 2 / 6)
    assert found.gap == pytest.approx(2 / 6)


def test_rounds_of_weights_that_keep_no_mean_are_those_of_the_second_modulus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cycle of three with a node that only hears: ‖W − J‖₂ = .707 is no contraction there, |λ₂| = .5 is."""
    graph = from_links(4, np.array([1, 2, 0, 3]), np.array([0, 1, 2, 0]), name="own", directed=True)
    found = measure(topology.uniform(graph))
    assert found.rho == pytest.approx(0.5)
    assert found.rounds == pytest.approx(math.log(1e-3) / math.log(0.5))
    monkeypatch.setattr("jaxgossip.topology.spectra.measures.ALL_EIGENVALUES_NODES", 3)
    unknown = measure(topology.uniform(graph))
    assert (unknown.rho, unknown.rounds) == (None, None)
    assert "rounds" in unknown.notes[-1]
