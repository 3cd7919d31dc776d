"""Every registered topology: invariants over many small sizes, and networkx where it draws the same graph."""

import inspect
import itertools
import re
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip import topology
from jaxgossip.topology import TOPOLOGIES


@st.composite
def sized(draw, low, high, **keywords):
    nodes = draw(st.integers(low, high))
    return {"nodes": nodes, **{name: draw(strategy(nodes)) for name, strategy in keywords.items()}}


@st.composite
def boxes(draw, shortest):
    shape = tuple(draw(st.lists(st.integers(shortest, 5), min_size=1, max_size=3)))
    return {"nodes": int(np.prod(shape)), "shape": shape}


def even_degree(nodes):
    return st.integers(1, (nodes - 1) // 2).map(lambda half: 2 * half)


UNIT = st.floats(0, 1)
KEYWORDS = {
    "ring": sized(3, 40),
    "k_nearest_ring": sized(3, 30, degree=even_degree),
    "path": sized(1, 40),
    "grid": boxes(2),
    "torus": boxes(3),
    "star": sized(2, 40),
    "binary_tree": sized(1, 40, branching=lambda _: st.integers(1, 4)),
    "hypercube": st.integers(0, 6).map(lambda d: {"nodes": 2**d}),
    "complete": sized(1, 20),
    "static_exponential": sized(2, 60),
    "random_regular": sized(2, 30, degree=lambda n: st.integers(1, n - 1)).filter(
        lambda k: k["nodes"] * k["degree"] % 2 == 0
    ),
    "erdos_renyi": sized(1, 30, p=lambda _: UNIT),
    "watts_strogatz": sized(3, 30, degree=even_degree, beta=lambda _: UNIT),
    "barabasi_albert": sized(2, 40, m=lambda n: st.integers(1, min(n - 1, 5))),
    "random_geometric": sized(1, 30, radius=lambda _: UNIT),
    "stochastic_block": sized(2, 30, blocks=lambda n: st.integers(1, n), p_in=lambda _: UNIT, p_out=lambda _: UNIT),
    "barbell": sized(2, 10).flatmap(
        lambda k: st.integers(0, 9).map(lambda path: {"nodes": 2 * k["nodes"] + path, "path": path})
    ),
    "lollipop": sized(2, 30, clique=lambda n: st.integers(2, n)),
    "two_cliques": sized(2, 12).flatmap(
        lambda k: st.integers(1, k["nodes"]).map(lambda bridges: {"nodes": 2 * k["nodes"], "bridges": bridges})
    ),
    "connected_caveman": st.tuples(st.integers(2, 6), st.integers(3, 7)).map(
        lambda sides: {"nodes": sides[0] * sides[1], "cliques": sides[0]}
    ),
    "karate": st.just({"nodes": 34}),
    "davis": st.just({"nodes": 32}),
}
RANDOM = {
    "random_regular": {"nodes": 60, "degree": 4},
    "erdos_renyi": {"nodes": 60, "mean_degree": 5},
    "watts_strogatz": {"nodes": 60, "degree": 4, "beta": 0.3},
    "barabasi_albert": {"nodes": 60, "m": 2},
    "random_geometric": {"nodes": 60, "mean_degree": 6},
    "stochastic_block": {"nodes": 60, "blocks": 3, "p_in": 0.4, "p_out": 0.05},
}


@pytest.mark.parametrize("kind", TOPOLOGIES)
def test_signatures_are_configurations(kind):
    parameters = inspect.signature(TOPOLOGIES[kind]).parameters
    assert next(iter(parameters)) == ("path" if kind == "edge_list" else "nodes")
    documented = inspect.getdoc(TOPOLOGIES[kind]).split("Args:")[1].split("Raises:")[0]
    for name, parameter in parameters.items():
        assert f"    {name}: " in documented
        assert name != "rng" or parameter.kind is parameter.KEYWORD_ONLY


def test_host_graphs_never_touch_jax():
    for file in Path(topology.__file__).parent.rglob("*.py"):
        assert not re.search(r"^\s*(import|from) jax\b", file.read_text(encoding="utf-8"), re.MULTILINE), file.name


def test_every_registered_topology_is_held_to_the_invariants():
    assert {*KEYWORDS, "edge_list"} == set(TOPOLOGIES)
    assert set(RANDOM) == {kind for kind in TOPOLOGIES if "rng" in inspect.signature(TOPOLOGIES[kind]).parameters}


@pytest.mark.by_default("stochastic_block", "k_nearest_ring", "random_geometric")
@pytest.mark.parametrize("kind", KEYWORDS)
def test_lists_are_sorted_simple_and_symmetric(kind):
    @settings(max_examples=25, deadline=None, database=None, derandomize=True)
    @given(KEYWORDS[kind])
    def holds(keywords):
        graph = TOPOLOGIES[kind](**keywords)
        assert graph.n_nodes == keywords["nodes"]
        assert graph.name == kind
        assert graph.indptr[0] == 0
        assert graph.indptr[-1] == graph.indices.size == graph.n_links
        for node, (start, stop) in enumerate(itertools.pairwise(graph.indptr)):
            row = graph.indices[start:stop]
            assert (np.diff(row) > 0).all()  # sorted, no doubles
            assert node not in row
            assert ((row >= 0) & (row < graph.n_nodes)).all()
        matrix = graph.to_scipy().toarray()
        assert graph.directed or (matrix == matrix.T).all()
        assert graph.degrees.tolist() == matrix.sum(axis=1).tolist()
        assert graph.out_degrees.tolist() == matrix.sum(axis=0).tolist()
        assert graph.is_connected == nx.is_strongly_connected(nx.from_numpy_array(matrix, create_using=nx.DiGraph))

    holds()


@pytest.mark.parametrize("kind", RANDOM)
def test_a_seed_is_a_graph(kind):
    build, keywords = TOPOLOGIES[kind], RANDOM[kind]
    once, again, generator = (build(**keywords, rng=rng) for rng in (7, 7, np.random.default_rng(7)))
    other = build(**keywords, rng=8)
    assert (once.edges() == again.edges()).all()
    assert (once.edges() == generator.edges()).all()
    assert once.edges().tolist() != other.edges().tolist()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (topology.binary_tree(13, branching=3), nx.balanced_tree(3, 2)),
        (topology.hypercube(16), nx.hypercube_graph(4)),
        (topology.torus(60, (3, 4, 5)), nx.grid_graph((3, 4, 5), periodic=True)),
        (topology.grid(12, (3, 4)), nx.grid_2d_graph(3, 4)),
    ],
)
def test_same_graph_as_networkx(ours, theirs):
    assert nx.is_isomorphic(nx.Graph(ours.edges().tolist()), theirs)


@pytest.mark.parametrize(
    ("build", "nodes", "shape"),
    [
        (topology.torus, 64, (8, 8)),
        (topology.torus, 12, (3, 4)),
        (topology.torus, 1_000_000, (1000, 1000)),
        (topology.grid, 10, (2, 5)),
        (topology.grid, 24, (4, 6)),
    ],
)
def test_nodes_alone_make_the_most_square_box(build, nodes, shape):
    assert build(nodes).structure.shape == shape


@pytest.mark.parametrize(("nodes", "offsets"), [(2, (1,)), (8, (1, 2, 4)), (9, (1, 2, 4, 8)), (12, (1, 2, 4, 8))])
def test_offsets_of_the_exponential_graph(nodes, offsets):
    graph = topology.static_exponential(nodes)
    assert graph.structure.offsets == offsets
    assert graph.directed


@pytest.mark.wrong_types
def test_numpy_integers_are_whole_numbers():
    assert topology.ring(np.int64(5)).n_nodes == 5
    assert topology.random_regular(np.int32(10), np.int8(3)).regular_degree == 3
